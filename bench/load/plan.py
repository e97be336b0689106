"""What the load generator is told, and what it answers: JSON on its standard input and output."""

from __future__ import annotations

from typing import Literal

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every reader asks of the server at ``port``. ``body`` empty: a GET; each of its
    characters is a byte. ``wire`` says how it is asked (:mod:`bench.load.wires`): for ``websocket``
    the body is the first message."""

    port: int
    path: str
    body: str = ""
    headers: dict[str, str] = {}
    wire: Literal["body", "websocket", "poll"] = "body"

    def encode(self, **headers: str) -> bytes:
        """The request as bytes, with further headers; of a ``websocket`` the handshake."""
        body = "" if self.wire == "websocket" else self.body
        fields = {"Host": f"127.0.0.1:{self.port}"}
        if self.wire == "body":
            fields["Accept"] = "text/event-stream"
        if body:
            fields["Content-Type"] = "application/json"
        fields |= self.headers | headers
        if body:
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        method = "POST" if body else "GET"
        return f"{method} {self.path} HTTP/1.1\r\n{head}\r\n{body}".encode("latin-1")


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Have the load generator publish what the readers read: ``rate`` messages a second, each a
    POST to ``path``; in ``body`` the next token stands for ``TOKEN``."""

    port: int
    path: str
    body: str
    rate: float


class Stream(msgspec.Struct, frozen=True, kw_only=True, tag="stream"):
    """Read with ``connections`` readers; count for ``seconds`` after ``warmup``.

    ``mark``: the bytes that stand in each token once; ``begin``: those with which a reader has
    begun to be served. ``timing``: every so many-th reader also measures latency, by the stamps of
    :mod:`bench.ticker` (0: none). ``pids``: whose processor time and memory to measure.
    """

    request: Request
    connections: int
    mark: str
    pids: list[int]
    warmup: float
    seconds: float
    timing: int = 0
    begin: str = "data: "
    publish: Publish | None = None


class First(msgspec.Struct, frozen=True, kw_only=True, tag="first"):
    """Measure the time to the first token of each of ``requests`` in turn, ``rounds`` times, while
    ``connections`` readers of ``background`` are being served."""

    requests: dict[str, Request]
    background: Request
    connections: int
    mark: str
    rounds: int


class Storm(msgspec.Struct, frozen=True, kw_only=True, tag="storm"):
    """Read, cut every connection at once with a TCP reset, resume each from its position, read on
    for ``seconds``, check every text."""

    request: Request
    connections: int
    warmup: float
    seconds: float


class Idle(msgspec.Struct, frozen=True, kw_only=True, tag="idle"):
    """Attach ``connections`` readers and let them sit; measure the memory of ``pids`` before and
    after. The first ``before`` readers are not counted: they pay for what is made once."""

    request: Request
    connections: int
    before: int
    pids: list[int]
    seconds: float
    begin: str = "data: "


class Probe(msgspec.Struct, frozen=True, kw_only=True, tag="probe"):
    """Open a connection, ask, cut it, resume after the first event: ``rounds`` times, one after the
    other. ``headers`` go with every request."""

    transport: str
    port: int
    headers: dict[str, str]
    rounds: int


class Answers(msgspec.Struct, frozen=True, kw_only=True, tag="answers"):
    """Ask for answers that end, ``askers`` at a time, each again and again. ``h2``: over HTTP/2,
    ``h2`` askers to a connection (0: HTTP/1.1, each on its own connection, which is kept). They
    begin one after the other, within ``spread`` seconds.

    ``mark`` stands in each token, ``end`` in what comes last of an answer.
    """

    request: Request
    askers: int
    mark: str
    end: str
    pids: list[int]
    warmup: float
    seconds: float
    spread: float
    h2: int = 0


Plan = Stream | First | Storm | Idle | Probe | Answers


class StreamResult(msgspec.Struct, frozen=True, kw_only=True):
    """Per second: ``tokens``. In cores: ``cpu`` of the server, ``load_cpu`` of the generator. In
    bytes: ``rss``, ``pss``; per token ``bytes_per_token`` that came and ``sent_per_token`` that the
    readers sent. In milliseconds: ``p50``, ``p99``. ``lost``: connections that ended."""

    tokens: float
    cpu: float
    load_cpu: float
    rss: int
    pss: int
    lost: int
    bytes_per_token: float
    sent_per_token: float = 0.0
    p50: float | None = None
    p99: float | None = None


class FirstResult(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds to the first token, by the name of the request: (p50, p99). ``later``: how much
    later it is for each than for the first one of the same round; the median, and between which two
    figures the true one lies, 19 times in 20."""

    times: dict[str, tuple[float, float]]
    later: dict[str, tuple[float, float, float]] = {}


class StormResult(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the cut until half, and until all, of the readers were shown a token made
    after they had asked again. ``wrong``: readers whose text was not what it should be, with the
    first one's trouble in ``trouble``. ``tokens``: checked in all."""

    readers: int
    half: float
    all: float
    wrong: int
    trouble: str
    tokens: int


class IdleResult(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes per reader, by resident and by proportional set size; and the total at the end."""

    rss_per_reader: float
    pss_per_reader: float
    rss: int


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds (p50, p99): ``opened`` from the first TCP packet to the first event, ``resumed``
    from the cut to the first event after the position. ``turns``: round trips until the first
    event. In bytes: ``request_head``, ``response_head`` of the exchange that opens; ``plain`` and
    ``gzipped`` per event, as it came and compressed with a flush after each write. ``wrong``: how
    often a resumed reader was not shown what follows its position."""

    opened: tuple[float, float]
    resumed: tuple[float, float]
    turns: int
    request_head: int
    response_head: int
    plain: float
    gzipped: float
    wrong: int


class AnswersResult(msgspec.Struct, frozen=True, kw_only=True):
    """``answers`` a second; ``cpu`` in cores; milliseconds (p50, p99) until the ``first`` token and
    until the ``last``; bytes per answer ``received`` and ``sent``."""

    answers: float
    cpu: float
    load_cpu: float
    rss: int
    first: tuple[float, float]
    last: tuple[float, float]
    received: float
    sent: float
