"""Answers from the question to their end, many at a time."""

from __future__ import annotations

import asyncio
import os
import time
from typing import cast

import httptools

from bench import proc
from bench.load.figures import percentile
from bench.load.h2 import H2Connection
from bench.load.plan import Answers, AnswersResult, Request
from bench.load.reader import BadAnswer


class Times:
    """When the first token of an answer came, and the last; of its text only the end is kept."""

    def __init__(self, mark: bytes, end: bytes) -> None:
        self.first = 0.0
        self.last = 0.0
        self._mark = mark
        self._end = end
        self._text = b""

    def see(self, data: bytes) -> None:
        """More of the body."""
        data = self._text + data
        self._text = data[-64:]
        if not self.first and self._mark in data:
            self.first = time.perf_counter()
        if not self.last and self._end in data:
            self.last = time.perf_counter()


class Asker(asyncio.Protocol):
    """A connection over HTTP/1.1, kept from answer to answer."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self._parser = httptools.HttpResponseParser(self)
        self._times: Times | None = None
        self._ended: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, request: Request, times: Times) -> None:
        """Send a request; returns at the end of the answer."""
        assert self._transport is not None
        data = request.encode()
        self.sent += len(data)
        self._times = times
        self._parser = httptools.HttpResponseParser(self)
        self._ended = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        await self._ended

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        assert self._times is not None
        self._times.see(body)

    def on_message_complete(self) -> None:
        if self._ended is not None and not self._ended.done():
            if self._parser.get_status_code() == 200:
                self._ended.set_result(None)
            else:
                status = self._parser.get_status_code()
                self._ended.set_exception(BadAnswer(f"status {status} instead of an answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(BadAnswer("the server closed the connection unasked"))

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.abort()


class Askers:
    """All who ask, each again and again."""

    def __init__(self, plan: Answers) -> None:
        self.firsts: list[float] = []
        self.lasts: list[float] = []
        self.plain: list[Asker] = []
        self.shared: list[H2Connection] = []
        self._plan = plan

    async def connect(self) -> list[asyncio.Task[None]]:
        """Begin to ask."""
        loop, plan = asyncio.get_running_loop(), self._plan
        if plan.h2:
            for _ in range(0, plan.askers, plan.h2):
                _, shared = await loop.create_connection(
                    H2Connection, "127.0.0.1", plan.request.port
                )
                self.shared.append(shared)
            await asyncio.sleep(0.2)  # the server's settings, above all how many streams it takes
            return [
                loop.create_task(self._multiplexed(number, self.shared[number // plan.h2]))
                for number in range(plan.askers)
            ]
        for _ in range(plan.askers):
            _, asker = await loop.create_connection(Asker, "127.0.0.1", plan.request.port)
            self.plain.append(asker)
        return [loop.create_task(self._alone(n, asker)) for n, asker in enumerate(self.plain)]

    async def _alone(self, number: int, asker: Asker) -> None:
        await self._turn(number)
        while True:
            began, times = time.perf_counter(), self._times()
            await asker.ask(self._plan.request, times)
            self._count(began, times)

    async def _multiplexed(self, number: int, shared: H2Connection) -> None:
        await self._turn(number)
        while True:
            began, times = time.perf_counter(), self._times()
            await shared.ask(self._plan.request, times.see).ended
            self._count(began, times)

    async def _turn(self, number: int) -> None:
        """People do not ask all at once."""
        await asyncio.sleep(number / self._plan.askers * self._plan.spread)

    def _times(self) -> Times:
        return Times(self._plan.mark.encode(), self._plan.end.encode())

    def _count(self, began: float, times: Times) -> None:
        if not (times.first and times.last):
            raise BadAnswer("an answer ended that was not complete")
        self.firsts.append(times.first - began)
        self.lasts.append(times.last - began)

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes received and sent."""
        every = [*self.plain, *self.shared]
        return sum(one.received for one in every), sum(one.sent for one in every)

    def close(self) -> None:
        """Leave."""
        for one in (*self.plain, *self.shared):
            one.close()


async def answers(plan: Answers) -> AnswersResult:
    """Carry out the plan."""
    askers = Askers(plan)
    tasks = await askers.connect()
    await _unless_one_fails(tasks, plan.warmup)
    askers.firsts.clear()
    askers.lasts.clear()
    me = [os.getpid()]
    received, sent = askers.sizes
    began, cpu, my_cpu = time.monotonic(), proc.cpu_seconds(plan.pids), proc.cpu_seconds(me)
    await _unless_one_fails(tasks, plan.seconds)
    passed = time.monotonic() - began
    cpu, my_cpu = proc.cpu_seconds(plan.pids) - cpu, proc.cpu_seconds(me) - my_cpu
    count = len(askers.lasts)
    if not count:
        raise BadAnswer("no answer came to its end")
    came, went = askers.sizes
    rss = proc.rss(plan.pids)
    for task in tasks:
        task.cancel()
    askers.close()
    return AnswersResult(
        answers=count / passed,
        cpu=cpu / passed,
        load_cpu=my_cpu / passed,
        rss=rss,
        first=_figures(askers.firsts),
        last=_figures(askers.lasts),
        received=(came - received) / count,
        sent=(went - sent) / count,
    )


async def _unless_one_fails(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def _figures(values: list[float]) -> tuple[float, float]:
    return percentile(values, 0.5) * 1000, percentile(values, 0.99) * 1000
