"""Who may ask."""

from __future__ import annotations

from typing import Annotated

from fairlead.server.tables import jwt, key, oauth2, oidc
from fairlead.server.values.value import Group

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
    _says.table("[jwt]", "Signed tokens of an issuer, as [jwt] in the file."),
]
Oauth2 = Annotated[
    oauth2.OAuth2,
    _says.table("[oauth2]", "Opaque tokens, by asking their issuer, as [oauth2] in the file."),
]
Oidc = Annotated[
    oidc.Oidc,
    _says.table("[oidc]", "Logging in with a browser, as [oidc] in the file."),
]
