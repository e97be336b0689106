"""Talking to the service that issues tokens: bounded in time and size, and never led elsewhere."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlsplit

import aiohttp
import msgspec

from fairlead.errors import IdentityUnavailable

#: Seconds for a whole exchange, bytes of an answer.
TIMEOUT = 5.0
MAX_BYTES = 512 * 1024
#: Requests at once; more of them wait.
_AT_ONCE = 32


class Client:
    """An HTTP client for JSON. Errors are :class:`~fairlead.errors.IdentityUnavailable`, whose
    messages hold nothing that was sent."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close what is open. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str, token: str = "") -> Any:
        """The JSON at ``url``, shown to whoever bears ``token`` (empty: to anybody)."""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        return await self._json("GET", url, headers=bearer)

    async def post(
        self, url: str, form: Mapping[str, str], user: str = "", password: str = ""
    ) -> Any:
        """The JSON that answers a form. ``user`` and ``password`` are of HTTP Basic, as OAuth 2.0
        wants them (RFC 6749, section 2.3.1); without a password the user is a field
        (``client_id``)."""
        fields, headers = dict(form), {}
        if user and password:
            pair = f"{quote_plus(user)}:{quote_plus(password)}".encode()
            headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        elif user:
            fields["client_id"] = user
        return await self._json("POST", url, headers=headers, data=fields)

    async def _json(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, **how: Any
    ) -> Any:
        host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._opened().request(
                    method,
                    url,
                    allow_redirects=False,
                    headers={"Accept": "application/json", **(headers or {})},
                    **how,
                ) as response,
            ):
                data = bytearray()
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > MAX_BYTES:
                        raise IdentityUnavailable(
                            f"{host} answered with more than {MAX_BYTES} bytes"
                        )
                status = response.status
        except TimeoutError:
            raise IdentityUnavailable(f"{host} did not answer within {TIMEOUT:g} s") from None
        except aiohttp.ClientError as error:
            kind = type(error).__name__
            raise IdentityUnavailable(f"{host} cannot be asked ({kind})") from None
        try:
            answer = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise IdentityUnavailable(f"{host} answered {status}, without JSON") from None
        if status != 200:
            raise Refusal(host, status, answer)
        return answer

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_AT_ONCE),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._session


class Refusal(IdentityUnavailable):
    """The service answered with an error; ``reason`` is its code (RFC 6749, section 5.2), if it
    gave one."""

    def __init__(self, host: str, status: int, answer: Any) -> None:
        found = answer.get("error") if isinstance(answer, dict) else None
        self.status = status
        self.reason = found if isinstance(found, str) and found.isidentifier() else ""
        super().__init__(f"{host} answered {status}" + f" {self.reason[:60]}".rstrip())


class Discovery:
    """What an issuer says of itself (OpenID Connect Discovery 1.0, section 4; RFC 8414): asked
    once, when it is first needed, and again after a failure."""

    def __init__(self, client: Client, issuer: str) -> None:
        self._client = client
        self._issuer = issuer
        self._found: dict[str, Any] | None = None
        self._lock = asyncio.Lock()

    async def get(self, name: str, *, needed: bool = True) -> str:
        """One of its addresses, such as ``jwks_uri``; empty: it has none. Raises
        :class:`~fairlead.errors.IdentityUnavailable`."""
        async with self._lock:
            if self._found is None:
                self._found = await self._ask()
        value = self._found.get(name)
        if isinstance(value, str) and urlsplit(value).scheme in ("http", "https"):
            return value
        if needed:
            raise IdentityUnavailable(f"{self._issuer} names no {name}; name it in the table")
        return ""

    async def _ask(self) -> dict[str, Any]:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = await self._client.get(url)
        # Section 4.3: what another issuer says of itself is of no use, and may be a trap.
        if not isinstance(found, dict) or found.get("issuer") != self._issuer:
            raise IdentityUnavailable(f"what is found at {url} is not of the issuer {self._issuer}")
        return found
