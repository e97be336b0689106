"""What a provider writes together goes to the store together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fairlead.engine.writer import Writer
from fairlead.events.codec import decode
from fairlead.events.model import Thinking, Token
from fairlead.events.states import IllegalEvent
from fairlead.ports.store import Created, StreamSpec
from fairlead.stores.memory import MemoryStore


class Counting(MemoryStore):
    """A store that tells how many records each append had."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[int] = []

    def submit(self, id: str, epoch: Any, at: int, records: Sequence[bytes], *rest: Any) -> None:
        self.appends.append(len(records))
        super().submit(id, epoch, at, records, *rest)


async def _writer(store: Counting) -> Writer:
    await store.open()
    await store.join("me", 60)
    made = await store.create(StreamSpec(id="s", owner="o", content_type="x"), writer="me")
    assert isinstance(made, Created)
    assert made.epoch is not None
    writer = Writer(store, "s", max_event_bytes=1000)
    writer.begin(made.epoch, 0)
    return writer


async def test_events_taken_together_are_one_append() -> None:
    store = Counting()
    writer = await _writer(store)
    for text in "abc":
        writer.take(Token(1, text))
    assert store.appends == []
    writer.send()
    await writer.durable()
    assert store.appends == [3]
    records = (await store.read("s", 0, 1 << 20)).records
    assert [decode(record) for record in records] == [Token(1, text) for text in "abc"]


async def test_what_may_not_stand_there_takes_nothing_along() -> None:
    store = Counting()
    writer = await _writer(store)
    writer.take(Thinking(1, "writing"))
    with pytest.raises(IllegalEvent):
        writer.take(Token(1, "a", part=7))
    writer.send()
    await writer.durable()
    assert store.appends == [1]
