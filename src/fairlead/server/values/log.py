"""What the server tells its operator."""

from __future__ import annotations

from typing import Annotated, Literal

from fairlead.server.tables import traces
from fairlead.server.values.value import Group, check_networks

_says = Group("Log")


MetricsAddresses = Annotated[
    tuple[str, ...],
    _says(
        "Networks that may read /metrics without a key, such as 10.0.0.0/8.", check=check_networks
    ),
]
Traces = Annotated[
    traces.Traces,
    _says.table("[traces]", "Where traces of answers go, as [traces] in the file."),
]
LogFormat = Annotated[
    Literal["auto", "json", "console"], _says("auto: for people on a terminal, else JSON.")
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], _says("The least that is logged.")
]
