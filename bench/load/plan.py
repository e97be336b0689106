"""What the load generator is told, and what it answers: JSON on its standard input and output."""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every reader asks of the server at ``port``. ``body`` empty: a GET."""

    port: int
    path: str
    body: str = ""
    headers: dict[str, str] = {}

    def encode(self, **headers: str) -> bytes:
        """The request as bytes, with further headers."""
        method = "POST" if self.body else "GET"
        fields = {"Host": f"127.0.0.1:{self.port}", "Accept": "text/event-stream"}
        fields |= self.headers | headers
        if self.body:
            fields |= {
                "Content-Type": "application/json",
                "Content-Length": str(len(self.body.encode())),
            }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{method} {self.path} HTTP/1.1\r\n{head}\r\n{self.body}".encode()


class Stream(msgspec.Struct, frozen=True, kw_only=True, tag="stream"):
    """Read with ``connections`` readers; count for ``seconds`` after ``warmup``.

    ``mark``: the bytes that stand in each token once; ``timing``: every so many-th reader also
    measures latency, by the stamps of :mod:`bench.ticker` (0: none). ``pids``: whose processor time
    and memory to measure.
    """

    request: Request
    connections: int
    mark: str
    pids: list[int]
    warmup: float
    seconds: float
    timing: int = 0


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


Plan = Stream | First | Storm | Idle


class StreamResult(msgspec.Struct, frozen=True, kw_only=True):
    """Per second: ``tokens``. In cores: ``cpu`` of the server, ``load_cpu`` of the generator. In
    bytes: ``rss``, ``pss``. In milliseconds: ``p50``, ``p99``. ``lost``: connections that ended."""

    tokens: float
    cpu: float
    load_cpu: float
    rss: int
    pss: int
    lost: int
    bytes_per_token: float
    p50: float | None = None
    p99: float | None = None


class FirstResult(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds to the first token, by the name of the request: (p50, p99)."""

    times: dict[str, tuple[float, float]]


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
