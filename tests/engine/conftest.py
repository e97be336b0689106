"""An engine on the memory store, with a provider that the test speaks through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from fairlead.dialects import native
from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.engine.limits import Limits
from fairlead.engine.models import Model, Models
from fairlead.engine.reader import Reader
from fairlead.framing.event_stream import Parser
from fairlead.journal.position import Position, parse_position
from fairlead.policy.admission import Room
from fairlead.policy.caller import Caller
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.provider import ScriptedProvider
from fairlead.transports.sse import SseWire

ALICE = Caller("alice")
BOB = Caller("bob")


class Reading:
    """A reader's client: takes bytes, parses them, keeps text and position."""

    def __init__(self, engine: Engine, reader: Reader[Any]) -> None:
        self.engine = engine
        self.reader = reader
        self.parser = Parser()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.position: Position | None = None
        self.ids: list[str] = []
        self.text = ""
        self.writes = 0
        self._woken = asyncio.Event()
        reader.notify = self._woken.set

    async def step(self) -> bool:
        """Take once, waiting if there is nothing; False at the end."""
        data = self.reader.take(4096)
        if data:
            self.writes += 1
            for frame in self.parser.feed(data):
                self._event(frame.event, frame.data, frame.id)
            return True
        if self.reader.cold:
            await self.reader.fill()
            return True
        if self.reader.ended:
            return False
        await self._woken.wait()
        self._woken.clear()
        return True

    async def until(self, done: Callable[[Reading], bool]) -> Reading:
        while not done(self):
            assert await self.step(), f"the stream ended first: {self.events}"
        return self

    async def to_end(self) -> Reading:
        while await self.step():
            pass
        return self

    def detach(self) -> None:
        self.engine.detach(self.reader)

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def _event(self, name: str, data: bytes, id: str | None) -> None:
        fields = json.loads(data)
        self.events.append((name, fields))
        if name == "token":
            self.text += fields["token"]
        elif name == "reset":
            self.text = fields["text"]
        assert id is not None
        self.ids.append(id)
        self.position = parse_position(id.partition(".")[2])


class Bench:
    """An engine and what a test needs around it."""

    def __init__(self, engine: Engine, provider: ScriptedProvider) -> None:
        self.engine = engine
        self.provider = provider

    async def ask(self, message: str = "Why?", caller: Caller = ALICE, **fields: Any) -> str:
        started = await self.engine.start(caller, Ask(message=message, **fields))
        return started.stream

    async def read(
        self, stream: str, after: Position | None = None, caller: Caller = ALICE
    ) -> Reading:
        reader = await self.engine.attach(
            caller, stream, after, lambda id, meta: SseWire(id, meta, native.Options())
        )
        return Reading(self.engine, reader)


def make_engine(store: Any, conversations: Any, provider: Any, **limits: Any) -> Engine:
    return Engine(
        store=store,
        conversations=conversations,
        models=Models([Model("scripted", provider)]),
        knowledge=None,
        secret=b"a secret of the deployment",
        limits=Limits(**limits),
    )


@pytest.fixture
async def bench() -> AsyncGenerator[Bench, None]:
    store, conversations, provider = MemoryStore(), MemoryConversations(), ScriptedProvider()
    await store.open()
    await conversations.open()
    engine = make_engine(store, conversations, provider, room=Room(running=5, waiting=0), readers=8)
    await engine.open()
    yield Bench(engine, provider)
    await engine.close()
    await conversations.close()
    await store.close()
