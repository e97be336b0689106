"""A running server as the operator's commands ask it."""

from __future__ import annotations

from typing import Any, Self

import aiohttp
import msgspec

from fairlead.cli.ask import DEFAULT_SERVER
from fairlead.client.problems import Unreachable, bounded_body, error_of, reason_of
from fairlead.errors import FairleadError, NotFound
from fairlead.server.config import Config

#: Bytes of an answer at most.
_MOST = 64 * 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Remote:
    """``/admin`` of the server at ``url``, with the key of an operator (empty: none). An
    asynchronous context manager."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Any:
        """What it answers, as JSON.

        Raises :class:`~fairlead.client.problems.Unreachable`, and what the server says: to who may
        not oversee it, there is nothing (:class:`~fairlead.errors.NotFound`).
        """
        try:
            async with self._session.get(
                f"{self.url}/admin/{path}", params=query, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise (await error_of(response))[0]
                return msgspec.json.decode(await bounded_body(response, _MOST))
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(
                f"no server answers at {self.url} ({reason_of(error.os_error)}). "
                "Start one with: fairlead serve (or name one with --server URL)"
            ) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(
                f"{self.url} does not answer as a server does ({type(error).__name__})"
            ) from None
        except msgspec.DecodeError:
            raise Unreachable(f"{self.url} answers with something else than JSON") from None


def locked(error: NotFound, url: str) -> FairleadError:
    """What to say to whom the server shows nothing."""
    return type(error)(
        f"{url} shows its operators' pages only to a key with the scope admin. Make one with "
        "'fairlead keys create NAME --scopes admin', and put it into the variable FAIRLEAD_API_KEY"
    )


def address(config: Config) -> str:
    """Where the server of this configuration listens, as seen from this machine."""
    if not config.port:
        return DEFAULT_SERVER
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{config.port}{config.base_path}"
