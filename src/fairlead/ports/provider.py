"""The port of a provider: whatever writes answers, an upstream model or the embedded answerer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

import msgspec

from fairlead.events.attachment import Attachment
from fairlead.events.model import Event
from fairlead.ports.conversations import Role
from fairlead.ports.knowledge import Passage


class Turn(msgspec.Struct, frozen=True):
    """One turn of the dialogue as a provider sees it, with what its asker attached."""

    role: Role
    text: str
    attachments: tuple[Attachment, ...] = ()


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question for one provider.

    ``turns``: the dialogue, oldest first, ending with the question. ``passages``: what retrieval
    found, best first; they are already cited as ``[1]``, ``[2]``, … in that order. ``parameters``:
    further settings of the model in the upstream's own words (``temperature``, ``max_tokens``, …).
    ``conversation``: the dialogue's id, if there is one. ``once``: somebody else can be asked if
    this fails, so that it is not worth a second try.
    """

    stream: str
    turns: tuple[Turn, ...]
    model: str = ""
    passages: tuple[Passage, ...] = ()
    parameters: dict[str, Any] = {}
    conversation: str = ""
    once: bool = False


class Events(Protocol):
    """An answer under way: what an asynchronous generator of events is, as far as it is used."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def __anext__(self) -> Awaitable[Event]: ...

    def aclose(self) -> Awaitable[object]: ...


class Provider(Protocol):
    """Writes answers.

    ``name`` is stated in the answer's metadata; ``context_tokens`` bounds what the dialogue may
    fill, by the provider's own estimate. ``takes`` are the media types of attachments that it can
    be given, such as ``image/png`` or ``image/*``.
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
