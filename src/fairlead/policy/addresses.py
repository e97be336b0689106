"""Addresses: networks, and who the client is behind the proxies that are trusted."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

#: Proxies that one request may have come through; what stands before is not looked at.
MOST_HOPS = 50

#: The prefix of IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2).
_MAPPED = 96

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 7239, section 4: pairs of a token and a token or quoted string.
_PAIR = re.compile(
    r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]*))\s*"
)


def address(text: str) -> Address | None:
    """The address that a text is, an IPv4 one for an IPv4-mapped IPv6 one (``::ffff:192.0.2.1``),
    without a zone; None for anything else."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


class Networks:
    """A set of networks. To look an address up costs a step for each length of prefix in it, not
    for each network, so that there may be many thousands."""

    __slots__ = ("_by_prefix", "given")

    def __init__(self, given: Iterable[str] = ()) -> None:
        """``given``: addresses and networks as ``192.0.2.0/24``, ``2001:db8::/32``. Raises
        :class:`ValueError`, whose message names the wrong one."""
        self.given = tuple(given)
        self._by_prefix: dict[tuple[int, int], set[int]] = {}
        for text in self.given:
            try:
                network = ipaddress.ip_network(text)
            except ValueError:
                raise ValueError(
                    f"{text[:80]!r} is no network; write such as 192.0.2.0/24, 2001:db8::/32 or "
                    "192.0.2.1 (all bits behind the prefix zero)"
                ) from None
            if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED:
                mapped = network.network_address.ipv4_mapped
                if mapped is not None:
                    network = ipaddress.ip_network((mapped, network.prefixlen - _MAPPED))
            bits = network.max_prefixlen
            key = (network.version, bits - network.prefixlen)
            number = int(network.network_address) >> key[1]
            self._by_prefix.setdefault(key, set()).add(number)

    def __bool__(self) -> bool:
        return bool(self.given)

    def __contains__(self, found: Address | None) -> bool:
        if found is None:
            return False
        number, version = int(found), found.version
        return any(
            each == version and number >> shift in numbers
            for (each, shift), numbers in self._by_prefix.items()
        )


def behind(peer: str, hops: Sequence[str], trusted: Networks) -> str:
    """The client's address, where ``peer`` made the connection and ``hops`` is what proxies say of
    those before them, the nearest one last.

    Each hop was written by the one after it, and so is believed for as long as that one is trusted:
    what a client writes itself stands before the first hop that is not. A hop that is no address
    (``unknown``, ``_hidden``) ends the search at the proxy that wrote it.
    """
    client = peer
    for hop in reversed(hops[-MOST_HOPS:]):
        if address(client) not in trusted:
            break
        before = address(hop)
        if before is None:
            break
        client = str(before)
    return client


def forwarded_for(values: Iterable[str]) -> list[str]:
    """The hops of ``X-Forwarded-For`` headers, in their order; ports and brackets taken off."""
    return [_bare(hop.strip()) for value in values for hop in value.split(",") if hop.strip()]


def forwarded(values: Iterable[str]) -> list[str]:
    """The ``for`` of each element of ``Forwarded`` headers (RFC 7239), in their order; an element
    that has none, or is malformed, is an empty text: nothing is known before it."""
    return [_for(element) for value in values for element in _split(value, ",")]


def _for(element: str) -> str:
    for pair in _split(element, ";"):
        match = _PAIR.fullmatch(pair)
        if match is None:
            return ""
        if match[1].lower() == "for":
            quoted = match[2]
            return _bare(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match[3])
    return ""


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that stands in no quoted string."""
    parts: list[str] = []
    start = 0
    quoted = escaped = False
    for place, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    return parts


def _bare(hop: str) -> str:
    """A node without its port: ``[2001:db8::1]:4711``, ``192.0.2.1:4711``."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
