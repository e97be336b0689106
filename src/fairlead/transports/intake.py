"""The intake: connections, before they have asked for anything.

How many there may be, in all and from one address; how long one may take to say what it wants; and
who is at its other end, where a proxy says so in the PROXY protocol.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import structlog

from fairlead.framing import proxy_protocol
from fairlead.policy.addresses import Networks, address

_log = structlog.get_logger("fairlead.transports")

#: Refused connections are told of once for so many.
_TELL_EVERY = 1000


class Intake:
    """What the connections of one listener have in common.

    ``most`` at once, and ``most_each`` from one address (0: no cap), from which ``trusted`` proxies
    and this machine itself are exempt: many come through them. ``head_timeout``: seconds for the
    head of a request. ``introduced``: whether trusted proxies begin each connection with a PROXY
    header; then nobody else may connect.
    """

    def __init__(
        self,
        *,
        most: int = 0,
        most_each: int = 0,
        head_timeout: float = 10.0,
        trusted: Networks | None = None,
        introduced: bool = False,
    ) -> None:
        self.most = most
        self.most_each = most_each
        self.head_timeout = head_timeout
        self.trusted = trusted or Networks()
        self.introduced = introduced
        self._addresses: dict[Any, str] = {}
        self._count: Counter[str] = Counter()
        self._clients: dict[Any, tuple[str, int]] = {}
        self._refused = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def enter(self, transport: asyncio.BaseTransport, host: str) -> bool:
        """A connection from ``host``: whether it may stay."""
        known = self._addresses.get(transport)
        if known is None and self.most and len(self._addresses) >= self.most:
            return self._refuse("max_connections")
        if self.most_each and self._count[host] >= self.most_each and self._is_counted(host):
            return self._refuse("max_connections_each")
        if known is not None:
            self._leave(known)
        self._addresses[transport] = host
        self._count[host] += 1
        return True

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """The connection is gone. Idempotent."""
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
