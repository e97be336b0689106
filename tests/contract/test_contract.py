"""The gate for every transport: one suite, the same promises, the real server.

Same stream, same positions, whatever carries them: a reader may change its transport at any event.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from fairlead.journal.retention import Retention
from fairlead.stores.sqlite import SqliteStore
from fairlead.testing.toxic import Split, ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve, serve, session, upstream
from tests.contract.transports import (
    BROKEN,
    CODED,
    MALFORMED,
    STOPS,
    TRANSPORTS,
    Events,
    Place,
    Refused,
    Seen,
)
from tests.support.ports import free_port
from tests.support.process import memory
from tests.support.server import ServerProcess

__all__ = ["serve", "session", "upstream"]

ALL = TRANSPORTS | CODED

TOKENS = tuple(f"{n} 断线 👩‍👩‍👧\u2028\r\n" for n in range(60))
TEXT = "".join(TOKENS)
#: An answer that lasts for many switches, and how many of them to make at least.
LONG = tuple(f"{n} 断线 👩‍👩‍👧\u2028\r\n" for n in range(500))
SWITCHES = int(os.environ.get("FAIRLEAD_SWITCHES", "3000"))
PICTURE = bytes(range(256)) * 300 + b"\n\r\n"
#: How much slow readers miss, in pieces of 10,000 bytes, and how many there are on each transport.
PIECES, SLOW = 1_200, 2
#: What the server may grow by: per slow reader its write buffer (64 KiB), what was taken at once
#: (64 KiB and at most one event), a compressor, and for calls what connectrpc or the peer's window
#: holds. The rest is the append queue, the newest records in memory, SQLite's cache, and what the
#: allocator keeps. The answer is 12 MB.
BOUND = SLOW * len(ALL) * 512 * 1024 + 64 * 1024 * 1024
#: A slow poller holds no connection.
POLLS = [name for name in ALL if name.startswith("poll")]


class Reading:
    """What one reader has seen, over as many connections and transports as it took."""

    def __init__(self, place: Place, stream: str) -> None:
        self.place = place
        self.stream = stream
        self.position = ""
        self.events: list[Seen] = []
        self.drained = False
        self._pieces: list[str] = []
        self._news = asyncio.Event()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].type in ("done", "error")

    async def read(self, transport: str, enough: Callable[[Reading], bool] | None = None) -> None:
        """Read on until the end, or until ``enough``; then let go of the connection."""
        events = ALL[transport](self.place, self.stream, self.position)
        async with asyncio.timeout(90), contextlib.aclosing(events):
            async for event in events:
                self.add(event)
                if enough is not None and enough(self):
                    return

    async def until(self, enough: Callable[[Reading], bool]) -> None:
        """Wait until whoever reads has seen so much."""
        async with asyncio.timeout(90):
            while not enough(self):
                self._news.clear()
                await self._news.wait()

    def add(self, event: Seen) -> None:
        """Take in what has come."""
        if not event.position:
            self.drained = self.drained or event.type == "drain"
            return
        self._news.set()
        assert event.position > self.position, f"{event} came after {self.position}"
        assert not self.ended, f"{event} came after the end"
        self.position = event.position
        self.events.append(event)
        if event.type == "token":
            self._pieces.append(event.text)
        elif event.type == "reset":
            self._pieces = [event.text]


@pytest.fixture
async def server(serve: Serve) -> AsyncGenerator[ServerProcess, None]:
    port = free_port()
    process = serve("--grpc-port", str(port), "--drain-grace", "0", "--compression", "on")
    process.env["GRPC"] = str(port)
    async with process as running:
        yield running


@pytest.fixture
async def place(server: ServerProcess, session: aiohttp.ClientSession) -> Place:
    return Place(server.url, int(server.env["GRPC"]), session, {"Accept-Encoding": "identity"})


async def begin(place: Place) -> Reading:
    """Ask, and leave: the answer is read by whoever comes."""
    body = {"message": "Go on.", "background": True}
    async with place.session.post(f"{place.url}/chat/stream", json=body) as response:
        assert response.status == 200
        return Reading(place, response.headers["Fairlead-Stream"])


def line(type: str, **data: Any) -> bytes:
    """One event as a program writes it."""
    return json.dumps({"type": type, "data": data}).encode() + b"\n"


async def write(place: Place, lines: list[bytes]) -> Reading:
    """A finished answer of just these events."""
    async with place.session.post(f"{place.url}/streams", json={"message": "Go on."}) as response:
        begun = await response.json()
    url = f"{place.url}/streams/{begun['stream']}/events"
    lines = [*lines, line("done")]
    for at in range(0, len(lines), 1000):
        async with place.session.post(
            f"{url}?writer={begun['writer']}&at={at}",
            data=b"".join(lines[at : at + 1000]),
            headers={"Content-Type": "application/x-ndjson"},
        ) as response:
            assert response.status == 200, await response.text()
    return Reading(place, begun["stream"])


def more(reading: Reading, events: int) -> Callable[[Reading], bool]:
    """Whether so many more events have been seen than now."""
    wanted = len(reading.events) + events
    return lambda r: len(r.events) >= wanted


each = pytest.mark.parametrize("transport", ALL)


@each
async def test_a_whole_answer_to_the_byte(
    place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    reading = await begin(place)
    await reading.read(transport)
    assert reading.text == TEXT
    assert reading.events[-1].type == "done"


@each
async def test_media_bytes_are_intact(place: Place, transport: str) -> None:
    picture = base64.b64encode(PICTURE).decode()
    reading = await write(
        place,
        [
            line("token", token="Here: "),
            line("media", content_type="image/png", data=picture),
            line("token", token="done"),
        ],
    )
    await reading.read(transport)
    assert [event.media for event in reading.events if event.type == "media"] == [PICTURE]
    assert reading.text == "Here: done"
    assert reading.events[-1].type == "done"


@each
async def test_ten_thousand_events_split_anywhere(place: Place, transport: str) -> None:
    """Tokens are not merged over what stands between them."""
    tokens = [f"{n} 断线 👩‍👩‍👧\u2028\r\n" for n in range(5000)]
    between = line("progress", message="é", fraction=0.5)
    written = await write(
        place, [each for token in tokens for each in (line("token", token=token), between)]
    )
    http = ToxicProxy(urlsplit(place.url).port or 0, Split(97))
    grpc = ToxicProxy(place.grpc_port, Split(97))
    async with http, grpc:
        split = place._replace(url=http.url, grpc_port=grpc.port)
        reading = Reading(split, written.stream)
        await reading.read(transport)
    assert reading.text == "".join(tokens)
    assert Counter(event.type for event in reading.events)["progress"] == len(tokens)
    assert len(reading.events) > 10_000


@each
async def test_exact_after_random_disconnects_at_random_places(
    place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    chance = random.Random(transport)
    upstream.script(Answer(tokens=TOKENS, pace=Pace(delay_s=0.002)))
    for _ in range(5):
        reading = await begin(place)
        while not reading.ended:
            await reading.read(transport, more(reading, chance.randint(1, 12)))
        assert reading.text == TEXT
    assert len(upstream.requests) == 5


@pytest.mark.timeout(300 + SWITCHES // 10)
async def test_switching_the_transport_in_mid_answer(
    place: Place, upstream: ScriptedUpstream
) -> None:
    """Each answer has readers that come back on another transport each time, after a few events, at
    positions that merged events, other readers and the model's pace make random."""
    upstream.script(Answer(tokens=LONG, pace=Pace(delay_s=0.002)))
    switches: Counter[tuple[str, str]] = Counter()

    async def follow(reading: Reading, chance: random.Random) -> None:
        transport = ""
        while not reading.ended:
            others = [name for name in ALL if name != transport]
            before, transport = transport, chance.choice(others)
            if before:
                switches[before, transport] += 1
            await reading.read(transport, more(reading, chance.randint(1, 4)))
        assert reading.text == "".join(LONG)

    async def answers(line: int) -> None:
        for number in itertools.count():
            stream = (await begin(place)).stream
            readings = [Reading(place, stream) for _ in range(3)]
            seeds = [f"{line} {number} {n}" for n in range(3)]
            await asyncio.gather(
                *(follow(r, random.Random(seed)) for r, seed in zip(readings, seeds, strict=True))
            )
            if switches.total() >= SWITCHES:
                return

    await asyncio.gather(*(answers(line) for line in range(4)))
    print(f"{switches.total()} switches, {len(upstream.requests)} answers")
    # From every transport to every other one.
    assert switches.keys() == set(itertools.permutations(ALL, 2))


async def test_readers_on_all_transports_see_the_same(
    place: Place, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    first = await begin(place)
    readings = {name: Reading(place, first.stream) for name in ALL}
    tasks = [asyncio.create_task(r.read(name)) for name, r in readings.items()]
    for _ in TOKENS:
        upstream.release(1)
        await asyncio.sleep(0)
    upstream.release(1)
    await asyncio.gather(*tasks)
    assert {r.text for r in readings.values()} == {TEXT}
    assert len({r.position for r in readings.values()}) == 1
    assert {r.events[-1].type for r in readings.values()} == {"done"}


@each
async def test_a_late_reader_catches_up_in_few_events(
    place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    words = tuple(f"w{n} " for n in range(3000))
    upstream.script(Answer(tokens=words))
    early = await begin(place)
    await early.read("sse")
    late = Reading(place, early.stream)
    await late.read(transport)
    assert late.text == "".join(words)
    assert len(late.events) < 30


@each
async def test_stop_from_every_transport(
    place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    for how, stop in STOPS.items():
        upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
        reading = await begin(place)
        task = asyncio.create_task(reading.read(transport))
        upstream.release(3)
        await reading.until(lambda r: r.text == "".join(TOKENS[:3]))
        assert await stop(place, reading.stream) == "stopped", how
        await task
        assert reading.text == "".join(TOKENS[:3]), how
        assert reading.events[-1].type == "done", how


@each
async def test_silence_has_signs_of_life(
    serve: Serve, session: aiohttp.ClientSession, upstream: ScriptedUpstream, transport: str
) -> None:
    """They come while the model thinks, and are of no harm to what it says then."""
    port = free_port()
    flags = ("--grpc-port", str(port), "--heartbeat", "0.3", "--compression", "on")
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve(*flags) as server:
        place = Place(server.url, port, session, {"Accept-Encoding": "identity"}, wait=1)
        reading = await begin(place)
        beats = itertools.count(1)
        events = ALL[transport](place, reading.stream, "")
        async with asyncio.timeout(90), contextlib.aclosing(events):
            async for event in events:
                reading.add(event)
                if event.type == "heartbeat" and next(beats) == 3:
                    upstream.release(len(TOKENS) + 1)
        assert next(beats) > 3
        assert reading.text == TEXT


@each
async def test_what_is_malformed_harms_nothing(
    place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    """Neither who reads, on whatever transport, nor the answer, nor the server."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    reading = await begin(place)
    noisy = Reading(place._replace(noise=True), reading.stream)
    tasks = [asyncio.create_task(each.read(transport)) for each in (reading, noisy)]
    upstream.release(3)
    await upstream.wait_tokens(3)
    for send in MALFORMED.values():
        await send(place, reading.stream)
    upstream.release(len(TOKENS))
    await asyncio.gather(*tasks)
    assert reading.text == noisy.text == TEXT
    assert len(upstream.requests) == 1


def test_every_transport_is_sent_something_malformed() -> None:
    assert MALFORMED.keys() == TRANSPORTS.keys()


async def to_end(reading: Reading, transport: str) -> None:
    """Read to the end, however often it is cut: a busy machine may be too slow a reader itself."""
    while not reading.ended:
        with contextlib.suppress(*BROKEN):
            await reading.read(transport)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["--direct", "--no-direct"])
async def test_slow_readers_cost_a_bounded_amount_and_are_exact(
    serve: Serve, session: aiohttp.ClientSession, upstream: ScriptedUpstream, way: str
) -> None:
    """Readers of one stream on all transports begin, and then take nothing while it is written."""
    chance = random.Random(1)
    # Nothing that could be compressed.
    tokens = tuple(base64.b64encode(chance.randbytes(7_500)).decode() for _ in range(PIECES))
    port = free_port()
    flags = ("--grpc-port", str(port), "--stall-timeout", "2", "--compression", "on", way)
    upstream.script(Answer(tokens=tokens, pace=Pace(gated=True)))
    async with serve(*flags) as server, contextlib.AsyncExitStack() as stack:
        place = Place(server.url, port, session, {"Accept-Encoding": "identity"})
        quick = await begin(place)
        slow: list[tuple[str, Reading, Events]] = []
        for name in [*ALL] * SLOW:
            reading = Reading(place, quick.stream)
            events = await stack.enter_async_context(
                contextlib.aclosing(ALL[name](place, quick.stream, ""))
            )
            reading.add(await anext(events))
            slow.append((name, reading, events))
        assert server.process is not None
        before = memory(server.process.pid, "VmRSS")
        upstream.release(PIECES + 1)
        await to_end(quick, "sse")
        assert quick.text == "".join(tokens)
        grown = memory(server.process.pid, "VmHWM") - before
        print(f"grown by {grown >> 20} MiB for {len(slow)} slow readers, bound {BOUND >> 20}")
        assert grown < BOUND
        # All that hold a connection are cut; a slow poller holds none.
        cut, seen = 0, 0
        while cut < len(slow) - SLOW * len(POLLS):
            await server.wait_log(lambda line: line["event"] == "reader_cut", seen)
            seen = len(server.logs)
            cut = sum(line["event"] == "reader_cut" for line in server.logs)
        for name, reading, events in slow[: len(ALL)]:  # one of each
            with contextlib.suppress(*BROKEN):
                async for event in events:
                    reading.add(event)
            await to_end(reading, name)
            assert reading.text == quick.text, name


@each
async def test_a_position_whose_records_were_lost_gets_a_reset(
    place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    whole, other = await begin(place), await begin(place)
    await whole.read("sse")
    await other.read("sse")
    # Of a writer that nobody knows, and of another stream.
    for position in ("11zzzzzz-11", other.events[5].position):
        events = ALL[transport](place, whole.stream, position)
        async with contextlib.aclosing(events):
            first = await anext(events)
        assert (first.type, first.text) == ("reset", TEXT)


async def test_what_retention_has_removed_is_gone(
    server: ServerProcess, place: Place, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=tuple(f"{n} " + "x" * 500 for n in range(1000))))
    reading = await begin(place)
    await reading.read("sse")
    early, late = reading.events[0].position, reading.events[-2].position
    store = SqliteStore(server.data_dir / "journal.db")
    await store.open()
    try:
        assert await store.expire(Retention(max_bytes=1024)) == 1
    finally:
        await store.close()
    for transport in ALL:
        for after in ("", early):
            events = ALL[transport](place, reading.stream, after)
            with pytest.raises(Refused) as refused:
                async with contextlib.aclosing(events):
                    await anext(events)
            assert refused.value.code == "gone", transport
        kept = Reading(place, reading.stream)
        kept.position = late
        await kept.read(transport)
        assert [event.type for event in kept.events] == ["done"], transport


@each
async def test_unknown_streams_and_bad_positions_are_refused(
    place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    reading = await begin(place)
    await reading.read("sse")
    for stream, after, code in [
        ("0" * 26, "", "not_found"),
        (reading.stream, "nonsense", "bad_position"),
    ]:
        events = ALL[transport](place, stream, after)
        with pytest.raises(Refused) as refused:
            async with contextlib.aclosing(events):
                await anext(events)
        assert refused.value.code == code


@each
async def test_a_drain_sends_the_reader_away_and_it_comes_back(
    serve: Serve, session: aiohttp.ClientSession, upstream: ScriptedUpstream, transport: str
) -> None:
    """The answer is written by one server and read from another one, which is replaced."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    port = free_port()
    flags = ("--grpc-port", str(port), "--compression", "on")
    async with serve() as writer, serve(*flags) as server:
        place = Place(server.url, port, session, {"Accept-Encoding": "identity"})
        asked = await begin(place._replace(url=writer.url))
        reading = Reading(place, asked.stream)
        task = asyncio.create_task(reading.read(transport))
        upstream.release(5)
        await reading.until(lambda r: r.text == "".join(TOKENS[:5]))
        assert await server.stop() == 0
        await task
        assert reading.drained
        assert not reading.ended
        await server.start()
        upstream.release(len(TOKENS))
        await reading.read(transport)
        assert reading.text == TEXT
        assert reading.events[-1].type == "done"
        assert len(upstream.requests) == 1


@each
async def test_what_a_drain_interrupts_says_so_to_the_reader(
    server: ServerProcess, place: Place, upstream: ScriptedUpstream, transport: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    reading = await begin(place)
    task = asyncio.create_task(reading.read(transport))
    upstream.release(5)
    await reading.until(lambda r: r.text == "".join(TOKENS[:5]))
    assert await server.stop() == 0
    await task
    assert reading.text == "".join(TOKENS[:5])
    assert reading.events[-1].type == "error"
