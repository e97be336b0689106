"""*soak*: thousands of answers that end in every way there is; nothing may be left of them.

Each answer is *finished* (read to its end), *cut* (the reader is reset and resumes), *abandoned*
(the reader is reset and never comes back), *stopped* (by another request) or *failed* (the upstream
breaks off). Before and after, the server counts its tasks, descriptors and memory.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
from collections import Counter
from typing import Literal, get_args

import aiohttp
import msgspec

from bench.load.body import last_id, text_of, whole_events
from bench.options import Options
from bench.processes import Failed, Server, folder, module
from bench.soak_server import Held
from bench.table import Check, Row, Table
from fairlead.testing.upstream import ScriptedUpstream
from fairlead.testing.upstream.behaviours import Answer, Behaviour, Close, Fault, Pace, Stall, Wire
from fairlead.testing.upstream.requests import ReceivedRequest

Ending = Literal["finished", "cut", "abandoned", "stopped", "failed"]

_ANSWERS = 10_000
_QUICK = 1_000
#: Answers before the first count: they pay for what is made once.
_BEFORE = 300
_AT_ONCE = 50
_TEXT = "All that was asked for has been said, and every word of it was kept. " * 2
#: Seconds that one answer, and the counting, may take before something is thought to hang.
_PATIENCE = 60.0
#: What memory may have grown by, in bytes: the allocator keeps some, SQLite caches pages.
GROWTH = 64 << 20


class Soaked(msgspec.Struct, frozen=True):
    """What a soak found. ``wrong``: answers that did not end as they should, with the first one's
    trouble in ``trouble``."""

    answers: Counter[str]
    before: Held
    after: Held
    wrong: int
    trouble: str


def run(options: Options) -> Table:
    """Soak a server at durability ``process``."""
    answers = options.readers(_ANSWERS, _QUICK)
    soaked = asyncio.run(soak(answers))
    before, after = soaked.before, soaked.after
    grown = after.memory - before.memory
    return Table(
        "soak",
        f"{answers} answers: "
        + ", ".join(f"{count} {name}" for name, count in sorted(soaked.answers.items())),
        ["tasks", "descriptors", "RSS MB"],
        [
            Row(name, [str(held.tasks), str(held.descriptors), f"{held.memory / 1e6:.1f}"])
            for name, held in (("before", before), ("after", after))
        ],
        "",
        [
            Check("every answer ended as it should", soaked.trouble or "all", not soaked.wrong),
            Check(
                "no task is left",
                f"{after.tasks - before.tasks:+d}",
                after.tasks <= before.tasks,
            ),
            Check(
                "no descriptor is left",
                f"{after.descriptors - before.descriptors:+d}",
                after.descriptors <= before.descriptors,
            ),
            Check(
                f"memory is within {GROWTH >> 20} MB of what it was",
                f"{grown / 1e6:+.1f} MB",
                grown <= GROWTH,
            ),
        ],
    )


async def soak(answers: int) -> Soaked:
    """Put so many answers through a server of its own."""
    async with ScriptedUpstream() as upstream:
        upstream.script(_behaviour)
        with folder() as data:
            arguments = ["--data-dir", str(data), "--upstream", upstream.base_url]
            # The upstream lives in this loop, so starting the server must not block it.
            starting = module("bench.soak_server", *arguments)
            server = await asyncio.to_thread(starting.__enter__)
            try:
                await _soak(server, upstream, _BEFORE)
                before = await _count(server)
                done, troubles = await _soak(server, upstream, answers)
                after = await _count(server)
            finally:
                await asyncio.to_thread(starting.__exit__, None, None, None)
    return Soaked(done, before, after, len(troubles), troubles[0] if troubles else "")


async def _soak(
    server: Server, upstream: ScriptedUpstream, answers: int
) -> tuple[Counter[str], list[str]]:
    endings: tuple[Ending, ...] = get_args(Ending)
    done: Counter[str] = Counter()
    troubles: list[str] = []
    numbers = iter(range(answers))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            ending = endings[number % len(endings)]
            try:
                async with asyncio.timeout(_PATIENCE):
                    await _answer(session, ending)
            except (OSError, TimeoutError, aiohttp.ClientError, Failed) as error:
                troubles.append(f"{ending}: {type(error).__name__}: {error}")
            done[ending] += 1
            # The scripted upstream remembers everything; it is not what is measured.
            upstream.requests.clear()

    # A connection for each request, as after a break in the network.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{server.port}", connector=connector
    ) as session:
        await asyncio.gather(*(client(session) for _ in range(_AT_ONCE)))
    return done, troubles


async def _count(server: Server) -> Held:
    server.process.send_signal(signal.SIGUSR1)
    assert server.process.stdout is not None
    async with asyncio.timeout(_PATIENCE):
        line = await asyncio.to_thread(server.process.stdout.readline)
    return msgspec.json.decode(line, type=Held)


def _behaviour(request: ReceivedRequest) -> Behaviour:
    """The question says how it is to be answered."""
    faults: dict[str, list[Fault]] = {
        "failed": [Close(after=5, clean=False)],
        # These end only because somebody ends them.
        "stopped": [Stall(after=5)],
        "abandoned": [Stall(after=5)],
    }
    return Answer(
        text=_TEXT,
        pace=Pace(delay_s=0.002),
        wire=Wire(chunked=False),  # so that no connection is kept, and none is counted
        faults=faults.get(request.message_texts("user")[-1], []),
    )


class Reading:
    """An answer as one connection sees it. The response must be closed by its user."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.body = bytearray()
        self._response = response

    async def until(self, mark: bytes) -> None:
        """Read until the mark has come. Raises :class:`~bench.processes.Failed` at the end."""
        if self._response.status != 200:
            raise Failed(f"status {self._response.status}")
        while mark not in self.body:
            data = await self._response.content.readany()
            if not data:
                raise Failed(f"the body ended before {mark.decode()!r}")
            self.body += data

    def reset(self) -> None:
        """Cut the connection with a TCP reset, unless the whole body has come."""
        connection = self._response.connection
        if connection is None or connection.transport is None:
            return
        raw = connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.transport.abort()


async def _answer(session: aiohttp.ClientSession, ending: Ending) -> None:
    question = {"message": ending, "orphan_window": 1 if ending == "abandoned" else 60}
    async with session.post("/chat/stream", json=question) as response:
        reading = Reading(response)
        match ending:
            case "finished":
                await reading.until(b"event: done")
            case "failed":
                await reading.until(b"event: error")
            case "stopped":
                await reading.until(b"event: token")
                stream = last_id(bytes(reading.body)).partition(".")[0]
                async with session.post(f"/streams/{stream}/stop"):
                    await reading.until(b'"status":"stopped"')
            case "cut" | "abandoned":
                await reading.until(b"event: token")
                reading.reset()
    before = whole_events(reading.body)
    if ending == "cut" and b"event: done" not in before:
        headers = {"Last-Event-ID": last_id(before)}
        async with session.post("/chat/stream", json=question, headers=headers) as response:
            reading = Reading(response)
            await reading.until(b"event: done")
        before += bytes(reading.body)
    if ending in ("finished", "cut") and text_of(before) != _TEXT:
        raise Failed("the text is not the one that the upstream sent")
