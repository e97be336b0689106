"""Dialogues in a SQLite file of their own, apart from the journal, whose commits they would
otherwise hold up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import msgspec
from msgspec.structs import replace

from fairlead.events.attachment import Attachment
from fairlead.events.model import Source
from fairlead.ports.conversations import (
    Attached,
    Conversation,
    ConversationPage,
    Message,
    Status,
)
from fairlead.ports.store import Durability
from fairlead.stores.dialogues import (
    bounded_title,
    fresh_conversation,
    fresh_messages,
    named,
    read_cursor,
    unknown_conversation,
    unknown_message,
    updated,
    write_cursor,
)
from fairlead.stores.sqlite.connection import rows
from fairlead.stores.sqlite.file import Layout, SqliteFile

#: Marks the file as ours ("Fric").
APPLICATION_ID = 0x46726963
VERSION = 3

# attachments.id: as messages name it; the same only within a conversation.
_ATTACHMENTS = """
CREATE TABLE attachments (
    conversation TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (conversation, id)
);
"""

# messages.num: order of arrival. sources, attachments, items, metadata: JSON, empty for none.
_TABLES = """
CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    leaf TEXT,
    metadata BLOB NOT NULL DEFAULT x''
);
CREATE INDEX conversations_of_owner ON conversations (owner, updated, id);
CREATE TABLE messages (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    conversation TEXT NOT NULL,
    parent TEXT,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    created REAL NOT NULL,
    stream TEXT,
    status TEXT NOT NULL,
    sources BLOB NOT NULL,
    shown INTEGER,
    attachments BLOB NOT NULL DEFAULT x'',
    items BLOB NOT NULL DEFAULT x''
);
CREATE INDEX messages_of_conversation ON messages (conversation, num);
"""

# From each earlier layout to the next.
_STEPS = {
    1: "ALTER TABLE messages ADD COLUMN attachments BLOB NOT NULL DEFAULT x'';" + _ATTACHMENTS,
    2: "ALTER TABLE conversations ADD COLUMN metadata BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE messages ADD COLUMN items BLOB NOT NULL DEFAULT x'';",
}

_LAYOUT = Layout(_TABLES + _ATTACHMENTS, APPLICATION_ID, VERSION, _STEPS)

_CONVERSATION = "SELECT id, owner, title, created, updated, leaf, metadata FROM conversations "
_LISTED = (
    "SELECT id, owner, title, created, updated, leaf, metadata,"
    " (SELECT status FROM messages WHERE id = leaf) FROM conversations "
)
_SEARCH = (
    "AND (title LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM messages"
    " WHERE conversation = conversations.id AND text LIKE ? ESCAPE '\\')) "
)
_COLUMNS = "id, parent, role, text, created, stream, status, sources, shown, attachments, items"
_MARKS = ", ".join("?" * 12)

_sources: msgspec.json.Decoder[tuple[Source, ...]] = msgspec.json.Decoder(tuple[Source, ...])
_metadata: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
_attached: msgspec.json.Decoder[tuple[Attached, ...]] = msgspec.json.Decoder(tuple[Attached, ...])


class SqliteConversations:
    """A :class:`~fairlead.ports.conversations.Conversations` in the SQLite file at ``path``, which
    several processes may have open. Calls run on a thread of their own, one transaction each."""

    def __init__(self, path: Path, *, durability: Durability = Durability.PROCESS) -> None:
        self._file = SqliteFile(path, _LAYOUT, durability, "fairlead-records")

    async def open(self) -> None:
        await self._file.open()

    async def close(self) -> None:
        await self._file.close()

    async def put(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        attachments: Mapping[str, Attachment] | None = None,
    ) -> Conversation:
        return await self._file.run(
            partial(
                _put, conversation=conversation, messages=messages, attachments=attachments or {}
            )
        )

    async def attachments(self, id: str, ids: Sequence[str]) -> dict[str, Attachment]:
        return await self._file.read(partial(_attachments, id=id, ids=ids))

    async def get(self, id: str) -> Conversation:
        return await self._file.read(partial(_get, id=id))

    async def page(
        self, owner: str, cursor: str | None = None, limit: int = 50, search: str = ""
    ) -> ConversationPage:
        before = None if cursor is None else read_cursor(cursor)
        return await self._file.read(
            partial(_page, owner=owner, before=before, limit=limit, search=search)
        )

    async def messages(self, id: str) -> list[Message]:
        return await self._file.read(partial(_messages, id=id))

    async def path(self, id: str, leaf: str | None = None, limit: int = 200) -> list[Message]:
        return await self._file.read(partial(_branch, id=id, leaf=leaf, limit=limit))

    async def finish(
        self, message: str, text: str, status: Status, sources: Sequence[Source] = ()
    ) -> None:
        await self._file.run(
            partial(_finish, message=message, text=text, status=status, sources=sources)
        )

    async def show(self, message: str, chars: int) -> None:
        await self._file.run(partial(_show, message=message, chars=chars))

    async def select(self, id: str, leaf: str) -> Conversation:
        return await self._file.run(partial(_select, id=id, leaf=leaf))

    async def rename(self, id: str, title: str) -> Conversation:
        return await self._file.run(partial(_rename, id=id, title=title))

    async def annotate(self, id: str, metadata: Mapping[str, str]) -> Conversation:
        return await self._file.run(partial(_annotate, id=id, metadata=metadata))

    async def rewrite(self, message: str, text: str, items: bytes) -> None:
        await self._file.run(partial(_rewrite, message=message, text=text, items=items))

    async def delete(self, id: str) -> list[str]:
        return await self._file.run(partial(_delete, id=id))


def _conversation(row: tuple[Any, ...]) -> Conversation:
    id, owner, title, created, updated_at, leaf, metadata = row
    return Conversation(
        id=id,
        owner=owner,
        title=title,
        created=created,
        updated=updated_at,
        leaf=leaf,
        metadata=_metadata.decode(metadata) if metadata else {},
    )


def _message(row: tuple[Any, ...]) -> Message:
    id, parent, role, text, created, stream, status, sources, shown, attachments, items = row
    return Message(
        id=id,
        parent=parent,
        role=role,
        text=text,
        created=created,
        stream=stream,
        status=status,
        sources=_sources.decode(sources) if sources else (),
        shown=shown,
        attachments=_attached.decode(attachments) if attachments else (),
        items=items,
    )


def _column(structs: Sequence[Source] | Sequence[Attached]) -> bytes:
    return msgspec.json.encode(structs) if structs else b""


def _noted(metadata: Mapping[str, str]) -> bytes:
    return msgspec.json.encode(metadata) if metadata else b""


def _put(
    db: apsw.Connection,
    conversation: Conversation,
    messages: Sequence[Message],
    attachments: Mapping[str, Attachment],
) -> Conversation:
    found = rows(db, _CONVERSATION + "WHERE id = ?", (conversation.id,))
    there = _conversation(found[0]) if found else None
    if there is not None and there.owner != conversation.owner:
        raise unknown_conversation(conversation.id)
    homes: dict[str, str] = {}
    for message in messages:
        for id in {message.id, message.parent} - {None, *homes}:
            for (home,) in rows(db, "SELECT conversation FROM messages WHERE id = ?", (id,)):
                homes[str(id)] = home
    known = {id for id, home in homes.items() if home == conversation.id}
    ours = [m for m in messages if m.id in known or m.id not in homes]
    fresh = fresh_messages(ours, known)
    if there is None:
        there = fresh_conversation(conversation)
    elif not fresh:
        return there
    if fresh:
        there = updated(there, conversation, ours[-1].id)
    db.execute(
        "INSERT INTO conversations (id, owner, title, created, updated, leaf, metadata) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, leaf = excluded.leaf",
        (
            there.id,
            there.owner,
            there.title,
            there.created,
            there.updated,
            there.leaf,
            _noted(there.metadata),
        ),
    )
    db.executemany(
        f"INSERT INTO messages (conversation, {_COLUMNS}) VALUES ({_MARKS})",
        [
            (
                there.id,
                m.id,
                m.parent,
                m.role,
                m.text,
                m.created,
                m.stream,
                m.status,
                _column(m.sources),
                m.shown,
                _column(m.attachments),
                m.items,
            )
            for m in fresh
        ],
    )
    # Not in one go: a row may have megabytes.
    for id in {id: None for m in fresh for id in named(m, attachments)}:
        given = attachments[id]
        db.execute(
            "INSERT INTO attachments (conversation, id, type, name, data) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (there.id, id, given.type, given.name, given.data),
        )
    return there


def _attachments(db: apsw.Connection, id: str, ids: Sequence[str]) -> dict[str, Attachment]:
    _get(db, id)
    found: dict[str, Attachment] = {}
    for one in ids:
        for type, name, data in rows(
            db,
            "SELECT type, name, data FROM attachments WHERE conversation = ? AND id = ?",
            (id, one),
        ):
            found[one] = Attachment(type, data, name)
    return found


def _get(db: apsw.Connection, id: str) -> Conversation:
    for row in rows(db, _CONVERSATION + "WHERE id = ?", (id,)):
        return _conversation(row)
    raise unknown_conversation(id)


def _page(
    db: apsw.Connection, owner: str, before: tuple[float, str] | None, limit: int, search: str
) -> ConversationPage:
    condition = "" if before is None else "AND (updated, id) < (?, ?) "
    values: tuple[str | float, ...] = (owner, *(before or ()))
    if search:
        condition += _SEARCH
        pattern = "%" + "".join(f"\\{c}" if c in "%_\\" else c for c in search) + "%"
        values += (pattern, pattern)
    found = rows(
        db,
        f"{_LISTED}WHERE owner = ? {condition}ORDER BY updated DESC, id DESC LIMIT ?",
        (*values, limit + 1),
    )
    items = tuple(replace(_conversation(row[:-1]), status=row[-1]) for row in found[:limit])
    return ConversationPage(items, write_cursor(items[-1]) if len(found) > limit else None)


def _messages(db: apsw.Connection, id: str) -> list[Message]:
    _get(db, id)
    found = rows(db, f"SELECT {_COLUMNS} FROM messages WHERE conversation = ? ORDER BY num", (id,))
    return [_message(row) for row in found]


def _branch(db: apsw.Connection, id: str, leaf: str | None, limit: int) -> list[Message]:
    conversation = _get(db, id)
    at = conversation.leaf if leaf is None else leaf
    if at is None:
        return []
    _in_conversation(db, id, at)
    found = rows(
        db,
        f"WITH RECURSIVE up (height, {_COLUMNS}) AS ("
        f"SELECT 0, {_COLUMNS} FROM messages WHERE id = ? UNION ALL "
        f"SELECT height + 1, {', '.join('m.' + c for c in _COLUMNS.split(', '))} "
        "FROM up JOIN messages m ON m.id = up.parent LIMIT ?) "
        f"SELECT {_COLUMNS} FROM up ORDER BY height DESC",
        (at, limit),
    )
    return [_message(row) for row in found]


def _in_conversation(db: apsw.Connection, id: str, message: str) -> None:
    if not rows(db, "SELECT 1 FROM messages WHERE id = ? AND conversation = ?", (message, id)):
        raise unknown_message(message)


def _finish(
    db: apsw.Connection, message: str, text: str, status: Status, sources: Sequence[Source]
) -> None:
    db.execute(
        "UPDATE messages SET text = ?, status = ?, sources = ? WHERE id = ?",
        (text, status, _column(sources), message),
    )


def _show(db: apsw.Connection, message: str, chars: int) -> None:
    db.execute("UPDATE messages SET shown = ifnull(shown, ?) WHERE id = ?", (chars, message))


def _select(db: apsw.Connection, id: str, leaf: str) -> Conversation:
    conversation = _get(db, id)
    _in_conversation(db, id, leaf)
    db.execute("UPDATE conversations SET leaf = ? WHERE id = ?", (leaf, id))
    return replace(conversation, leaf=leaf)


def _rename(db: apsw.Connection, id: str, title: str) -> Conversation:
    conversation = _get(db, id)
    title = bounded_title(title)
    db.execute("UPDATE conversations SET title = ? WHERE id = ?", (title, id))
    return replace(conversation, title=title)


def _annotate(db: apsw.Connection, id: str, metadata: Mapping[str, str]) -> Conversation:
    conversation = _get(db, id)
    db.execute("UPDATE conversations SET metadata = ? WHERE id = ?", (_noted(metadata), id))
    return replace(conversation, metadata=dict(metadata))


def _rewrite(db: apsw.Connection, message: str, text: str, items: bytes) -> None:
    db.execute("UPDATE messages SET text = ?, items = ? WHERE id = ?", (text, items, message))


def _delete(db: apsw.Connection, id: str) -> list[str]:
    _get(db, id)
    streams = rows(
        db,
        "SELECT stream FROM messages WHERE conversation = ? AND stream IS NOT NULL ORDER BY num",
        (id,),
    )
    db.execute("DELETE FROM messages WHERE conversation = ?", (id,))
    db.execute("DELETE FROM attachments WHERE conversation = ?", (id,))
    db.execute("DELETE FROM conversations WHERE id = ?", (id,))
    return [stream for (stream,) in streams]
