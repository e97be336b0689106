"""Work that goes on elsewhere: left at a drain and gone on with by the next engine, stopped when
nobody wants it, and never begun twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from fairlead.engine.ask import Ask
from fairlead.engine.engine import Engine
from fairlead.errors import UpstreamCut
from fairlead.events.model import Event, Mark, Token
from fairlead.policy.caller import Caller
from fairlead.ports.pouring import Sink
from fairlead.ports.provider import GenerationRequest, Turn
from fairlead.ports.transform import StreamTransform
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from tests.engine.conftest import ALICE, Bench, make_engine

WORDS = tuple(f"w{n} " for n in range(10))


class Elsewhere:
    """Where the work is done, whatever becomes of those who read it: words that a test lets out."""

    def __init__(self) -> None:
        self.out = 0
        self.begun = 0
        self.forsaken: list[str] = []
        self._news = asyncio.Event()

    def let(self, count: int) -> None:
        self.out = min(len(WORDS), self.out + count)
        self._news.set()

    async def word(self, number: int) -> str:
        while number >= self.out:
            self._news.clear()
            await self._news.wait()
        return WORDS[number]


class Worker:
    """Reads from there. Marks stand before every third word."""

    context_tokens = 8_000
    takes: tuple[str, ...] = ()

    def __init__(self, elsewhere: Elsewhere, name: str = "worker") -> None:
        self.name = name
        self.resumed: list[tuple[Mark, list[Event]]] = []
        self.fails: Exception | None = None
        self._elsewhere = elsewhere

    def generate(self, request: GenerationRequest) -> Any:
        raise AssertionError("it pours")

    async def pour(self, request: GenerationRequest, sink: Sink) -> None:
        self._elsewhere.begun += 1
        await self._write(0, sink)

    async def _write(self, number: int, sink: Sink) -> None:
        while number < len(WORDS):
            if number % 3 == 0:
                sink.write((Mark(1, self.name, msgspec.Raw(b"%d" % number)),))
            if self.fails is not None and number == 4:
                raise self.fails
            sink.write((Token(1, await self._elsewhere.word(number)),))
            number += 1

    def resumes(self, mark: Mark) -> bool:
        return mark.upstream == self.name

    async def resume(
        self, request: GenerationRequest, mark: Mark, seen: Sequence[Event], sink: Sink
    ) -> None:
        self.resumed.append((mark, list(seen)))
        await self._write(int(bytes(mark.place)) + len(seen), sink)

    async def forsake(self, mark: Mark) -> None:
        self._elsewhere.forsaken.append(bytes(mark.place).decode())

    async def close(self) -> None:
        pass


class Scene:
    """Engines one after the other, over the same stores."""

    def __init__(self) -> None:
        self.elsewhere = Elsewhere()
        self.store = MemoryStore()
        self.conversations = MemoryConversations()

    @asynccontextmanager
    async def engine(
        self, name: str = "worker", change: Callable[[Engine], None] = lambda _: None, **limits: Any
    ) -> AsyncGenerator[tuple[Bench, Worker], None]:
        worker = Worker(self.elsewhere, name)
        engine = make_engine(self.store, self.conversations, worker, **limits)
        change(engine)
        await engine.open()
        try:
            yield Bench(engine, None), worker  # type: ignore[arg-type]  # it speaks for itself
        finally:
            await engine.close()


@pytest.fixture
async def scene() -> AsyncGenerator[Scene, None]:
    made = Scene()
    async with AsyncExitStack() as stack:
        await made.store.open()
        stack.push_async_callback(made.store.close)
        await made.conversations.open()
        stack.push_async_callback(made.conversations.close)
        yield made


async def left(scene: Scene, words: int, **limits: Any) -> str:
    """An answer that an engine has left after so many words."""
    async with scene.engine(**limits) as (bench, _):
        stream = await bench.ask(background=True)
        scene.elsewhere.let(words)
        text = "".join(WORDS[:words])
        reading = await (await bench.read(stream)).until(
            lambda r: r.text == text and bool(r.names())
        )
        reading.detach()
    assert not (await scene.store.info(stream)).head.closed
    assert not scene.elsewhere.forsaken
    return stream


@pytest.mark.parametrize("words", range(1, 10))
async def test_the_next_engine_goes_on(scene: Scene, words: int) -> None:
    stream = await left(scene, words)
    async with scene.engine() as (bench, worker):
        scene.elsewhere.let(len(WORDS))
        reading = await (await bench.read(stream)).to_end()
        assert reading.text == "".join(WORDS)
        assert reading.names()[-1] == "done"
        ((mark, seen),) = worker.resumed
        marked = words // 3 * 3
        assert bytes(mark.place) == b"%d" % marked
        assert [e.text for e in seen if isinstance(e, Token)] == list(WORDS[marked:words])
        await bench.engine.wait_idle()
        found = await bench.engine.read(ALICE, stream)
        assert found.answer.status == "completed"
        message = (await scene.conversations.messages(found.meta.conversation))[-1]
        assert (message.status, message.text) == ("completed", "".join(WORDS))
    assert scene.elsewhere.begun == 1
    assert not scene.elsewhere.forsaken


async def read_up_to(bench: Bench, stream: str, text: str) -> None:
    reading = await (await bench.read(stream)).until(lambda r: r.text == text)
    reading.detach()


async def test_it_is_left_and_gone_on_with_again_and_again(scene: Scene) -> None:
    stream = await left(scene, 1)
    for count in range(2, 10):
        async with scene.engine() as (bench, _):
            scene.elsewhere.let(1)
            await read_up_to(bench, stream, "".join(WORDS[:count]))
    async with scene.engine() as (bench, _):
        scene.elsewhere.let(1)
        assert (await (await bench.read(stream)).to_end()).text == "".join(WORDS)
    assert scene.elsewhere.begun == 1


async def test_what_nobody_here_can_go_on_with_is_interrupted(scene: Scene) -> None:
    stream = await left(scene, 4)
    async with scene.engine("another") as (bench, worker):
        assert not worker.resumed
        reading = await (await bench.read(stream)).to_end()
        assert reading.text == "".join(WORDS[:4])
        assert reading.events[-1][1]["code"] == "interrupted"


class Shouting:
    """A transform."""

    async def prompt(self, turns: tuple[Turn, ...], caller: Caller) -> tuple[Turn, ...]:
        return turns

    def stream(self, caller: Caller) -> StreamTransform | None:
        return None


async def test_what_transforms_may_have_changed_is_interrupted(scene: Scene) -> None:
    def change(engine: Engine) -> None:
        engine.transforms = Shouting()

    async with scene.engine(change=change) as (bench, _):
        stream = await bench.ask(background=True)
        scene.elsewhere.let(4)
        reading = await (await bench.read(stream)).until(lambda r: r.text == "".join(WORDS[:4]))
    assert (await reading.to_end()).events[-1][1]["code"] == "interrupted"
    assert scene.elsewhere.forsaken == ["3"]


async def test_a_stop_meanwhile_is_heard_by_who_goes_on(scene: Scene) -> None:
    stream = await left(scene, 4)
    await scene.store.signal(stream, "stop")
    async with scene.engine() as (bench, _):
        reading = await (await bench.read(stream)).to_end()
        assert reading.events[-1] == ("done", {"status": "stopped", "reason": "stop"})
    assert scene.elsewhere.forsaken == ["3"]


async def test_what_ends_otherwise_is_forsaken(scene: Scene) -> None:
    async with scene.engine() as (bench, worker):
        stream = await bench.ask()
        scene.elsewhere.let(2)
        reading = await (await bench.read(stream)).until(lambda r: r.text == "".join(WORDS[:2]))
        await bench.engine.stop(ALICE, stream)
        await reading.to_end()
        assert scene.elsewhere.forsaken == ["0"]

        worker.fails = UpstreamCut("the line broke")
        scene.elsewhere.let(10)
        failed = await (await bench.read(await bench.ask())).to_end()
        assert failed.events[-1][1]["code"] == "upstream_cut"
        await bench.engine.wait_idle()
        assert scene.elsewhere.forsaken == ["0", "3"]

        worker.fails = None
        whole = await (await bench.read(await bench.ask())).to_end()
        assert whole.text == "".join(WORDS)
        await bench.engine.wait_idle()
        assert scene.elsewhere.forsaken == ["0", "3"]


async def test_an_answer_that_has_run_too_long_is_not_given_more_time_by_a_restart(
    scene: Scene,
) -> None:
    stream = await left(scene, 4, deadline=3600.0)
    async with scene.engine(deadline=0.001) as (bench, _):
        reading = await (await bench.read(stream)).to_end()
        assert reading.events[-1][1]["code"] == "deadline_exceeded"
    assert scene.elsewhere.forsaken == ["3"]


async def test_marks_are_shown_to_nobody_and_count_as_nothing(scene: Scene) -> None:
    async with scene.engine() as (bench, _):
        scene.elsewhere.let(len(WORDS))
        started = await bench.engine.start(ALICE, Ask(message="Why?"))
        reading = await (await bench.read(started.stream)).to_end()
        assert set(reading.names()) == {"thinking", "token", "done"}
