"""What is told of generations while they run, and when they have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from fairlead.engine import course
from fairlead.engine.ask import Ask
from fairlead.engine.course import Course
from fairlead.engine.engine import Engine
from fairlead.engine.limits import Limits
from fairlead.engine.models import Model, Models
from fairlead.engine.overview import LiveStream, Sort, chosen
from fairlead.errors import Busy, NotFound, UpstreamCut
from fairlead.events.answer import Answer
from fairlead.events.model import Usage
from fairlead.policy.admission import Room
from fairlead.policy.caller import ADMIN, Caller
from fairlead.ports.observer import Begun, Ended
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_audit import MemoryAudit
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.clock import Clock
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, BOB, Bench

OPERATOR = Caller("operator", frozenset({ADMIN}), credential="key:op")


class Notes:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.began: list[Begun] = []
        self.paces: list[float] = []
        self.ends: list[Ended] = []
        self.refusals: list[tuple[str, str]] = []

    def begun(self, begun: Begun) -> Mapping[str, str]:
        self.began.append(begun)
        return {"x-note": str(len(self.began))}

    def paced(self, begun: Begun, seconds: float) -> None:
        self.paces.append(seconds)

    def exhausted(self, budget: str) -> None:
        raise AssertionError("no socket is passed on here")

    def refused(self, code: str, budget: str) -> None:
        self.refusals.append((code, budget))

    def ended(self, ended: Ended) -> None:
        self.ends.append(ended)


class Watched(Bench):
    """A bench whose engine has an observer and an audit log."""

    def __init__(
        self, engine: Engine, provider: ScriptedProvider, notes: Notes, audit: Any
    ) -> None:
        super().__init__(engine, provider)
        self.notes = notes
        self.audit = audit


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    store, provider, notes, audit = MemoryStore(), ScriptedProvider(), Notes(), MemoryAudit()
    await store.open()
    engine = Engine(
        store=store,
        conversations=MemoryConversations(),
        models=Models([Model("small", provider)]),
        knowledge=None,
        secret=b"a secret of the deployment",
        limits=Limits(room=Room(running=1, waiting=1)),
        observers=[notes],
        audit=audit,
    )
    await engine.open()
    yield Watched(engine, provider, notes, audit)
    await engine.close()
    await store.close()


async def test_a_beginning_and_an_end_are_told(watched: Watched) -> None:
    watched.provider.say("One", " two", Usage(0, 7, 2))
    watched.provider.finish()
    stream = await watched.ask()
    await watched.engine.wait_idle()
    (begun,) = watched.notes.began
    assert (begun.stream, begun.consumer, begun.model) == (stream, "alice", "small")
    (ended,) = watched.notes.ends
    assert ended.begun is begun
    assert (ended.status, ended.code, ended.reason) == ("completed", "", "")
    assert (ended.input_tokens, ended.output_tokens, ended.estimated) == (7, 2, False)
    assert ended.turn_at is not None
    assert ended.first_at is not None
    assert begun.at <= ended.turn_at <= ended.first_at <= ended.at
    assert watched.provider.requests[0].headers == {"x-note": "1"}


async def test_a_failure_and_a_stop_are_told_apart(watched: Watched) -> None:
    watched.provider.fail(UpstreamCut("in the middle"))
    await watched.ask()
    await watched.engine.wait_idle()
    stream = await watched.ask()
    await watched.engine.stop(ALICE, stream)
    failed, stopped = watched.notes.ends
    assert (failed.status, failed.code, failed.first_at) == ("failed", "upstream_cut", None)
    assert failed.estimated
    assert (stopped.status, stopped.code, stopped.reason) == ("stopped", "", "stop")


async def test_a_question_without_room_is_told(watched: Watched) -> None:
    await watched.ask()
    await watched.ask()
    with pytest.raises(Busy):
        await watched.ask(caller=BOB)
    assert watched.notes.refusals == [("busy", "")]
    assert len(watched.notes.began) == 2


async def test_the_overview_shows_places_readers_and_loads(watched: Watched) -> None:
    engine, overview = watched.engine, watched.engine.overview
    one, two = await watched.ask(), await watched.ask(caller=BOB)
    await watched.provider.wait_started()
    reading = await watched.read(one)
    other = await watched.read(one, caller=ALICE)
    waiting, writing = overview.streams(OPERATOR)
    assert (waiting.stream, waiting.state, waiting.place, waiting.readers) == (two, "queued", 1, {})
    assert (writing.stream, writing.state, writing.readers) == (one, "writing", {"sse": 2})
    census = overview.census()
    assert (census.writing, census.queued, census.readers) == (1, 1, {"sse": 2})
    loads = overview.loads(OPERATOR)
    assert (loads["alice"].writing, loads["alice"].readers, loads["bob"].queued) == (1, 2, 1)
    await engine.stop(ALICE, one)
    await watched.provider.wait_started(2)
    # What has ended and still has readers.
    ended = overview.streams(OPERATOR)[-1]
    assert (ended.stream, ended.state, ended.readers) == (one, "read", {"sse": 2})
    assert ended.consumer == "alice"
    reading.detach()
    other.detach()
    assert [each.stream for each in overview.streams(OPERATOR)] == [two]
    assert overview.census().readers == {}


async def test_what_other_nodes_write_is_shown_as_theirs(watched: Watched) -> None:
    engine, provider = watched.engine, ScriptedProvider()
    other = Engine(
        store=engine.store,
        conversations=MemoryConversations(),
        models=Models([Model("large", provider)]),
        knowledge=None,
        secret=b"a secret of the deployment",
    )
    await other.open()
    here = await watched.ask()
    there = (await other.start(BOB, Ask(message="Why?"))).stream
    await provider.wait_started()
    reading = await watched.read(there, caller=BOB)
    found, nodes = await engine.overview.everywhere(OPERATOR)
    assert nodes == (engine.node, other.node)
    mine, theirs = found
    assert (mine.stream, mine.state, mine.node) == (here, "writing", "")
    assert (theirs.stream, theirs.state, theirs.node) == (there, "elsewhere", other.node)
    assert (theirs.consumer, theirs.model, theirs.readers) == ("bob", "large", {"sse": 1})
    assert theirs.age is not None
    assert chosen(found, state="elsewhere", search="bob") == [theirs]
    await other.stop(BOB, there)
    # Written no more, it is only read.
    found, _ = await engine.overview.everywhere(OPERATOR)
    assert [(each.stream, each.state, each.consumer) for each in found[1:]] == [
        (there, "read", "bob")
    ]
    reading.detach()
    await other.close()
    assert (await engine.overview.everywhere(OPERATOR))[1] == (engine.node,)
    with pytest.raises(NotFound):
        await engine.overview.everywhere(BOB)


async def test_only_operators_oversee(watched: Watched) -> None:
    overview = watched.engine.overview
    for look in (overview.streams, overview.loads):
        with pytest.raises(NotFound):
            look(ALICE)
    with pytest.raises(NotFound):
        await overview.usage(ALICE, None, "2026-01-01", "2026-01-02")
    with pytest.raises(NotFound):
        await overview.budgets(ALICE, 10)


async def test_what_is_done_to_anothers_stream_is_entered(watched: Watched) -> None:
    one = await watched.ask()
    await watched.engine.stop(ALICE, one)
    assert (await watched.audit.page()).items == ()
    two = await watched.ask()
    await watched.engine.stop(OPERATOR, two)
    await watched.engine.delete(OPERATOR, two)
    deleted, stopped = (await watched.audit.page()).items
    assert (stopped.action, stopped.target, stopped.credential) == (
        "stream.stopped", two, "key:op",
    )  # fmt: skip
    assert (deleted.action, deleted.details) == ("stream.deleted", {"consumer": "alice"})
    three = await watched.engine.start(ALICE, Ask(message="Why?"))
    await watched.engine.dialogues.delete(OPERATOR, three.meta.conversation)
    (newest,) = (await watched.audit.page(limit=1)).items
    assert (newest.action, newest.target) == ("conversation.deleted", three.meta.conversation)


class Count:
    """Counts tokens as a test says."""

    estimated = True

    def __init__(self) -> None:
        self.output = 0

    def total(self) -> tuple[int, int, int]:
        return 3, self.output, 0


def test_the_pace_is_taken_now_and_then_and_pauses_count() -> None:
    clock, count, notes = Clock(), Count(), Notes()
    begun = Begun(stream="s", consumer="c", model="m", provider="p", conversation="", at=clock())
    taken = Course(begun, count, [notes], clock)
    clock.advance(2.0)
    taken.look()
    assert notes.paces == [], "nothing is written yet"
    assert taken.rate == 0.0
    count.output = 1
    taken.first()
    assert taken.first_at == begun.at + 2.0
    clock.advance(1.0)
    count.output = 11
    taken.look()
    assert notes.paces == pytest.approx([0.1])
    assert taken.rate == pytest.approx(10.0)
    for _ in range(3):
        clock.advance(1.0)
        taken.look()
    assert taken.rate == 0.0, "of late nothing"
    clock.advance(1.0)
    count.output = 13
    taken.end(Answer())
    assert notes.paces == pytest.approx([0.1, 2.0])
    (ended,) = notes.ends
    assert (ended.status, ended.output_tokens) == ("interrupted", 13)


async def test_the_pulse_looks_at_what_runs(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "PERIOD", 0.0)
    await watched.engine.close()
    engine = Engine(
        store=watched.engine.store,
        conversations=MemoryConversations(),
        models=Models([Model("small", watched.provider)]),
        knowledge=None,
        secret=b"a secret of the deployment",
        observers=[watched.notes],
    )
    await engine.open()
    await engine.start(ALICE, Ask(message="Why?"))
    await watched.provider.wait_started()
    while not watched.notes.paces:
        watched.provider.say("word ")
        (seen,) = engine.overview.streams(OPERATOR)
        assert seen.tokens < 100_000
        await asyncio.sleep(0)
    assert not watched.notes.ends
    await engine.close()


def _live(stream: str, state: Any, age: float | None, rate: float, **readers: int) -> LiveStream:
    consumer = {"a": "Zoe", "b": "adam", "c": ""}[stream]
    return LiveStream(
        stream=stream, state=state, readers=readers, consumer=consumer, age=age, rate=rate
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sort", "backwards", "order"),
    [
        ("order", False, "abc"),
        ("order", True, "cba"),
        ("age", False, "bac"),
        ("rate", True, "cba"),
        ("readers", False, "cab"),
        ("consumer", False, "cba"),
        ("state", False, "acb"),
    ],
)
def test_streams_are_sorted(sort: Sort, backwards: bool, order: str) -> None:
    streams = [
        _live("a", "queued", 1.0, 9.0, sse=1),
        _live("b", "writing", 5.0, 3.0),
        _live("c", "read", None, 0.0, sse=1, poll=1),
    ]
    found = chosen(streams, sort=sort, backwards=backwards)
    assert "".join(each.stream for each in found) == order
    assert [each.stream for each in chosen(streams, search="ADA")] == ["b"]
    assert [each.stream for each in chosen(streams, state="read")] == ["c"]
    assert chosen(streams, state="read", search="zoe") == []
