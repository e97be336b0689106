"""What is kept, where, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fairlead.server.values.value import BYTES, Group

_says = Group("Storage")


DataDir = Annotated[
    Path,
    _says(
        "Folder of all that is kept: $XDG_DATA_HOME/fairlead, else ~/.local/share/fairlead.",
        shown="in your home",
    ),
]
Durability = Annotated[
    Literal["memory", "process", "power"],
    _says("What an answer survives: nothing, a killed process, a power cut."),
]
RetentionDays = Annotated[
    float, _says("How long finished answers are kept.", unit="days", gt=0, le=36500)
]
RetentionStreamBytes = Annotated[
    int, _says("How much of one answer is kept, newest first.", **BYTES)
]
