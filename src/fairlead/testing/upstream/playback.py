"""Carries out the steps of one answer on one connection, without a task of its own.

A thousand paced streams are a thousand small callbacks per delay and a few hundred timers, which
leaves the processor to what is being measured.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator

from fairlead.testing.upstream.behaviours import Pace
from fairlead.testing.upstream.requests import Ending, ReceivedRequest
from fairlead.testing.upstream.steps import Cut, Send, Step, Turn

_RESOLUTION_S = 0.001


class Wheel:
    """Shared timers: all that falls due within the same millisecond hangs on one of them."""

    def __init__(self) -> None:
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._loop = asyncio.get_running_loop()

    def call_at(self, due: float, callback: Callable[[], None]) -> None:
        """Call back at ``due`` (loop time, seconds) or up to a millisecond later."""
        slot = math.ceil(due / _RESOLUTION_S)
        waiting = self._slots.get(slot)
        if waiting is None:
            waiting = self._slots[slot] = []
            self._loop.call_at(slot * _RESOLUTION_S, self._fire, slot)
        waiting.append(callback)

    def _fire(self, slot: int) -> None:
        for callback in self._slots.pop(slot):
            callback()


class Gate:
    """Holds gated answers until the test releases them, first come, first served."""

    def __init__(self) -> None:
        self.waiting: deque[Playback] = deque()
        self._permits = 0

    def take(self) -> bool:
        """Use up a permit if there is one."""
        if self._permits:
            self._permits -= 1
            return True
        return False

    def release(self, n: int) -> None:
        """Give n permits; those not used at once stay."""
        # An answer that passes may at once wait again, behind those that waited already.
        while n and self.waiting:
            n -= 1
            self.waiting.popleft().resume()
        self._permits += n


class Playback:
    """One answer on its way. ``on_token`` and ``on_end`` tell the connection."""

    def __init__(
        self,
        steps: Iterator[Step],
        pace: Pace,
        request: ReceivedRequest,
        transport: asyncio.Transport,
        *,
        wheel: Wheel,
        gate: Gate,
        on_token: Callable[[int], None],
        on_end: Callable[[Ending, bool], None],
    ) -> None:
        self._steps = steps
        self._pace = pace
        self._request = request
        self._transport = transport
        self._wheel = wheel
        self._gate = gate
        self._on_token = on_token
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._own_permits = 0
        self._at_gate = False
        self._full = False
        self._ready = True
        request._release = self.release

    @property
    def _ended(self) -> bool:
        return self._request.ending is not None

    def release(self, n: int) -> None:
        """Give this answer alone n permits."""
        self._own_permits += n
        if self._at_gate and self._own_permits:
            self._own_permits -= 1
            self._gate.waiting.remove(self)
            self.resume()

    def socket_full(self, full: bool) -> None:
        """The socket's buffer is full, or has room again."""
        self._full = full
        if not full and self._ready:
            self.run()

    def resume(self) -> None:
        """The wait is over."""
        self._at_gate = False
        self._ready = True
        if not self._full:
            self.run()

    def end(self, ending: Ending, *, closes: bool = False) -> None:
        """End here; nothing more is sent. ``closes``: and the connection must go."""
        if self._ended:
            return
        if self._at_gate:
            self._gate.waiting.remove(self)
            self._at_gate = False
        self._request.ending = ending
        self._on_end(ending, closes)

    def run(self) -> None:
        """Carry out steps until one has to wait."""
        if self._ended:
            return
        for step in self._steps:
            if isinstance(step, Send):
                self._transport.write(step.data)
                if step.tokens:
                    self._request.tokens_sent += step.tokens
                    self._on_token(step.tokens)
                if self._full:
                    return
            elif isinstance(step, Turn):
                self._ready = self._pass(step)
                if not self._ready:
                    return
            else:
                self._cut(step)
                return
        self.end(Ending.COMPLETED)

    def _pass(self, turn: Turn) -> bool:
        """Whether to go on at once; if not, someone will call ``resume``."""
        if turn is Turn.PIECE:
            if self._pace.drip_s:
                self._wheel.call_at(self._loop.time() + self._pace.drip_s, self.resume)
            else:
                # Once round the loop, so that each piece is a send() of its own.
                self._loop.call_soon(self.resume)
            return False
        if turn is Turn.NEVER:
            return False
        if self._pace.gated:
            if self._own_permits:
                self._own_permits -= 1
                return True
            if self._gate.take():
                return True
            self._at_gate = True
            self._gate.waiting.append(self)
            return False
        if self._pace.delay_s:
            # From turn to turn, so that small delays in waking do not add up; a stream that fell
            # behind by more than a delay does not catch up in a burst.
            self._due = max(self._due + self._pace.delay_s, self._loop.time())
            self._wheel.call_at(self._due, self.resume)
            return False
        return True

    def _cut(self, cut: Cut) -> None:
        if cut is Cut.RESET:
            # Linger on, for zero seconds: close() then sends RST instead of FIN.
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.end(Ending.CUT)
            self._transport.abort()
        elif cut is Cut.CLOSE:
            self.end(Ending.CUT)
            self._transport.close()
        else:
            self.end(Ending.COMPLETED, closes=True)
