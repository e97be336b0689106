"""gRPC callers that stop reading, behind a small window and behind one that holds everything:
bounded memory, cut after a while, exact when they come back."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from fairlead.v1.answers_pb import AskRequest, AttachRequest, Event
from tests.acceptance.conftest import Serve
from tests.support.ports import free_port
from tests.support.process import memory
from tests.support.rpc import client, text

STALLED = 60
PIECE = 10_000
PIECES = 3_000  # 30 MB of text, which would be 1.8 GB for all of them
#: What the process may grow by. Per call: what was taken from the reader at once (64 KiB and at
#: most one event), and what the peer's window holds. The rest is the append queue, the newest
#: records in memory, SQLite's cache, and what the allocator keeps.
BOUND = STALLED * 512 * 1024 + 96 * 1024 * 1024

_PROCEDURE = "/fairlead.v1.Answers/Attach"
_MAX_WINDOW = 2**31 - 1
_SETTINGS, _DATA, _HEADERS, _WINDOW_UPDATE = 4, 0, 1, 8
_INITIAL_WINDOW_SIZE = 4


class Stalled:
    """A call on a socket of its own that reads the first event and then no more, until asked.

    ``window``: how much a gRPC peer is told that it may send (RFC 9113, section 6.9). With a large
    one the connection's own buffers are what fills.
    """

    def __init__(self, port: int, stream: str, window: int) -> None:
        self.received = b""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        request = AttachRequest(stream=stream).to_binary()
        envelope = b"\0" + len(request).to_bytes(4, "big") + request
        self.socket.sendall(self._head(window) + _frame(_DATA, 1, 1, envelope))
        while not next(self.events(), None):
            data = self.socket.recv(4096)
            assert data, self.received
            self.received += data

    def drained(self) -> list[Event]:
        """The whole events among what still stands in the socket after the cut."""
        try:
            while data := self.socket.recv(1 << 20):
                self.received += data
        except ConnectionError:
            pass
        self.socket.close()
        return list(self.events())

    def events(self) -> Iterator[Event]:
        """The whole events that have come."""
        body = self._arrived()
        at = 0
        while at + 5 <= len(body):
            flags, length = struct.unpack_from(">BI", body, at)
            if flags or at + 5 + length > len(body):
                return
            yield Event.from_binary(body[at + 5 : at + 5 + length])
            at += 5 + length

    def _head(self, window: int) -> bytes:
        headers = (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", _PROCEDURE.encode()),
            (b":authority", b"localhost"),
            (b"content-type", b"application/grpc+proto"),
            (b"te", b"trailers"),
        )
        # Literals without indexing (RFC 7541, section 6.2.2).
        block = b"".join(
            b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
            for name, value in headers
        )
        return (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, window))
            + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _MAX_WINDOW - 65_535))
            + _frame(_HEADERS, 4, 1, block)
        )

    def _arrived(self) -> bytes:
        body, at = b"", 0
        while at + 9 <= len(self.received):
            length = int.from_bytes(self.received[at : at + 3], "big")
            if self.received[at + 3] == _DATA:
                body += self.received[at + 9 : at + 9 + length]
            at += 9 + length
        return body


def _frame(type: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", type, flags, stream) + payload


@pytest.mark.timeout(400)
@pytest.mark.parametrize("window", [65_535, _MAX_WINDOW])
async def test_stalled_calls_cost_a_bounded_amount_and_resume_exactly(
    serve: Serve, upstream: ScriptedUpstream, window: int
) -> None:
    tokens = tuple(f"{n:07d} {'x' * (PIECE - 8)}" for n in range(PIECES))
    whole = "".join(tokens)
    upstream.script(Answer(tokens=tokens, pace=Pace(gated=True)))
    grpc_port = free_port()
    flags = ("--grpc-port", str(grpc_port), "--stall-timeout", "3")
    async with (
        serve(*flags) as server,
        client("grpc", server.url, grpc_port) as answers,
    ):
        assert server.process is not None
        asked = answers.ask(AskRequest(message="Go on.", background=True))
        first = await anext(aiter(asked))
        stalled = await asyncio.gather(
            *(asyncio.to_thread(Stalled, grpc_port, first.stream, window) for _ in range(STALLED))
        )
        before = memory(server.process.pid, "VmRSS")
        upstream.release(PIECES + 1)
        assert await text(asked) == whole
        grown = memory(server.process.pid, "VmHWM") - before
        print(f"grown by {grown / 2**20:.1f} MiB for {STALLED} stalled calls, bound {BOUND >> 20}")
        assert grown < BOUND

        cut = seen = 0
        while cut < STALLED:
            await server.wait_log(lambda line: line["event"] == "reader_cut", seen)
            seen = len(server.logs)
            cut = sum(line["event"] == "reader_cut" for line in server.logs)
        for one in stalled[:3]:
            had = await asyncio.to_thread(one.drained)
            got = "".join(e.event.value.text for e in had if e.event and e.event.field == "token")
            assert len(got) < len(whole)
            request = AttachRequest(stream=first.stream, after=had[-1].position)
            assert got + await text(answers.attach(request)) == whole
        for one in stalled[3:]:
            one.socket.close()
