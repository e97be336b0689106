"""An upstream that speaks OpenAI's Realtime over a WebSocket: ``{base_url}/realtime?model=…``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp

from fairlead.errors import (
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefusedKey,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

#: Seconds between two pings; a pong must come within half of that.
_PING = 30.0


@contextlib.asynccontextmanager
async def connected(
    name: str,
    base_url: str,
    model: str,
    *,
    api_key: str,
    headers: Mapping[str, str],
    timeout: float,
    max_message_bytes: int,
    trust_env: bool = False,
) -> AsyncGenerator[aiohttp.ClientWebSocketResponse, None]:
    """A session there, called ``name`` in messages; ``timeout`` in seconds, until it is open.

    Raises :class:`~fairlead.errors.UpstreamUnavailable`, :class:`~fairlead.errors.UpstreamTimeout`,
    :class:`~fairlead.errors.UpstreamRefusedKey`, :class:`~fairlead.errors.UpstreamRateLimited` and
    :class:`~fairlead.errors.UpstreamRejected`.
    """
    parts = urlsplit(base_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    path = f"{parts.path.rstrip('/')}/realtime"
    query = "&".join(filter(None, (parts.query, f"model={quote(model, safe='')}")))
    url = urlunsplit((scheme, parts.netloc, path, query, ""))
    sent = {**({"Authorization": f"Bearer {api_key}"} if api_key else {}), **headers}
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), trust_env=trust_env
    ) as session:
        try:
            async with asyncio.timeout(timeout):
                socket = await session.ws_connect(
                    url,
                    headers=sent,
                    autoclose=False,
                    max_msg_size=max_message_bytes,
                    compress=0,
                    heartbeat=_PING,
                )
        except TimeoutError:
            raise UpstreamTimeout(
                f"{name!r} did not open a session within connect_timeout, {timeout:g} s"
            ) from None
        except aiohttp.WSServerHandshakeError as refused:
            raise _refused(name, refused.status) from None
        except (aiohttp.ClientError, OSError) as why:
            raise UpstreamUnavailable(
                f"{name!r} cannot be reached ({type(why).__name__})"
            ) from None
        try:
            yield socket
        finally:
            await socket.close()


def _refused(name: str, status: int) -> UpstreamError:
    said = f"{name!r} refused the session (HTTP {status})"
    if status in (401, 403):
        return UpstreamRefusedKey(said)
    if status == 429:
        return UpstreamRateLimited(said)
    return UpstreamUnavailable(said) if status >= 500 else UpstreamRejected(said)
