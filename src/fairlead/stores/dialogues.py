"""The rules of dialogues, the same wherever they are kept."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from msgspec.structs import replace

from fairlead.errors import BadRequest, NotFound
from fairlead.events.attachment import Attachment
from fairlead.ports.conversations import Conversation, Message

#: Characters that are kept of a title.
TITLE_LENGTH = 200


def bounded_title(title: str) -> str:
    """A title in one line, not longer than :data:`TITLE_LENGTH`."""
    title = " ".join(title.split())
    return title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 1] + "…"


#: Capital letters A to Z, which is what SQLite's LIKE tells not from small ones.
_SMALL = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


def folded(text: str) -> str:
    """A text as it is searched: with small letters for A to Z."""
    return text.translate(_SMALL)


def fresh_conversation(conversation: Conversation) -> Conversation:
    """A conversation as it is first kept; its messages decide on the leaf."""
    return replace(conversation, title=bounded_title(conversation.title), leaf=None)


def fresh_messages(messages: Sequence[Message], known: Container[str]) -> list[Message]:
    """Those whose ids are new. Each must follow one that is known or stands before it, so that
    every branch leads back to a beginning; NotFound otherwise."""
    fresh: dict[str, Message] = {}
    for message in messages:
        if message.id in known or message.id in fresh:
            continue
        parent = message.parent
        if parent is not None and parent not in known and parent not in fresh:
            raise unknown_message(parent)
        fresh[message.id] = message
    return list(fresh.values())


def named(message: Message, given: Mapping[str, Attachment] | None) -> list[str]:
    """The ids of the attachments that a message names and that were given with it."""
    return [one.id for one in message.attachments if one.id in (given or {})]


def updated(there: Conversation, asked: Conversation, leaf: str) -> Conversation:
    """``there`` with new messages, the last of them ``leaf``, put when ``asked`` says."""
    return replace(there, updated=max(there.updated, asked.updated), leaf=leaf)


def write_cursor(last: Conversation) -> str:
    """Where a listing goes on after ``last``."""
    return f"{last.updated!r}~{last.id}"


def read_cursor(cursor: str) -> tuple[float, str]:
    """What :func:`write_cursor` wrote; :class:`~fairlead.errors.BadRequest` for anything else."""
    at, found, id = cursor.partition("~")
    try:
        if found:
            return float(at), id
    except ValueError:
        pass
    raise BadRequest("the cursor is not one that the server gave")


def unknown_conversation(id: str) -> NotFound:
    """The error for a conversation that is not there."""
    return NotFound(f"there is no conversation {id!r}")


def unknown_message(id: str) -> NotFound:
    """The error for a message that is not in the conversation."""
    return NotFound(f"there is no message {id!r} in this conversation")
