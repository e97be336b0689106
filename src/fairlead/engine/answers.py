"""Answers as wholes: read from the log, written into their dialogues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from fairlead.engine.reader import READ_BYTES
from fairlead.errors import HistoryGone
from fairlead.events.answer import Answer
from fairlead.events.codec import decode
from fairlead.events.meta import GenerationMeta, decode_meta
from fairlead.events.model import Asked, Error, Event, Mark, Progress, Sources, Thinking, Unknown
from fairlead.journal.log import Head, position
from fairlead.journal.position import Position
from fairlead.ports.conversations import Conversations
from fairlead.ports.store import Store, StreamInfo

#: What is nothing of an answer yet.
_BEFORE = (Asked, Mark, Thinking, Sources, Progress, Unknown)


class Snapshot(NamedTuple):
    """A stream at one moment: who and what it is, the answer so far, and where that ends."""

    info: StreamInfo
    meta: GenerationMeta
    answer: Answer
    position: Position | None


async def add_up(
    store: Store, stream: str, max_chars: int | None = None, *, before: int | None = None
) -> tuple[Answer, int, Head]:
    """What the events so far add up to (those before an offset alone, if one is given), the offset
    after them, and the log's head."""
    answer = Answer(max_chars)
    offset = 0
    while True:
        batch = await store.read(stream, offset, READ_BYTES)
        records = batch.records if before is None else batch.records[: before - batch.offset]
        for record in records:
            answer.add(decode(record))
        offset = batch.offset + len(records)
        if offset >= batch.head.tail or len(records) < len(batch.records):
            return answer, offset, batch.head


async def replay(
    store: Store, stream: str, add: Callable[[Event | Unknown], None], *, first: bool = False
) -> None:
    """Give ``add`` the events so far, from the first one on (or that one alone). Raises
    :class:`~fairlead.errors.HistoryGone` where retention has removed that."""
    offset = 0
    while True:
        batch = await store.read(stream, offset, 1 if first else READ_BYTES)
        if batch.offset != offset:
            raise HistoryGone("the beginning of this answer was removed by retention")
        for record in batch.records:
            add(decode(record))
        offset += len(batch.records)
        if first or offset >= batch.head.tail:
            return


async def snapshot(store: Store, info: StreamInfo) -> Snapshot:
    """The answer so far, as a whole."""
    answer, offset, head = await add_up(store, info.spec.id)
    return Snapshot(info, decode_meta(info.meta), answer, position(head, offset))


async def beginning(store: Store, stream: str, patience: float) -> Error | None:
    """Wait until something of the answer is there, ``patience`` seconds at most; the error, if it
    has ended with one before that."""
    news = asyncio.Event()
    watch = store.watch(stream, news.set)
    offset = 0
    try:
        async with asyncio.timeout(patience):
            while True:
                # From memory while it is written here, which it nearly always is.
                batch = store.recent(stream, offset, READ_BYTES)
                if batch is None:
                    batch = await store.read(stream, offset, READ_BYTES)
                for record in batch.records:
                    event = decode(record)
                    if isinstance(event, Error):
                        return event
                    if not isinstance(event, _BEFORE):
                        return None
                offset = batch.offset + len(batch.records)
                if batch.head.closed and offset >= batch.head.tail:
                    return None
                if not batch.records:
                    await news.wait()
                    news.clear()
    except TimeoutError:
        return None
    finally:
        watch.cancel()


async def settle(conversations: Conversations, meta: GenerationMeta, answer: Answer) -> None:
    """Write an ended answer into its message, if it has one."""
    if meta.message:
        await conversations.finish(meta.message, answer.text, answer.status, answer.sources)
