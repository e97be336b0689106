"""Who may ask."""

from __future__ import annotations

from typing import Annotated

from fairlead.server.tables import jwt, key, oauth2, oidc
from fairlead.server.values.value import TABLE, Group

_says = Group("Identity")


Insecure = Annotated[bool, _says("Serve a public address although everybody may ask.")]
Keys = Annotated[
    tuple[key.Key, ...],
    _says(
        "API keys, as consumer=secret,… (the variable), or as [[keys]] in the file.",
        flag=False,
        env="FAIRLEAD_API_KEYS",
        why="flags show in process lists; use the variable FAIRLEAD_API_KEYS",
    ),
]
Jwt = Annotated[
    jwt.Jwt,
    _says(
        "Signed tokens of an issuer, as [jwt] in the file.",
        why="several values belong together: write [jwt] in the configuration file",
        **TABLE,
    ),
]
Oauth2 = Annotated[
    oauth2.OAuth2,
    _says(
        "Opaque tokens, by asking their issuer, as [oauth2] in the file.",
        why="several values belong together: write [oauth2] in the configuration file",
        **TABLE,
    ),
]
Oidc = Annotated[
    oidc.Oidc,
    _says(
        "Logging in with a browser, as [oidc] in the file.",
        why="several values belong together: write [oidc] in the configuration file",
        **TABLE,
    ),
]
