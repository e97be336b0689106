"""Fairlead: an answer is a durable stream, not a connection.

What programs use of it: :class:`Fairlead` (inside an application), :class:`Client`,
:class:`SyncClient`, and what answers are written of: ``media``, ``progress``, ``reasoning``,
``sources``, ``thinking``.
"""

from importlib import import_module

__version__ = "0.1.0"

# Loaded when they are asked for: importing fairlead stays quick, and imports only what is used.
# The types stand in the stub beside this file.
_HOMES = {
    "Client": "fairlead.client.client",
    "Fairlead": "fairlead.server.library",
    "SyncClient": "fairlead.client.sync",
    "media": "fairlead.events.pieces",
    "progress": "fairlead.events.pieces",
    "reasoning": "fairlead.events.pieces",
    "sources": "fairlead.events.pieces",
    "thinking": "fairlead.events.pieces",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'fairlead' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
