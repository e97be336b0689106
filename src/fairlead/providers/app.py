"""An application of one's own behind Fairlead: asked over HTTP and WebSocket as its client would.

Redirects are the client's to follow, cookies the client's to keep; nothing is asked twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import yarl

from fairlead.errors import (
    Draining,
    UpstreamCut,
    UpstreamError,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from fairlead.events.model import Event, Relayed
from fairlead.framing.event_stream import Parser
from fairlead.framing.forwarding import Headers, handed_id
from fairlead.ports.provider import GenerationRequest
from fairlead.providers.body import AbortingResponse

EVENT_STREAM = "text/event-stream"

#: Seconds between two pings on a WebSocket; a pong must come within half of that.
_PING = 30.0


class Application:
    """One application. ``target``: its address, to which paths are added; ``headers``: further ones
    of every request, which win over the client's. Times in seconds: ``connect_timeout`` for name,
    TCP and TLS, ``response_timeout`` until the response's head, ``silence_timeout`` without a
    byte."""

    def __init__(
        self,
        name: str,
        target: str,
        *,
        headers: dict[str, str],
        connect_timeout: float,
        response_timeout: float,
        silence_timeout: float,
    ) -> None:
        self.name = name
        self.target = target
        self.silence_timeout = silence_timeout
        self._parts = urlsplit(target)
        self._headers = headers
        self._connect_timeout = connect_timeout
        self._response_timeout = response_timeout
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._asking = 0
        self._responses: set[ApplicationResponse] = set()
        self._sockets: set[aiohttp.ClientWebSocketResponse] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing of it is under way."""
        self._sockets = {socket for socket in self._sockets if not socket.closed}
        return not (self._asking or self._responses or self._sockets)

    async def ask(
        self, method: str, path: bytes, query: bytes, headers: Headers, body: bytes
    ) -> ApplicationResponse:
        """Ask for a path (percent-encoded, added to the target's), and wait for the response's
        head. :meth:`ApplicationResponse.abort` must follow.

        Raises :class:`~fairlead.errors.UpstreamUnavailable` and
        :class:`~fairlead.errors.UpstreamTimeout`.
        """
        try:
            self._asking += 1
            async with asyncio.timeout(self._response_timeout):
                response = await self._open_session().request(
                    method,
                    self._url(path, query),
                    headers=self._merged(headers),
                    data=body or None,
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
                )
        except TimeoutError:
            raise self._late("response_timeout", self._response_timeout) from None
        except (aiohttp.ClientError, OSError) as why:
            raise self._unreachable(why) from None
        finally:
            self._asking -= 1
        made = ApplicationResponse(self, response)
        self._responses.add(made)
        return made

    async def connect(
        self,
        path: bytes,
        query: bytes,
        headers: Headers,
        protocols: Sequence[str],
        max_message_bytes: int,
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket there. Raises :class:`~fairlead.errors.UpstreamUnavailable`,
        :class:`~fairlead.errors.UpstreamTimeout`, or :class:`~fairlead.errors.UpstreamError` with
        the ``status`` that the application refused it with."""
        url = self._url(path, query)
        try:
            self._asking += 1
            async with asyncio.timeout(self._response_timeout):
                socket = await self._open_session().ws_connect(
                    url.with_scheme("wss" if url.scheme == "https" else "ws"),
                    headers=self._merged(headers),
                    protocols=protocols,
                    autoclose=False,
                    max_msg_size=max_message_bytes,
                    compress=0,
                    heartbeat=_PING,
                )
        except TimeoutError:
            raise self._late("response_timeout", self._response_timeout) from None
        except aiohttp.WSServerHandshakeError as refused:
            raise UpstreamError(
                f"the application {self.name!r} refused the WebSocket (HTTP {refused.status})",
                status=refused.status,
            ) from None
        except (aiohttp.ClientError, OSError) as why:
            raise self._unreachable(why) from None
        finally:
            self._asking -= 1
        self._sockets = {each for each in self._sockets if not each.closed} | {socket}
        return socket

    async def close(self) -> None:
        """Drop every connection. Idempotent."""
        self._closed = True
        for response in tuple(self._responses):
            response.abort()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def forget(self, response: ApplicationResponse) -> None:
        """The response is over."""
        self._responses.discard(response)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Draining(f"the application {self.name!r} is not asked any more")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                response_class=AbortingResponse,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
                auto_decompress=False,
            )
        return self._session

    def _url(self, path: bytes, query: bytes) -> yarl.URL:
        whole = self._parts.path.rstrip("/") + path.decode("ascii")
        made = (self._parts.scheme, self._parts.netloc, whole or "/", query.decode("ascii"), "")
        return yarl.URL(urlunsplit(made), encoded=True)

    def _merged(self, headers: Headers) -> list[tuple[str, str]]:
        ours = {name.lower() for name in self._headers}
        kept = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        return [pair for pair in kept if pair[0] not in ours] + list(self._headers.items())

    def _late(self, setting: str, seconds: float) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"the application {self.name!r} sent nothing within {setting}, {seconds:g} s"
        )

    def _unreachable(self, why: Exception) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            f"the application {self.name!r} cannot be reached ({type(why).__name__})"
        )


class ApplicationResponse:
    """A response whose head has come. ``kind``: its media type, in small letters."""

    def __init__(self, application: Application, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Headers = list(response.raw_headers)
        self.kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        self._application = application
        self._response = response

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises :class:`~fairlead.errors.UpstreamCut` and
        :class:`~fairlead.errors.UpstreamTimeout`."""
        application, content = self._application, self._response.content
        silence = application.silence_timeout
        while True:
            try:
                async with asyncio.timeout(silence):
                    data = await content.readany()
            except TimeoutError:
                raise UpstreamTimeout(
                    f"the application {application.name!r} sent not a byte within silence_timeout, "
                    f"{silence:g} s"
                ) from None
            except (aiohttp.ClientError, OSError) as why:
                raise UpstreamCut(
                    f"the application {application.name!r} ended the connection in the middle of "
                    f"its response ({type(why).__name__})"
                ) from None
            if not data:
                return
            yield data

    def abort(self) -> None:
        """Drop the connection unless the body has been read to its end. Idempotent."""
        self._application.forget(self)
        self._response.close()


class ApplicationEvents:
    """The events of a response, as a :class:`~fairlead.ports.provider.Provider` of one answer.
    ``max_event_bytes`` bounds one of them."""

    context_tokens = 0
    takes: tuple[str, ...] = ()

    def __init__(self, name: str, response: ApplicationResponse, max_event_bytes: int) -> None:
        self.name = name
        self._response = response
        self._parser = Parser(max_event_bytes=max_event_bytes)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The application's events until its response ends. Raises what
        :meth:`ApplicationResponse.chunks` does, and :class:`~fairlead.errors.UpstreamProtocol` for
        an event that is too large."""
        response, parser = self._response, self._parser
        if response.encoding not in ("", "identity"):
            raise UpstreamProtocol(
                f"the application {self.name!r} compressed its event stream although it was asked "
                "not to"
            )
        wait: int | None = None
        try:
            async with contextlib.aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    frames = parser.feed(chunk)
                    at = time.time_ns() // 1_000_000
                    for frame in frames:
                        retry = None if parser.retry == wait else parser.retry
                        wait = parser.retry
                        yield Relayed(
                            at,
                            frame.data,
                            frame.event.replace("\0", ""),
                            handed_id(frame.id),
                            retry,
                        )
        finally:
            response.abort()

    async def close(self) -> None:
        """Drop the response. Idempotent."""
        self._response.abort()
