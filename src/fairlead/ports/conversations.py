"""The port of the conversation store: dialogues and their branching messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from fairlead.events.attachment import Attachment
from fairlead.events.model import Source

Role = Literal["system", "user", "assistant"]
Status = Literal["running", "completed", "stopped", "failed", "interrupted"]


class Attached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a message says of an attachment, whose bytes are kept apart. ``size`` in bytes. The same
    attachment has the same id throughout a conversation."""

    id: str
    type: str
    size: int
    name: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message. ``parent`` is the message it answers or follows (None: it begins the dialogue),
    so that edits and regenerations are siblings. An assistant's message names its stream; its text
    is filled in when the generation has ended. ``shown``: how many characters of it the person had
    seen when interrupting it (None: it was not interrupted). ``attachments`` came with a question.
    ``items``: the same in a vendor's words, where it was said in them: a JSON array. ``created`` in
    seconds since 1970."""

    id: str
    parent: str | None
    role: Role
    text: str
    created: float
    stream: str | None = None
    status: Status = "completed"
    sources: tuple[Source, ...] = ()
    shown: int | None = None
    attachments: tuple[Attached, ...] = ()
    items: bytes = b""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A dialogue without its messages. ``leaf`` is the newest message of the branch in use, and
    ``status`` how that stands, which only a listing tells. ``metadata`` is what its owner has noted
    of it."""

    id: str
    owner: str
    title: str
    created: float
    updated: float
    leaf: str | None = None
    status: Status | None = None
    metadata: dict[str, str] = {}


class ConversationPage(msgspec.Struct, frozen=True):
    """A page of conversations, most recently updated first."""

    items: tuple[Conversation, ...]
    cursor: str | None


class Conversations(Protocol):
    """Where dialogues live. Methods raise :class:`~fairlead.errors.NotFound` for an unknown
    conversation and the store errors when the store fails."""

    async def open(self) -> None:
        """Make ready for use."""
        ...

    async def close(self) -> None:
        """Free everything. Idempotent."""
        ...

    async def put(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        attachments: Mapping[str, Attachment] | None = None,
    ) -> Conversation:
        """Create the conversation unless it exists, add those of ``messages`` whose ids are new,
        and make the last of them the leaf; one commit. Repeating the call changes nothing. An
        existing conversation of another owner is NotFound.

        ``attachments`` are those that the messages name, by id; of one that the conversation has
        already nothing is kept twice. They go when the conversation does."""
        ...

    async def attachments(self, id: str, ids: Sequence[str]) -> dict[str, Attachment]:
        """Those of a conversation's attachments that there are, by id."""
        ...

    async def get(self, id: str) -> Conversation:
        """One conversation."""
        ...

    async def page(
        self, owner: str, cursor: str | None = None, limit: int = 50, search: str = ""
    ) -> ConversationPage:
        """An owner's conversations; with ``search``, those that have it in their title or in a
        message (letters A to Z in either case). An answer's text is found once it has ended."""
        ...

    async def messages(self, id: str) -> list[Message]:
        """All messages of all branches, oldest first."""
        ...

    async def path(self, id: str, leaf: str | None = None, limit: int = 200) -> list[Message]:
        """The branch that ends in ``leaf`` (None: the one in use), oldest first, its newest
        ``limit`` messages. NotFound if there is no such message."""
        ...

    async def finish(
        self, message: str, text: str, status: Status, sources: Sequence[Source] = ()
    ) -> None:
        """Fill in an assistant's message once its generation has ended. An unknown id (a deleted
        conversation) is passed over."""
        ...

    async def show(self, message: str, chars: int) -> None:
        """Record how much of a message was seen when it was interrupted; what is recorded once
        stays. An unknown id is passed over."""
        ...

    async def select(self, id: str, leaf: str) -> Conversation:
        """Take the branch of ``leaf`` into use."""
        ...

    async def rename(self, id: str, title: str) -> Conversation:
        """Give it another title."""
        ...

    async def annotate(self, id: str, metadata: Mapping[str, str]) -> Conversation:
        """Give it other metadata."""
        ...

    async def rewrite(self, message: str, text: str, items: bytes) -> None:
        """Give a message another text and other items. An unknown id is passed over."""
        ...

    async def delete(self, id: str) -> list[str]:
        """Remove it and its messages; returns the ids of the streams that they named."""
        ...
