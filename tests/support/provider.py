"""A real OpenID provider (npm ``oidc-provider``) as a process."""

from __future__ import annotations

from base64 import b64encode
from types import TracebackType
from typing import Any

import aiohttp
from joserfc.jwk import RSAKey

from tests.support.node import Script
from tests.support.ports import free_port

#: What signed tokens are made for.
AUDIENCE = "urn:fairlead"


def key(kid: str) -> RSAKey:
    """A key for the provider to sign with."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


class Provider:
    """The provider on a port of its own, the same one again after :meth:`restart`. An async context
    manager. ``fairlead`` is the URL of the server that it knows as a client."""

    def __init__(self, fairlead: str = "http://127.0.0.1:1", *, ttl: int = 600) -> None:
        self.port = free_port()
        self.key = key("first")
        self._fairlead = fairlead
        self._ttl = ttl
        self._script: Script | None = None

    @property
    def issuer(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Provider:
        self._script = Script(
            "provider.mjs",
            port=self.port,
            keys=[self.key.as_dict(private=True)],
            fairlead=self._fairlead,
            ttl=self._ttl,
        )
        await self._script.__aenter__()
        await self._script.next("listening")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        script, self._script = self._script, None
        if script is not None:
            await script.__aexit__()

    async def restart(self, key: RSAKey | None = None) -> None:
        """Start anew, which forgets all opaque tokens, with another key to sign with."""
        await self.__aexit__(None, None, None)
        self.key = key or self.key
        await self.__aenter__()

    async def token(self, http: aiohttp.ClientSession, *, signed: bool, scope: str = "ask") -> str:
        """A token of the client ``batch``."""
        form = {"grant_type": "client_credentials", "scope": scope}
        if signed:
            form["resource"] = AUDIENCE
        answer = await self._post(http, "token", form)
        text: str = answer["access_token"]
        return text

    async def revoke(self, http: aiohttp.ClientSession, token: str) -> None:
        """Take an opaque token back."""
        await self._post(http, "token/revocation", {"token": token})

    async def _post(self, http: aiohttp.ClientSession, path: str, form: dict[str, str]) -> Any:
        headers = {"Authorization": f"Basic {b64encode(b'batch:the+secret+of+batch').decode()}"}
        async with http.post(f"{self.issuer}/{path}", data=form, headers=headers) as response:
            assert response.status == 200, await response.text()
            text = await response.text()
            return await response.json() if text else None
