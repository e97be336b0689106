"""*steps*: relay in step, for machines that have other work to do.

What a server spends on an event depends on how many come at once, and on a busy machine that is
chance. Here the model server's next chunk goes out when every reader has the one before. The
servers are all up and take turns, many times; the tenth percentile of what a turn took is hardly
touched by what else the machine does.
"""

from __future__ import annotations

import contextlib
import socket
import time

import msgspec

from bench import proc, relay
from bench.load.plan import Request
from bench.load.wires import wire_of
from bench.options import Options
from bench.processes import Failed, Server
from bench.table import Check, Row, Table, ratio

#: Streams that are sent a chunk at once.
_AT_ONCE = 10
#: Events in one turn of a server, and turns of each server.
_EVENTS = 1000
_TURNS = 60
#: Questions to a server that is idle.
_QUESTIONS = 60

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class _Figures(msgspec.Struct):
    """Of one server: seconds of processor time for an event, turn by turn, and from asking to the
    first token, question by question."""

    events: list[float] = []
    firsts: list[float] = []


class _Model:
    """The model server: answers when it is told to."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port: int = self._listening.getsockname()[1]

    def close(self) -> None:
        self._listening.close()

    def answer(self) -> socket.socket:
        """Take the next request, and give the first chunk of its answer at once."""
        connection, _ = self._listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        connection.sendall(_HEAD + _chunk(0))
        return connection


def _chunk(number: int) -> bytes:
    """About 250 bytes, as OpenAI sends them."""
    fields = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "scripted",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [
            {
                "index": 0,
                "delta": {"content": f"{relay.MARK}{number} "},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    }
    block = b"data: %b\n\n" % msgspec.json.encode(fields)
    return b"%x\r\n%b\r\n" % (len(block), block)


def _ask(request: Request) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", request.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire = wire_of(request)
    connection.sendall(wire.begin())
    received = b""
    while wire.listening:
        # A WebSocket: what is asked follows the handshake.
        data = connection.recv(65536)
        received += data
        if not data or not received.startswith(wire.status[: len(received)]):
            raise Failed(f"the server took no question: {received[:500]!r}")
        connection.sendall(wire.answer(data))
    return connection


def _until(connection: socket.socket, number: int) -> None:
    """Read until the token of this number is there."""
    mark = f"{relay.MARK}{number} ".encode()
    received = b""
    while mark not in received:
        data = connection.recv(65536)
        if not data:
            raise Failed(f"the server ended an answer: {received[-500:]!r}")
        received = received[-len(mark) :] + data


class _Streams:
    """The answers of one server."""

    def __init__(self, server: Server, request: Request, model: _Model, connections: int) -> None:
        self._pids = server.pids
        self._number = 0
        self._readers: list[socket.socket] = []
        self._upstreams: list[socket.socket] = []
        for _ in range(connections):
            self._readers.append(_ask(request))
            self._upstreams.append(model.answer())
        for reader in self._readers:
            _until(reader, 0)

    def turn(self) -> float:
        """Pass so many events on; seconds of processor time for each."""
        steps = max(1, _EVENTS // len(self._readers))
        self._step()
        before = proc.run_seconds(self._pids)
        for _ in range(steps):
            self._step()
        return (proc.run_seconds(self._pids) - before) / (steps * len(self._readers))

    def _step(self) -> None:
        self._number += 1
        chunk = _chunk(self._number)
        for first in range(0, len(self._readers), _AT_ONCE):
            for upstream in self._upstreams[first : first + _AT_ONCE]:
                upstream.send(chunk)
            for reader in self._readers[first : first + _AT_ONCE]:
                _until(reader, self._number)

    def close(self) -> None:
        for connection in (*self._readers, *self._upstreams):
            connection.close()


def _first(request: Request, model: _Model) -> float:
    """Seconds from asking to the first token."""
    began = time.perf_counter()
    with _ask(request) as reader, model.answer():
        _until(reader, 0)
        return time.perf_counter() - began


def run(options: Options) -> Table:
    """Measure them all, in turns."""
    connections = options.readers(100, 50)
    turns = _TURNS // 6 if options.quick else _TURNS
    figures: dict[str, _Figures] = {}
    requests: dict[str, Request] = {}
    streams: dict[str, _Streams] = {}
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(contextlib.closing(_Model()))
        for name, (start, ask) in relay.SERVERS.items():
            try:
                server = stack.enter_context(start(model.port))
            except Failed as failure:
                missing.append(f"{name}: {failure}")
                continue
            requests[name] = ask(server.port)
            made = _Streams(server, requests[name], model, connections)
            streams[name] = stack.enter_context(contextlib.closing(made))
            figures[name] = _Figures()
        for turn in range(turns):
            for name in list(streams)[:: 1 if turn % 2 else -1]:
                figures[name].events.append(streams[name].turn())
        for _ in range(_QUESTIONS):
            for name, request in requests.items():
                figures[name].firsts.append(_first(request, model))
    rival = figures.get("nginx proxy_pass")
    base = _tenth(rival.events) if rival else None
    rows = [_row(name, each, base, rival) for name, each in figures.items()]
    checks = []
    ours = figures.get("fairlead process")
    if ours is not None and base is not None:
        times = _tenth(ours.events) / base
        bar = "at durability process: at most 2 × nginx"
        checks.append(Check(bar, f"{times:.2f} ×", times <= 2))
    checks += relay.dialects({name: _tenth(each.events) for name, each in figures.items()})
    return Table(
        "steps",
        f"{connections} answers, {_AT_ONCE} of which are sent a chunk at once when all have the "
        "one before",
        ["µs/event", "× nginx", "least", "median", "first token ms", "later than nginx ms"],
        rows,
        "µs of processor time per event",
        checks,
        missing,
    )


def _tenth(values: list[float]) -> float:
    return sorted(values)[len(values) // 10]


def _row(name: str, figures: _Figures, base: float | None, rival: _Figures | None) -> Row:
    events = sorted(figures.events)
    tenth = _tenth(events)
    first = sorted(figures.firsts)[len(figures.firsts) // 4]
    nginx = sorted(rival.firsts)[len(rival.firsts) // 4] if rival else first
    cells = [
        f"{tenth * 1e6:.1f}",
        ratio(tenth, base),
        f"{events[0] * 1e6:.1f}",
        f"{events[len(events) // 2] * 1e6:.1f}",
        f"{first * 1e3:.2f}",
        f"{(first - nginx) * 1e3:.2f}",
    ]
    return Row(name, cells, tenth * 1e6)
