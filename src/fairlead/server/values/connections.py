"""The open connections of readers, and how they end."""

from __future__ import annotations

from typing import Annotated, Literal

from fairlead.server.values.value import SECONDS, Group

_says = Group("Connections")


Heartbeat = Annotated[
    float, _says("A sign of life at least this often.", gt=0, unit="seconds", le=3600)
]
StallTimeout = Annotated[float, _says("Until a reader is cut that does not read.", gt=0, **SECONDS)]
Retry = Annotated[float, _says("When a cut-off client comes back.", ge=0, unit="seconds", le=3600)]
RealtimeSeconds = Annotated[float, _says("How long a Realtime session may last.", gt=0, **SECONDS)]
DrainGrace = Annotated[
    float, _says("What running answers get to finish on SIGTERM.", ge=0, **SECONDS)
]
Compression = Annotated[
    Literal["off", "on"], _says("Compress streams for clients that ask for it (gzip, zstd).")
]
WebsocketDeflate = Annotated[
    bool, _says("Compress sockets, at the cost of memory and time for each.")
]
Direct = Annotated[bool, _says("Write to sockets directly; false is plain ASGI.")]
