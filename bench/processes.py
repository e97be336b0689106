"""Child processes: the servers under test and the load generator, started and surely ended."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from bench import proc
from bench.load.plan import Plan

T = TypeVar("T")

#: Seconds that a server gets to start, and to end.
_START = 30.0
_END = 15.0
#: Seconds that a plan may take beyond those that it measures.
_SPARE = 180.0


class Failed(Exception):
    """A measurement could not be made; the message says why."""


def raise_descriptor_limit() -> int:
    """Allow as many descriptors as the system lets us; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Server:
    """A server under test."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    @property
    def pids(self) -> list[int]:
        """Its processes: itself and its workers."""
        return proc.family(self.process.pid)


@contextlib.contextmanager
def module(name: str, *arguments: str) -> Iterator[Server]:
    """Run a Python module that prints its port (or a URL that holds it) as its first line."""
    with _running([sys.executable, "-m", name, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        port = line.removesuffix("/v1").rpartition(":")[2]
        if not port.isdigit():
            raise Failed(f"{name} did not start")
        yield Server(process, int(port))


@contextlib.contextmanager
def command(arguments: list[str], port: int, patience: float = _START) -> Iterator[Server]:
    """Run a program that listens on ``port`` when it has started, within so many seconds."""
    with _running(arguments) as process:
        _wait_listening(process, port, patience)
        yield Server(process, port)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for a server's data, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="fairlead-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def load(plan: Plan, result: type[T], seconds: float) -> T:
    """Have the load generator carry out a plan that measures for ``seconds``."""
    try:
        process = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            input=msgspec.json.encode(plan),
            capture_output=True,
            timeout=seconds + _SPARE,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Failed(f"the load generator did not come to an end in {late.timeout:g} s") from None
    if process.returncode:
        raise Failed(f"the load generator gave up: {process.stderr.decode().strip()[-500:]}")
    return msgspec.json.decode(process.stdout, type=result)


@contextlib.contextmanager
def _running(
    arguments: list[str], stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    # Settings of whoever measures are not those that are measured.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FAIRLEAD_")}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(arguments, stdout=stdout, stderr=errors, env=environment)
        try:
            yield process
        except Failed as failure:
            raise Failed(f"{failure}{_last_words(errors)}") from None
        finally:
            process.terminate()
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _last_words(errors: IO[bytes]) -> str:
    """The end of what a server wrote to its standard error."""
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip()[-500:]
    return f"; the server said: {said}" if said else ""


def _wait_listening(process: subprocess.Popen[bytes], port: int, patience: float) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Failed(f"{process.args!r} did not begin to listen on port {port}")
