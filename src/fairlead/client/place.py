"""Where a reader stands in an answer, over all its connections."""

from __future__ import annotations

import time

from fairlead.client.path import Transport

#: Seconds until the first try after a break, where the server names none; each further wait is
#: twice the one before, up to LONGEST_WAIT.
FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0


class Place:
    """Where a reader stands in an answer, and how its tries went.

    ``transport``: what this try is made over. ``heard``: it has brought at least a byte of the
    body. ``at_once``: the next try need not wait. ``over``: nothing follows. ``supersedes``: the
    stream that the question interrupts, which was seen up to the position ``shown``. ``renewed``:
    the credential was refused, and this try shows another one.
    """

    def __init__(self, question: bytes = b"", key: str = "") -> None:
        self._began = time.monotonic()
        self.question = question
        self.key = key
        self.stream = ""
        self.last_id = ""
        self.over = False
        self.transport: Transport = "sse"
        self.supersedes = ""
        self.shown = ""
        self.heard = False
        self.stalls = 0
        self.fruitless = 0
        self.renewed = False
        self.at_once = False
        self.retry = FIRST_WAIT
        self.reached = False
        self.failures = 0
        self.reason = ""
        self.retry_after: float | None = None

    @property
    def position(self) -> str:
        """The position, without the stream's id."""
        return self.last_id.partition(".")[2]

    @property
    def lasted(self) -> float:
        """Seconds since this try began."""
        return time.monotonic() - self._began

    def begin(self, transport: Transport) -> None:
        """One more try."""
        self.transport = transport
        self._began = time.monotonic()
        self.heard = False
        self.at_once = False

    def went_on(self) -> None:
        """This try has brought something."""
        self.heard = True
        self.renewed = False
        self.failures = 0

    def failed(self, reason: str, retry_after: float | None) -> None:
        """One more try came to nothing."""
        self.failures += 1
        self.reason = reason
        self.retry_after = retry_after

    def drained(self, retry_after: object) -> None:
        """The server asks us to come back: no failure."""
        self.reason = "the server is restarting"
        self.retry_after = None
        if isinstance(retry_after, int | float):
            self.retry_after = min(max(float(retry_after), 0.0), LONGEST_WAIT)

    def wait(self, random: float) -> float:
        """Seconds until the next try: never sooner than the server wishes, and a little spread."""
        longest = max(LONGEST_WAIT, self.retry)
        backoff: float = min(self.retry * 2.0 ** (max(self.failures, 1) - 1), longest)
        asked = self.retry_after
        return (backoff if asked is None else asked) * (1 + random / 10)
