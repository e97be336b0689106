"""What stands before every route."""

from __future__ import annotations

from typing import Annotated, Literal

from fairlead.server.tables import rule
from fairlead.server.values.value import SECONDS, Group, check_networks

_says = Group("Protection")


TrustedProxies = Annotated[
    tuple[str, ...],
    _says("Addresses of proxies that are believed whom they speak for.", check=check_networks),
]
ProxyHeader = Annotated[
    Literal["x-forwarded-for", "forwarded", "proxy-protocol"],
    _says("Where these say it; nothing else is looked at."),
]
AllowAddresses = Annotated[
    tuple[str, ...],
    _says("Networks that may use this server; none given: all.", check=check_networks),
]
DenyAddresses = Annotated[
    tuple[str, ...], _says("Networks that may not, such as 203.0.113.0/24.", check=check_networks)
]
Rules = Annotated[
    tuple[rule.Rule, ...],
    _says.table("[[rules]]", "Which requests may come in, and how often."),
]
MaxConnections = Annotated[int, _says("Connections at once; 0: no cap.", ge=0, le=10_000_000)]
MaxConnectionsEach = Annotated[
    int,
    _says(
        "Connections from one address, but this machine and trusted proxies; 0: no cap.",
        ge=0,
        le=10_000_000,
    ),
]
MaxIdleEach = Annotated[
    int,
    _says(
        "Of those, connections that wait for another request: the one that has waited longest is"
        " closed; 0: no cap.",
        ge=0,
        le=10_000_000,
    ),
]
HeadTimeout = Annotated[float, _says("How long the head of a request may take.", gt=0, **SECONDS)]
