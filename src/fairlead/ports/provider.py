"""The port of a provider: whatever writes answers, an upstream model or the embedded answerer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from fairlead.events.attachment import Attachment
from fairlead.events.model import Event
from fairlead.ports.conversations import Role
from fairlead.ports.knowledge import Passage


class Call(msgspec.Struct, frozen=True):
    """A call of a tool that an answer has asked for; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str


class Turn(msgspec.Struct, frozen=True):
    """One turn of the dialogue as a provider sees it, with what its asker attached.

    ``calls`` are those of an ``assistant``'s turn; a ``tool``'s turn is the result of the call
    ``call_id``. ``unsaid`` names what the turn also has that only the vendor's own words can say
    (see :class:`Vendor`), such as a picture by its address.
    """

    role: Role | Literal["tool"]
    text: str
    attachments: tuple[Attachment, ...] = ()
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    unsaid: tuple[str, ...] = ()


class Unsaid(msgspec.Struct, frozen=True):
    """What a request asks for that only its own words can say, such as ``a stored prompt``, and the
    field (``param``) in which it does."""

    what: str
    param: str


class Vendor(msgspec.Struct, frozen=True):
    """A question in the words in which it was asked: the request's own ``body``, a JSON object, of
    a ``dialect``. A provider that speaks it sends the body's fields on as they are, those included
    that we do not know; every other one goes by ``turns`` and ``parameters``, and is not asked at
    all where something is ``unsaid``."""

    dialect: str
    body: bytes
    unsaid: tuple[Unsaid, ...] = ()


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question for one provider.

    ``turns``: the dialogue, oldest first, ending with the question. ``passages``: what retrieval
    found, best first; they are already cited as ``[1]``, ``[2]``, … in that order. ``parameters``:
    further settings of the model in the upstream's own words (``temperature``, ``max_tokens``, …).
    ``conversation``: the dialogue's id, if there is one. ``headers`` go along with the request to
    the upstream (the trace that it belongs to). ``once``: somebody else can be asked if
    this fails, so that it is not worth a second try. ``vendor``: the question in the asker's own
    words, where those are a vendor's. ``most``: the tokens that the answer (of several alternatives
    each) may have because a budget has no more, fewer than ``parameters`` ask for; 0: no other
    number than theirs.
    """

    stream: str
    turns: tuple[Turn, ...]
    model: str = ""
    passages: tuple[Passage, ...] = ()
    parameters: dict[str, Any] = {}
    conversation: str = ""
    headers: Mapping[str, str] = {}
    once: bool = False
    vendor: Vendor | None = None
    most: int = 0


class Events(Protocol):
    """An answer under way: what an asynchronous generator of events is, as far as it is used."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def __anext__(self) -> Awaitable[Event]: ...

    def aclose(self) -> Awaitable[object]: ...


class Provider(Protocol):
    """Writes answers.

    ``name`` is stated in the answer's metadata; ``context_tokens`` bounds what the dialogue may
    fill, by the provider's own estimate. ``takes`` are the media types of attachments that it can
    be given, such as ``image/png`` or ``image/*``. One that sends vendors' requests on as they are
    names their dialects in a further attribute, ``speaks``; one that has the model itself stop at
    ``most`` tokens says so in another one, ``bounds``.
    """

    name: str
    context_tokens: int
    takes: tuple[str, ...]

    def generate(self, request: GenerationRequest) -> Events:
        """The events of the answer, from the first part or token to ``usage``.

        A ``done`` may end them to state the upstream's finish word; the engine writes one anyway.
        Failures are raised as :class:`~fairlead.errors.FairleadError`. Closing the generator stops
        the work at once: the upstream sees its connection closed.
        """
        ...

    async def close(self) -> None:
        """Free everything. Idempotent."""
        ...


def speaks(provider: Provider, dialect: str) -> bool:
    """Whether the provider can be given requests of this dialect as they are."""
    return dialect in getattr(provider, "speaks", ())


def bounds(provider: Provider) -> bool:
    """Whether the provider has the model itself stop at the ``most`` tokens of a request."""
    return bool(getattr(provider, "bounds", False))
