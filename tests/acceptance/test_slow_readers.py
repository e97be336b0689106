"""Readers that stop reading: bounded memory, cut after a while, exact when they come back."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path

import aiohttp
import pytest

from fairlead.framing.event_stream import Parser
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.sse import Reader

STALLED = 100
PIECE = 10_000
PIECES = 10_000  # 100 MB of text
#: What the process may grow by, for all of them together. Per stalled reader: uvicorn's write
#: buffer (64 KiB) and the one write that filled it (64 KiB and at most one event). The rest is the
#: append queue, the newest records in memory, SQLite's cache, and what the allocator keeps.
BOUND = STALLED * (64 + 64 + 16) * 1024 + 128 * 1024 * 1024


class Stalled:
    """A client that reads the first event and then no more, until asked."""

    def __init__(self, port: int, stream: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET /streams/{stream} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.received = b""
        while b"event: thinking" not in self.received:
            self.received += self.socket.recv(4096)

    def drained(self) -> tuple[str, str]:
        """What still stands in the socket after the cut: the text of whole events, and the id of
        the last of them."""
        try:
            while data := self.socket.recv(1 << 20):
                self.received += data
        except ConnectionError:
            pass
        self.socket.close()
        body = self.received.partition(b"\r\n\r\n")[2]
        pieces: list[str] = []
        last = ""
        for frame in Parser(max_event_bytes=1 << 22).feed(unchunked(body)):
            last = frame.id or last
            if frame.event == "token":
                pieces.append(json.loads(frame.data)["token"])
        return "".join(pieces), last


def unchunked(body: bytes) -> bytes:
    """The body of an HTTP/1.1 response in chunks, as far as it has come."""
    out = b""
    while (match := re.match(rb"([0-9a-f]+)\r\n", body)) is not None:
        size = int(match[1], 16)
        out += body[match.end() : match.end() + size]
        body = body[match.end() + size + 2 :]
    return out


def memory(pid: int, name: str) -> int:
    """``VmRSS`` or ``VmHWM`` (the peak) of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.M)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.timeout(180)
@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
async def test_stalled_readers_cost_a_bounded_amount_and_resume_exactly(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, direct: str
) -> None:
    piece = "x" * (PIECE - 8)
    tokens = tuple(f"{n:07d} {piece}" for n in range(PIECES))
    upstream.script(Answer(tokens=tokens, pace=Pace(gated=True)))
    async with serve("--stall-timeout", "3", direct) as server:
        assert server.process is not None
        reader = Reader(session, server.url)
        reading = asyncio.create_task(reader.ask({"message": "Go on.", "background": True}))
        await reader.until(lambda r: r.stream != "")
        stalled = await asyncio.gather(
            *(asyncio.to_thread(Stalled, server.port, reader.stream) for _ in range(STALLED))
        )
        before = memory(server.process.pid, "VmRSS")
        upstream.release(PIECES + 1)
        await reading
        assert len(reader.text) == PIECE * PIECES
        grown = memory(server.process.pid, "VmHWM") - before
        print(
            f"grown by {grown / 2**20:.1f} MiB for {STALLED} stalled readers, bound {BOUND >> 20}"
        )
        assert grown < BOUND

        cut = 0
        seen = 0
        while cut < STALLED:
            await server.wait_log(lambda line: line["event"] == "reader_cut", seen)
            seen = len(server.logs)
            cut = sum(line["event"] == "reader_cut" for line in server.logs)
        for one in stalled[:3]:
            text, last = await asyncio.to_thread(one.drained)
            again = Reader(session, server.url)
            again.stream, again.last_id = reader.stream, last
            await again.attach()
            assert text + again.text == reader.text
        for one in stalled[3:]:
            one.socket.close()
