"""What a client shows to say who it is."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from fairlead.errors import BadRequest, Revoked, Unauthenticated

#: A credential, or what gives the one that holds now, each time that a connection is made.
ApiKey = str | Callable[[], str | Awaitable[str]]


#: The codes that say that a credential is good no more; another one may be.
OVER = frozenset({Unauthenticated.code, Revoked.code})


class Credential:
    """A bearer credential that may change. No text of this object shows it."""

    def __init__(self, api_key: ApiKey | None) -> None:
        self._api_key: ApiKey | None = None
        self.change(api_key)

    def change(self, api_key: ApiKey | None) -> None:
        """Show another one from now on. Raises :class:`~fairlead.errors.BadRequest` for one that
        cannot be sent."""
        if isinstance(api_key, str):
            _check(api_key)
        self._api_key = api_key

    @property
    def renews(self) -> bool:
        """Whether asking again may give another one."""
        return callable(self._api_key)

    async def now(self) -> str:
        """The one that holds now; empty if there is none."""
        if not callable(self._api_key):
            return self._api_key or ""
        given = self._api_key()
        key = await given if inspect.isawaitable(given) else given
        _check(key)
        return key

    async def headers(self) -> dict[str, str]:
        """The header of a request that shows it."""
        key = await self.now()
        return {"Authorization": f"Bearer {key}"} if key else {}


def _check(key: str) -> None:
    if not key.isascii() or (key and not key.isprintable()) or " " in key:
        raise BadRequest("the API key holds a blank, a line end or a character beyond ASCII")
