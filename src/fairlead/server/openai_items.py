"""Conversations as lists of items, as OpenAI has them: what was asked in those words is kept in
them, an answer's items are its stream's, and of other messages items are made."""

from __future__ import annotations

import base64
import os
from typing import Any

import msgspec

from fairlead.dialects.openai_responses import Response
from fairlead.engine.ask import Kept
from fairlead.errors import BadRequest, FairleadError, HistoryGone, NotFound
from fairlead.events.meta import decode_meta
from fairlead.policy.caller import Caller
from fairlead.ports.conversations import Conversation, Message, Role
from fairlead.primitives import random_id
from fairlead.server.system import System

#: What a conversation's id begins with; Fairlead's own follows.
PREFIX = "conv_"

_ID_PREFIXES = {
    "message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco",
    "custom_tool_call": "ctc", "custom_tool_call_output": "ctco",
}  # fmt: skip
_ROLES: dict[str, Role] = {
    "user": "user", "assistant": "assistant", "system": "system", "developer": "system",
}  # fmt: skip


class Held(msgspec.Struct, frozen=True):
    """A conversation, and the messages of the branch in use with the items of each."""

    conversation: Conversation
    said: list[tuple[Message, list[Any]]]

    @property
    def items(self) -> list[Any]:
        """All items, oldest first."""
        return [item for _, items in self.said for item in items]

    @property
    def running(self) -> bool:
        """Whether the newest answer is still being written."""
        return bool(self.said) and self.said[-1][0].status == "running"


async def held(system: System, caller: Caller, id: str) -> Held:
    """The conversation of this id, with or without what it begins with. Raises
    :class:`~fairlead.errors.NotFound`."""
    found, messages = await system.engine.dialogues.read(caller, id.removeprefix(PREFIX))
    known = {message.id: message for message in messages}
    branch: list[Message] = []
    at = found.leaf
    while at is not None and at in known:
        branch.append(known[at])
        at = known[at].parent
    branch.reverse()
    return Held(found, [(each, await _items(system, caller, found.id, each)) for each in branch])


async def _items(system: System, caller: Caller, conversation: str, message: Message) -> list[Any]:
    """The items of a message; of an answer that is being written there are none yet."""
    if message.items:
        items: list[Any] = msgspec.json.decode(message.items)
        return items
    if message.status == "running":
        return []
    if message.stream is not None:
        try:
            info = await system.engine.info(caller, message.stream)
            sum = Response(message.stream, decode_meta(info.meta))
            await system.engine.replay(caller, message.stream, sum.add)
            return sum.output
        except (NotFound, HistoryGone):
            pass  # its text has been kept
    said = "output_text" if message.role == "assistant" else "input_text"
    content: list[Any] = [_text(said, message.text)] if message.text else []
    for attached in message.attachments:
        found = await system.engine.dialogues.attachment(caller, conversation, attached.id)
        address = f"data:{found.type};base64,{base64.b64encode(found.data).decode()}"
        if found.type.startswith("image/"):
            content.append({"type": "input_image", "image_url": address, "detail": "auto"})
        else:
            content.append({"type": "input_file", "filename": found.name, "file_data": address})
    if not content:
        return []
    return [
        {
            "id": f"msg_{message.id}",
            "type": "message",
            "status": "completed",
            "role": message.role,
            "content": content,
        }
    ]


def _text(type: str, text: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": type, "text": text}
    return made | {"annotations": [], "logprobs": []} if type == "output_text" else made


def renamed(items: list[Any]) -> list[Any]:
    """The items with ids that no other item has."""
    id = random_id(os.urandom(16))
    return [
        item | {"id": f"{_ID_PREFIXES.get(item['type'], 'item')}_{id}_{number}"}
        for number, item in enumerate(items)
    ]


def kept(items: list[Any]) -> Kept:
    """A question as its conversation keeps it."""
    text = "\n\n".join(filter(None, map(text_of, items)))
    return Kept(text, msgspec.json.encode(renamed(items)))


def text_of(item: Any) -> str:
    """What people read of an item that was asked with; empty where there is nothing."""
    content = item.get("content")
    if item.get("type") != "message" or not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n\n".join(text for text in texts if isinstance(text, str))


def messages(items: list[Any], parent: str | None, now: float) -> list[Message]:
    """Items that were written elsewhere, each as a message, the first one after ``parent``."""
    made: list[Message] = []
    for item in renamed(items):
        id = random_id(os.urandom(16))
        calls = item["type"] in ("function_call", "custom_tool_call", "reasoning")
        role: Role = _ROLES.get(item.get("role") or "", "assistant" if calls else "user")
        made.append(
            Message(
                id=id,
                parent=parent,
                role=role,
                text=text_of(item),
                created=now,
                items=msgspec.json.encode([item]),
            )
        )
        parent = id
    return made


async def remove(system: System, caller: Caller, id: str, item: str) -> Conversation:
    """Remove an item from its conversation. Raises :class:`~fairlead.errors.NotFound`."""
    found = await held(system, caller, id)
    for message, items in found.said:
        left = [each for each in items if each["id"] != item]
        if len(left) < len(items):
            texts = filter(None, map(text_of, left))
            await system.engine.dialogues.rewrite(
                caller,
                found.conversation.id,
                message.id,
                "\n\n".join(texts),
                msgspec.json.encode(left),
            )
            return found.conversation
    raise unknown_item(item)


def unknown_item(id: str) -> FairleadError:
    """The error for an item that is not there."""
    return NotFound(f"there is no item {id[:100]!r} in this conversation", param="item_id")


def check(items: list[Any]) -> None:
    """Raise :class:`~fairlead.errors.BadRequest` for what no item may be added as."""
    for number, item in enumerate(items):
        if item["type"] == "item_reference":
            raise BadRequest(
                "an item is added as it is, not by its id", param=f"items[{number}].type"
            )
