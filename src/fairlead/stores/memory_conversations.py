"""Dialogues in memory: gone with the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from fairlead.events.attachment import Attachment
from fairlead.events.model import Source
from fairlead.ports.conversations import Conversation, ConversationPage, Message, Status
from fairlead.stores.dialogues import (
    bounded_title,
    folded,
    fresh_conversation,
    fresh_messages,
    named,
    read_cursor,
    unknown_conversation,
    unknown_message,
    updated,
    write_cursor,
)


class MemoryConversations:
    """A :class:`~fairlead.ports.conversations.Conversations` for one process."""

    def __init__(self) -> None:
        self._conversations: dict[str, Conversation] = {}
        #: Of each conversation, in order of arrival.
        self._messages: dict[str, dict[str, Message]] = {}
        #: Which conversation a message belongs to.
        self._home: dict[str, str] = {}
        #: Of each conversation that has any, by id.
        self._attachments: dict[str, dict[str, Attachment]] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def put(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        attachments: Mapping[str, Attachment] | None = None,
    ) -> Conversation:
        id = conversation.id
        there = self._conversations.get(id)
        if there is not None and there.owner != conversation.owner:
            raise unknown_conversation(id)
        known = self._messages.get(id, {})
        ours = [m for m in messages if self._home.get(m.id, id) == id]
        fresh = fresh_messages(ours, known)
        if there is None:
            there = fresh_conversation(conversation)
            self._messages[id] = known
        if fresh:
            there = updated(there, conversation, ours[-1].id)
        for message in fresh:
            known[message.id] = message
            self._home[message.id] = id
            for one in named(message, attachments):
                self._attachments.setdefault(id, {}).setdefault(one, (attachments or {})[one])
        self._conversations[id] = there
        return there

    async def attachments(self, id: str, ids: Sequence[str]) -> dict[str, Attachment]:
        await self.get(id)
        kept = self._attachments.get(id, {})
        return {one: kept[one] for one in ids if one in kept}

    async def get(self, id: str) -> Conversation:
        there = self._conversations.get(id)
        if there is None:
            raise unknown_conversation(id)
        return there

    async def page(
        self, owner: str, cursor: str | None = None, limit: int = 50, search: str = ""
    ) -> ConversationPage:
        before = None if cursor is None else read_cursor(cursor)
        found = sorted(
            (
                c
                for c in self._conversations.values()
                if c.owner == owner
                and (before is None or (c.updated, c.id) < before)
                and self._holds(c, folded(search))
            ),
            key=lambda c: (c.updated, c.id),
            reverse=True,
        )
        items = tuple(replace(c, status=self._status(c)) for c in found[:limit])
        return ConversationPage(items, write_cursor(items[-1]) if len(found) > limit else None)

    def _holds(self, conversation: Conversation, search: str) -> bool:
        messages = self._messages[conversation.id].values()
        return search in folded(conversation.title) or any(
            search in folded(message.text) for message in messages
        )

    def _status(self, conversation: Conversation) -> Status | None:
        leaf = self._messages[conversation.id].get(conversation.leaf or "")
        return leaf.status if leaf is not None else None

    async def messages(self, id: str) -> list[Message]:
        await self.get(id)
        return list(self._messages[id].values())

    async def path(self, id: str, leaf: str | None = None, limit: int = 200) -> list[Message]:
        conversation = await self.get(id)
        messages = self._messages[id]
        at = conversation.leaf if leaf is None else leaf
        if at is not None and at not in messages:
            raise unknown_message(at)
        branch: list[Message] = []
        while at is not None and len(branch) < limit:
            branch.append(messages[at])
            at = messages[at].parent
        return branch[::-1]

    async def finish(
        self, message: str, text: str, status: Status, sources: Sequence[Source] = ()
    ) -> None:
        home = self._home.get(message)
        if home is not None:
            there = self._messages[home][message]
            self._messages[home][message] = replace(
                there, text=text, status=status, sources=tuple(sources)
            )

    async def show(self, message: str, chars: int) -> None:
        home = self._home.get(message)
        if home is not None and self._messages[home][message].shown is None:
            self._messages[home][message] = replace(self._messages[home][message], shown=chars)

    async def select(self, id: str, leaf: str) -> Conversation:
        conversation = await self.get(id)
        if leaf not in self._messages[id]:
            raise unknown_message(leaf)
        return self._replace(replace(conversation, leaf=leaf))

    async def rename(self, id: str, title: str) -> Conversation:
        return self._replace(replace(await self.get(id), title=bounded_title(title)))

    async def annotate(self, id: str, metadata: Mapping[str, str]) -> Conversation:
        return self._replace(replace(await self.get(id), metadata=dict(metadata)))

    async def rewrite(self, message: str, text: str, items: bytes) -> None:
        home = self._home.get(message)
        if home is not None:
            there = self._messages[home][message]
            self._messages[home][message] = replace(there, text=text, items=items)

    def _replace(self, conversation: Conversation) -> Conversation:
        self._conversations[conversation.id] = conversation
        return conversation

    async def delete(self, id: str) -> list[str]:
        await self.get(id)
        del self._conversations[id]
        self._attachments.pop(id, None)
        messages = self._messages.pop(id)
        for message in messages:
            del self._home[message]
        return [m.stream for m in messages.values() if m.stream is not None]
