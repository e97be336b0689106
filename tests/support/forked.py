"""Python programs as processes that need not begin with seconds of imports.

They are forked from a template (:mod:`tests.support.template`), one for each process of the tests,
and are otherwise what they would be: processes of their own with their own arguments, environment,
folder and streams, that end as they do. When the tests end, in whatever way, so do they.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: The command.
FAIRLEAD = str(Path(sys.executable).parent / "fairlead")
_TEMPLATE = Path(__file__).with_name("template.py")
#: What the interpreter, and what it imports, reads of the environment as it begins.
_READ_EARLY = ("PYTHON", "LD_", "LC_", "LANG", "SSL_", "OTEL_")
#: Seconds that suffice for the template to begin, on a busy machine.
_ENOUGH = 240.0


class Forked:
    """A process, to be used as one of :mod:`asyncio.subprocess`. ``stdout`` and ``stderr`` are None
    where they go nowhere."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self.returncode: int | None = None
        self._status = status
        # Not its number, which may be another's by the time it is signalled.
        self._process = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._loop.add_reader(status, self._end)

    def send_signal(self, number: int) -> None:
        """Send it a signal. One that has ended takes none."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end; the exit status, negative where a signal ended it."""
        await asyncio.shield(self._ended)
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        said = os.read(self._status, 64)
        self._loop.remove_reader(self._status)
        os.close(self._status)
        os.close(self._process)
        # A template that ends without a word takes its children along.
        self.returncode = int(said or -signal.SIGKILL)
        self._ended.set_result(None)


class Template:
    """The process that is forked. ``environment``: what it began with."""

    def __init__(self) -> None:
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("FAIRLEAD_")}
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_TEMPLATE), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self.environment,
            )
        atexit.register(self.close)

    @property
    def running(self) -> bool:
        """Whether it can be forked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it, and what it has forked."""
        self._requests.close()
        self._process.wait(_ENOUGH)

    def ask(self, request: Mapping[str, object], descriptors: list[int]) -> None:
        """Have a child made."""
        socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)


async def fork(
    *arguments: str,
    env: Mapping[str, str],
    folder: Path | None = None,
    stdin: bytes = b"",
    stdout: bool = False,
    stderr: bool = False,
    limit: int = 1 << 16,
) -> Forked:
    """Start :data:`FAIRLEAD`, or ``-m`` a module, with its arguments, and ``stdin`` to read.
    ``stdout`` and ``stderr`` can be read where that is wanted, in lines of at most ``limit``
    bytes."""
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:

        def pipe() -> tuple[int, int]:
            reading, writing = os.pipe()
            ours.callback(os.close, reading)
            theirs.callback(os.close, writing)
            return reading, writing

        nowhere = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, nowhere)
        given = os.memfd_create("stdin")
        theirs.callback(os.close, given)
        os.pwrite(given, stdin, 0)
        status, told = pipe()
        out, written = pipe() if stdout else (-1, nowhere)
        err, complained = pipe() if stderr else (-1, nowhere)
        request = {"arguments": arguments, "env": dict(env), "folder": str(folder or Path.cwd())}
        _template().ask(request, [given, written, complained, told])
        # Now, so that the pipe of a template that has ended does.
        theirs.close()
        process = Forked(_born(status), status)
        ours.pop_all()
    if stdout:
        process.stdout = await _reader(out, limit)
    if stderr:
        process.stderr = await _reader(err, limit)
    return process


def _born(status: int) -> int:
    said = b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([status], [], [], _ENOUGH)
        assert ready, "the template does not fork"
        said += (byte := os.read(status, 1))
        assert byte, "the template has ended"
    return int(said)


def forkable(env: Mapping[str, str]) -> bool:
    """Whether a forked process can be one that began with this environment."""
    if sys.platform != "linux":
        return False
    early = {k: v for k, v in env.items() if k.startswith(_READ_EARLY)}
    known = {k: v for k, v in _template().environment.items() if k.startswith(_READ_EARLY)}
    return early == known


_templates: list[Template] = []


def _template() -> Template:
    if not _templates or not _templates[-1].running:
        _templates.append(Template())
    return _templates[-1]


async def _reader(descriptor: int, limit: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=limit)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader
