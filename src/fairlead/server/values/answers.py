"""Who answers, and from what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fairlead.server.settings import Secret
from fairlead.server.tables import app, plugin, route, upstream
from fairlead.server.tables.upstream import check_url
from fairlead.server.values.value import TABLE, Group

_says = Group("Answers")


def _check_upstream(url: str) -> str:
    return check_url(url) if url else ""


Upstream = Annotated[
    str,
    _says("A model server's base URL, such as http://127.0.0.1:11434/v1.", check=_check_upstream),
]
Model = Annotated[str, _says("The model to ask there; with [[upstreams]], the default model.")]
UpstreamKey = Annotated[
    Secret,
    _says(
        "The API key for it.",
        flag=False,
        file=False,
        why="flags show in process lists and files get shared; "
        "use the variable FAIRLEAD_UPSTREAM_KEY",
    ),
]
Upstreams = Annotated[
    tuple[upstream.Upstream, ...],
    _says.table(
        "[[upstreams]]", "Several model servers, each with name, base_url, models, api_key_env, …"
    ),
]
Routes = Annotated[
    tuple[route.RouteTable, ...],
    _says.table("[[routes]]", "Which upstreams and models the questions of some callers go to."),
]
Aliases = Annotated[
    tuple[route.AliasTable, ...],
    _says.table("[[aliases]]", "Other names for models."),
]
Apps = Annotated[
    tuple[app.App, ...],
    _says.table("[[apps]]", "Applications of your own behind Fairlead, each at a path."),
]
Plugins = Annotated[
    tuple[plugin.PluginTable, ...],
    _says(
        'Your own parts of the server, such as "./pii.py:Mask", in their order.',
        why="they belong together with their options: write plugins in the configuration file",
        **TABLE,
    ),
]
Knowledge = Annotated[bool, _says("Search the documents before answering.")]
VendorDocuments = Annotated[
    bool,
    _says(
        "Do so for questions in a vendor's dialect (OpenAI's), too, if an upstream answers.",
    ),
]
Documents = Annotated[
    tuple[Path, ...], _says("Files and folders to take in at the start.", separator=":")
]
ExtractivePace = Annotated[
    float,
    _says(
        "Pause between the tokens of the embedded answerer.",
        unit="seconds",
        ge=0,
        le=10,
    ),
]
