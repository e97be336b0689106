"""The verbs of dialogues: list, read, rename, choose a branch, remove."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from fairlead.engine.answers import add_up
from fairlead.engine.authority import Authority
from fairlead.errors import BadRequest, NotFound
from fairlead.events.attachment import Attachment
from fairlead.policy.caller import Caller
from fairlead.policy.permissions import Verb
from fairlead.ports.conversations import (
    Conversation,
    ConversationPage,
    Conversations,
    Message,
    Status,
)
from fairlead.ports.store import Store

_MAX_TITLE = 500
_MAX_SEARCH = 200


class Dialogues:
    """The dialogues of all callers; ``remove_stream`` stops and removes an answer.

    The verbs raise :class:`~fairlead.errors.NotFound` for what is not there or not the caller's.
    """

    def __init__(
        self,
        conversations: Conversations,
        store: Store,
        authority: Authority,
        message_chars: int,
        remove_stream: Callable[[str], Awaitable[None]],
        enter: Callable[[Caller, str, str, str], Awaitable[None]],
    ) -> None:
        """``enter`` is told what a caller does, to what, and whose that is."""
        self._conversations = conversations
        self._store = store
        self._authority = authority
        self._message_chars = message_chars
        self._remove_stream = remove_stream
        self._enter = enter

    async def page(
        self, caller: Caller, cursor: str | None, limit: int, search: str = ""
    ) -> ConversationPage:
        """The caller's conversations, most recently used first; with ``search``, those that have
        it in their title or in a message."""
        self._authority.allow(caller, Verb.LIST, None)
        if len(search) > _MAX_SEARCH:
            raise BadRequest(f"'search' may have at most {_MAX_SEARCH} characters")
        return await self._conversations.page(caller.consumer, cursor, limit, search.strip())

    async def read(self, caller: Caller, id: str) -> tuple[Conversation, list[Message]]:
        """A conversation with all messages of all its branches, oldest first."""
        conversation = await self._find(caller, Verb.READ, id)
        messages = await self._conversations.messages(id)
        return conversation, [await self._settled(message) for message in messages]

    async def attachment(self, caller: Caller, id: str, attachment: str) -> Attachment:
        """What came with a question of the conversation."""
        await self._find(caller, Verb.READ, id)
        found = await self._conversations.attachments(id, (attachment,))
        if attachment not in found:
            raise NotFound("there is no such attachment in this conversation")
        return found[attachment]

    async def rename(self, caller: Caller, id: str, title: str) -> Conversation:
        """Give a conversation another title."""
        await self._find(caller, Verb.CHANGE, id)
        if not title.strip() or len(title) > _MAX_TITLE:
            raise BadRequest(f"'title' must have from 1 to {_MAX_TITLE} characters")
        return await self._conversations.rename(id, title.strip())

    async def select(self, caller: Caller, id: str, leaf: str) -> Conversation:
        """Take the branch that ends in ``leaf`` into use."""
        await self._find(caller, Verb.CHANGE, id)
        return await self._conversations.select(id, leaf)

    async def create(self, caller: Caller, conversation: Conversation) -> Conversation:
        """Begin a conversation without any message, unless it is there."""
        self._authority.allow(caller, Verb.START, None)
        return await self._conversations.put(conversation, ())

    async def annotate(self, caller: Caller, id: str, metadata: Mapping[str, str]) -> Conversation:
        """Give a conversation other metadata."""
        await self._find(caller, Verb.CHANGE, id)
        return await self._conversations.annotate(id, metadata)

    async def add(self, caller: Caller, id: str, messages: Sequence[Message]) -> None:
        """Add messages to a conversation, that were written elsewhere."""
        found = await self._find(caller, Verb.CHANGE, id)
        updated = max((message.created for message in messages), default=found.updated)
        await self._conversations.put(msgspec.structs.replace(found, updated=updated), messages)

    async def rewrite(self, caller: Caller, id: str, message: str, text: str, items: bytes) -> None:
        """Give a message of a conversation another text and other items."""
        await self._find(caller, Verb.CHANGE, id)
        await self._conversations.rewrite(message, text, items)

    async def delete(self, caller: Caller, id: str) -> None:
        """Remove a conversation, its messages and their streams."""
        found = await self._find(caller, Verb.DELETE, id)
        await self._enter(caller, "conversation.deleted", id, found.owner)
        for stream in await self._conversations.delete(id):
            await self._remove_stream(stream)

    async def _find(self, caller: Caller, verb: Verb, id: str) -> Conversation:
        conversation = await self._conversations.get(id)
        self._authority.allow(caller, verb, conversation.owner)
        return conversation

    async def _settled(self, message: Message) -> Message:
        """A message whose generation ended without settling it (its process died between the two
        stores) is settled when it is read."""
        if message.status != "running" or message.stream is None:
            return message
        status: Status
        try:
            info = await self._store.info(message.stream)
            if not info.head.closed:
                return message
            answer, _, _ = await add_up(self._store, message.stream, self._message_chars)
            text, status, sources = answer.text, answer.status, answer.sources
        except NotFound:
            text, status, sources = message.text, "interrupted", ()
        await self._conversations.finish(message.id, text, status, sources)
        return msgspec.structs.replace(message, text=text, status=status, sources=sources)
