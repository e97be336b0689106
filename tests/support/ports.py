"""Ports for servers of tests."""

from __future__ import annotations

import itertools
import random
import socket

#: Below those that systems give to whoever asks for any port, which connections do all the time.
_FIRST, _LAST = 15_000, 32_000
_ports = itertools.cycle(range(_FIRST, _LAST))
# Processes of tests that run at once begin at different ones.
for _ in range(random.SystemRandom().randrange(_LAST - _FIRST)):
    next(_ports)


def free_port() -> int:
    """A port on which nobody listens here, and which nobody is given."""
    for port in _ports:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports go round")
