"""Files that an upstream keeps, at ``{base_url}/files``: passed on and back as their bytes come."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final
from urllib.parse import quote

import aiohttp
import msgspec

from fairlead import __version__
from fairlead.errors import (
    FairleadError,
    NotFound,
    UpstreamCut,
    UpstreamProtocol,
    UpstreamRefusedKey,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from fairlead.ports.files import MAX_ID
from fairlead.providers import openai_errors, retry
from fairlead.providers.body import AbortingResponse
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_errors import BAD_JSON

#: Bytes of what an upstream says of a file.
_MOST_SAID: Final = 64 << 10


class Told(msgspec.Struct):
    """What an upstream says of a file, as far as it is looked at, and its own words."""

    id: str
    purpose: str = ""
    expires_at: float | None = None
    words: msgspec.Raw = msgspec.Raw(b"{}")


_told = msgspec.json.Decoder(Told)


class UpstreamFiles:
    """The files of one upstream. Each call has a connection of its own, and is tried once.

    All verbs raise the upstream errors of :mod:`fairlead.errors`, and those that name a file
    :class:`~fairlead.errors.NotFound` where the upstream has none of this id.
    """

    def __init__(self, config: OpenAICompatibleConfig) -> None:
        self.name = config.name
        self._config = config
        self._redact = config.redactor()

    async def upload(
        self, body: AsyncIterator[bytes], content_type: str, length: int | None
    ) -> Told:
        """Hand on the form that has a file, of so many bytes (None: not known). What ``body``
        raises is raised here."""
        headers = {"Content-Type": content_type}
        if length is not None:
            headers["Content-Length"] = str(length)
        async with self._asked("POST", "/files", headers=headers, body=body) as response:
            return self._read(await self._whole(response))

    async def retrieve(self, id: str) -> Told:
        """What the upstream says of a file."""
        async with self._asked("GET", _path(id)) as response:
            return self._read(await self._whole(response))

    async def remove(self, id: str) -> None:
        """Have a file removed."""
        async with self._asked("DELETE", _path(id)) as response:
            await self._whole(response)

    @contextlib.asynccontextmanager
    async def content(self, id: str) -> AsyncGenerator[Content]:
        """The bytes of a file."""
        async with self._asked("GET", f"{_path(id)}/content") as response:
            yield Content(self._config, response)

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        config = self._config
        given = {"Accept-Encoding": "identity", "User-Agent": f"fairlead/{__version__}"}
        if config.api_key:
            given["Authorization"] = f"Bearer {config.api_key}"
        # What describes the body is ours to say, all else the configuration's.
        given |= {name: value for name, value in config.headers.items() if _may_set(name)}
        given |= headers or {}
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=AbortingResponse,
            timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout),
            auto_decompress=False,
            trust_env=config.trust_env,
        ) as session:
            response = await self._head(session, method, config.beside(path), given, body)
            try:
                if not 200 <= response.status < 300:
                    raise await self._refusal(response, about_one=path != "/files")
                yield response
            finally:
                response.close()

    async def _head(
        self,
        session: aiohttp.ClientSession,
        method: str,
        address: str,
        headers: dict[str, str],
        body: AsyncIterator[bytes] | None,
    ) -> aiohttp.ClientResponse:
        """The response's head."""
        patience = self._config.first_token_timeout
        sent: _Sent | None = None
        try:
            async with asyncio.timeout(patience) as timeout:
                sent = None if body is None else _Sent(body, timeout, patience)
                return await session.request(
                    method, address, data=sent, headers=headers, allow_redirects=False
                )
        except aiohttp.ConnectionTimeoutError:
            error: FairleadError = self._late("connection", "connect_timeout")
        except TimeoutError:
            error = self._late("answer", "first_token_timeout")
        except (aiohttp.ClientError, OSError) as why:
            # Its own text may name the address and what was sent.
            error = UpstreamUnavailable(
                f"the upstream {self.name!r} cannot be reached, or dropped the connection"
                f" ({type(why).__name__})",
                upstream=self.name,
            )
        raise (sent.failure if sent is not None else None) or error

    async def _whole(self, response: aiohttp.ClientResponse, *, cut: bool = False) -> bytes:
        """The body of what is no file; ``cut``: what is too long is cut, not refused."""
        pieces: list[bytes] = []
        size = 0
        async for piece in Content(self._config, response).chunks():
            size += len(piece)
            pieces.append(piece)
            if size > _MOST_SAID:
                if cut:
                    break
                raise UpstreamProtocol(
                    f"the upstream {self.name!r} says more of a file than {_MOST_SAID} bytes",
                    upstream=self.name,
                )
        return b"".join(pieces)[:_MOST_SAID]

    def _read(self, data: bytes) -> Told:
        try:
            told = _told.decode(data)
        except BAD_JSON:
            told = Told("")
        if not told.id or len(told.id) > MAX_ID or not told.id.isprintable():
            raise UpstreamProtocol(
                f"the upstream {self.name!r} answered with what is no file:"
                f" {self._redact.excerpt(data, 100)}",
                upstream=self.name,
            )
        told.words = msgspec.Raw(data)
        return told

    async def _refusal(self, response: aiohttp.ClientResponse, *, about_one: bool) -> FairleadError:
        if response.status == 404 and about_one:
            return NotFound(f"the upstream {self.name!r} has no such file any more")
        said = openai_errors.complaint(await self._whole(response, cut=True), self._redact)
        if response.status == 404:
            return UpstreamProtocol(
                f"the upstream {self.name!r} has no /files: take 'files = true' away from it",
                upstream=self.name,
            )
        if response.status in (401, 403):
            return UpstreamRefusedKey(
                f"the upstream {self.name!r} refused the key (HTTP {response.status}): check its"
                " api_key, and that the key may use files",
                upstream=self.name,
            )
        return openai_errors.from_status(
            response.status,
            said,
            name=self.name,
            model="",
            retry_after=retry.retry_after(response.headers, time.time_ns() // 1_000_000),
        )

    def _late(self, what: str, setting: str) -> UpstreamTimeout:
        seconds = getattr(self._config, setting)
        return UpstreamTimeout(
            f"the upstream {self.name!r} gave no {what} within {setting}, {seconds:g} s",
            upstream=self.name,
        )


class Content:
    """The body of a response, as it comes. ``length``: of so many bytes; None: it does not say."""

    def __init__(self, config: OpenAICompatibleConfig, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.length = response.content_length
        self._config = config
        self._response = response

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Raises :class:`~fairlead.errors.UpstreamCut` and
        :class:`~fairlead.errors.UpstreamTimeout`."""
        name, silence = self._config.name, self._config.silence_timeout
        while True:
            try:
                async with asyncio.timeout(silence):
                    data = await self._response.content.readany()
            except TimeoutError:
                raise UpstreamTimeout(
                    f"the upstream {name!r} sent not a byte within silence_timeout, {silence:g} s",
                    upstream=name,
                ) from None
            except (aiohttp.ClientError, OSError) as why:
                raise UpstreamCut(
                    f"the upstream {name!r} ended the connection in the middle of a file"
                    f" ({type(why).__name__})",
                    upstream=name,
                ) from None
            if not data:
                return
            yield data

    def abort(self) -> None:
        """Drop the connection unless the body has been read to its end. Idempotent."""
        self._response.close()


class _Sent:
    """A body on its way. ``failure``: what it ended with; the client library tells of none. While
    it goes on, the upstream is not late."""

    def __init__(
        self, body: AsyncIterator[bytes], timeout: asyncio.Timeout, patience: float
    ) -> None:
        self.failure: FairleadError | None = None
        self._body = body
        self._timeout = timeout
        self._patience = patience

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._body)
        except FairleadError as failure:
            self.failure = failure
            raise
        if not self._timeout.expired():
            now = asyncio.get_running_loop().time()
            self._timeout.reschedule(now + self._patience)
        return piece


def _path(id: str) -> str:
    return f"/files/{quote(id, safe='')}"


def _may_set(header: str) -> bool:
    return header.lower() not in ("content-type", "content-length")
