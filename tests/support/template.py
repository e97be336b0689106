"""The template that :mod:`tests.support.forked` has its processes forked from: an interpreter that
has imported what they need, and has done nothing else.

Run by its path, with the number of a socket. Each message there asks for a process: its arguments,
environment and folder as JSON, and with it four descriptors: its input, output and error output,
and a pipe on which its number is written at once and its status at the end. When the other end of
the socket closes, whatever still runs is killed.

A child goes on at the end of this file as a program that was just begun: it has no descriptor of
the template's, and its own end is the interpreter's, with all that belongs to that.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from typing import Any

#: What a server has imported when it listens, and what the other programs of the tests begin with.
IMPORTS = ("fairlead.cli.main", "fairlead.server.lifecycle", "fairlead.testing.upstream.server")
_PR_SET_PDEATHSIG = 1


class Child:
    """A process as its parent knows it: its number, and the pipe that takes its status."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.status = status
        self.end = os.pidfd_open(pid)
        self.tell(pid)

    def tell(self, number: int) -> None:
        """Write on the pipe, where somebody still reads it."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.status, b"%d\n" % number)

    def bury(self) -> None:
        """Take the status of a process that has ended, and hand it on."""
        _, status = os.waitpid(self.pid, 0)
        self.tell(os.waitstatus_to_exitcode(status))
        self.forget()

    def forget(self) -> None:
        os.close(self.end)
        os.close(self.status)


def births(control: socket.socket) -> dict[str, Any] | None:
    """Fork as the messages say. Returns the message in each child; in the template None, once
    nobody can ask any more."""
    template = os.getpid()
    prctl = ctypes.CDLL(None).prctl
    children: dict[int, Child] = {}
    with control, selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    selector.unregister(key.fd)
                    children.pop(key.fd).bury()
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 4)
                if not message:
                    for child in children.values():
                        os.kill(child.pid, signal.SIGKILL)
                    return None
                *standard, status = descriptors
                pid = os.fork()
                if pid == 0:
                    # Without its parent nobody knows of it.
                    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                    if os.getppid() != template:
                        os.kill(os.getpid(), signal.SIGKILL)
                    for number, descriptor in enumerate(standard):
                        os.dup2(descriptor, number)
                    for descriptor in descriptors:
                        os.close(descriptor)
                    for child in children.values():
                        child.forget()
                    asked: dict[str, Any] = json.loads(message)
                    return asked
                for descriptor in standard:
                    os.close(descriptor)
                child = Child(pid, status)
                children[child.end] = child
                selector.register(child.end, selectors.EVENT_READ)


def become(arguments: list[str], env: dict[str, str], folder: str) -> None:
    """Run a program to its end: ``-m MODULE …``, or the executable of that path."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = arguments
    if arguments[0] == "-m":
        sys.path[0] = folder
        del arguments[0]
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(arguments[0])
        sys.exit(importlib.import_module("fairlead.cli.main").main())


if __name__ == "__main__":
    # Ctrl-C is for the tests; this ends when they do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.pop(0)  # the folder of this file
    sys.path.insert(0, "")
    for name in IMPORTS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    if (asked := births(socket.socket(fileno=int(sys.argv[1])))) is not None:
        become(**asked)
