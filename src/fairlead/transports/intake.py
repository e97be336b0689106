"""The intake: connections, before they have asked for anything, and between two requests.

How many there may be, in all and from one address; how many of those may be idle; how long one may
take to say what it wants; and who is at its other end, where a proxy says so in the PROXY protocol.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import structlog

from fairlead.framing import proxy_protocol
from fairlead.policy.addresses import Networks, address
from fairlead.policy.budgets import network

_log = structlog.get_logger("fairlead.transports")

#: Refused connections are told of once for so many.
_TELL_EVERY = 1000


class Intake:
    """What the connections of one listener have in common.

    ``most`` at once, ``most_each`` from one address and ``most_idle_each`` of those between two
    requests (0: no cap), from which two ``trusted`` proxies and this machine itself are exempt:
    many come through them. Of IPv6 the network of 64 bits is one address. ``head_timeout``: seconds
    for the head of a request. ``introduced``: whether trusted proxies begin each connection with a
    PROXY header; then nobody else may connect.

    An idle connection may be closed at any time (RFC 9112, section 9.3): the one that has been idle
    longest is where an address has too many, and where no other one could come in.
    """

    def __init__(
        self,
        *,
        most: int = 0,
        most_each: int = 0,
        most_idle_each: int = 0,
        head_timeout: float = 10.0,
        trusted: Networks | None = None,
        introduced: bool = False,
    ) -> None:
        self.most = most
        self.most_each = most_each
        self.most_idle_each = most_idle_each
        self.head_timeout = head_timeout
        self.trusted = trusted or Networks()
        self.introduced = introduced
        self._addresses: dict[Any, str] = {}
        self._count: Counter[str] = Counter()
        #: By address those that are idle, and all of them; each time the longest idle first.
        self._idle: dict[str, dict[asyncio.BaseTransport, None]] = {}
        self._all_idle: dict[asyncio.BaseTransport, str] = {}
        self._clients: dict[Any, tuple[str, int]] = {}
        self._refused = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def enter(self, transport: asyncio.BaseTransport, host: str) -> bool:
        """A connection from ``host``: whether it may stay."""
        known = self._addresses.get(transport)
        if known is None and self.most and len(self._addresses) >= self.most:
            if not self._all_idle:
                return self._refuse("max_connections")
            self._close(next(iter(self._all_idle)))
        name = network(host)
        if self.most_each and self._count[name] >= self.most_each and self._is_counted(host):
            return self._refuse("max_connections_each")
        if known is not None:
            self._leave(known)
        self._addresses[transport] = name
        self._count[name] += 1
        return True

    def idle(self, transport: asyncio.BaseTransport, host: str) -> None:
        """The connection, which is from ``host``, has been answered, and waits for the next
        request."""
        if transport not in self._addresses or not self._is_counted(host):
            return
        name = self._addresses[transport]
        idle = self._idle.setdefault(name, {})
        idle[transport] = None
        self._all_idle[transport] = name
        if self.most_idle_each and len(idle) > self.most_idle_each:
            self._close(next(iter(idle)))

    def busy(self, transport: asyncio.BaseTransport) -> None:
        """Something comes over it again, or it is gone. Idempotent."""
        name = self._all_idle.pop(transport, None)
        if name is not None:
            del self._idle[name][transport]
            if not self._idle[name]:
                del self._idle[name]

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """The connection is gone. Idempotent."""
        self.busy(transport)
        host = self._addresses.pop(transport, None)
        self._clients.pop(transport, None)
        if host is not None:
            self._leave(host)

    def hand_over(self, transport: asyncio.BaseTransport, client: tuple[str, int]) -> None:
        """Another protocol takes the connection: this is who is at its other end."""
        self._clients[transport] = client

    def client(self, transport: asyncio.BaseTransport) -> tuple[str, int] | None:
        """Who is at the other end of a connection that was handed over."""
        return self._clients.pop(transport, None)

    def introduction(self, peer: str, data: bytes) -> proxy_protocol.Header | None:
        """The PROXY header that a connection of ``peer`` begins with; None: more bytes are needed.
        Raises :class:`ValueError` if it must not be served."""
        if address(peer) not in self.trusted:
            raise ValueError("only trusted proxies may connect")
        return proxy_protocol.parse(data)

    def _is_counted(self, host: str) -> bool:
        found = address(host)
        return not (found is None or found.is_loopback or found in self.trusted)

    def _close(self, transport: asyncio.BaseTransport) -> None:
        # It counts no more from now on, and not from when the loop comes to it.
        self.leave(transport)
        transport.close()

    def _leave(self, host: str) -> None:
        self._count[host] -= 1
        if not self._count[host]:
            del self._count[host]

    def _refuse(self, setting: str) -> bool:
        # Whoever floods the server with connections must not flood its log as well.
        if self._refused % _TELL_EVERY == 0:
            _log.warning("connection_refused", limit=setting, refused=self._refused + 1)
        self._refused += 1
        return False
