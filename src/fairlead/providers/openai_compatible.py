"""The provider for every server that speaks ``POST /v1/chat/completions``: OpenAI, DeepSeek, Qwen,
vLLM, llama.cpp, LM Studio, Ollama and the rest."""

from __future__ import annotations

import asyncio
import errno
import io
import random as random_module
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from fairlead import __version__
from fairlead.errors import (
    Draining,
    FairleadError,
    UpstreamCut,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from fairlead.events.model import Event
from fairlead.ports.passing import Passed
from fairlead.ports.pouring import Sink
from fairlead.ports.provider import GenerationRequest
from fairlead.providers import openai_errors, openai_passed, prompt, retry
from fairlead.providers.body import STREAM, Response
from fairlead.providers.connector import Connector
from fairlead.providers.openai_answer import Answer, Fold
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_question import SPEAKS, Question
from fairlead.providers.openai_wire import ChunkFold
from fairlead.providers.poured import poured

__all__ = ["OpenAICompatibleConfig", "OpenAICompatibleProvider"]

# Larger bodies are handed to aiohttp as a file: it writes those piece by piece.
_BODY_AT_ONCE: Final = 1 << 16


class OpenAICompatibleProvider:
    """Writes answers by asking an upstream; implements :class:`~fairlead.ports.provider.Provider`.

    One session serves all answers, each on a connection of its own, without a cap: admission is
    decided elsewhere. No cookie is kept, no redirect followed (the key would go along), nothing
    compressed is asked for or taken (so there is nothing that could swell).

    clock_ms: the time of events, ms since 1970. random: draws from [0, 1), for jitter. sleep: waits
    so many seconds between two tries.
    """

    def __init__(
        self,
        config: OpenAICompatibleConfig,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random: Callable[[], float] = random_module.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.name = config.name
        self.context_tokens = config.context_tokens
        self.takes = config.takes
        self.speaks = SPEAKS
        self.bounds = bool(config.says_most)
        self._config = config
        self._address = URL(config.address)
        self._says_most = config.says_most
        self._clock_ms = clock_ms
        self._random = random
        self._sleep = sleep
        self._redact = config.redactor()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        # What is being read. The session's own closing would leave its readers waiting for ever.
        self._responses: set[Response] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config!r})"

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """What :meth:`pour` writes, one after the other. Closing the iterator or cancelling whoever
        waits for it drops the upstream's connection at once."""
        return poured(self, request)

    async def pour(self, request: GenerationRequest, sink: Sink) -> None:
        """Write the events of the answer: parts, deltas, ``usage``, ``done``; see
        :class:`~fairlead.ports.pouring.Pouring`.

        Until the first event has been written, passing failures are tried again. Cancelling drops
        the upstream's connection at once.

        Raises the upstream errors of :mod:`fairlead.errors`; Draining after :meth:`close`;
        Misconfigured where the upstream redirects.
        """
        question = Question(
            self._bounded(request),
            model=self._config.model,
            include_usage=self._config.include_usage,
            says_most=self._says_most,
        )
        answer, events = await self._ask(question)
        try:
            if not sink.write(events):
                await sink.room()
            if answer is not None:
                await answer.pour(sink)
        finally:
            if answer is not None:
                self._responses.discard(answer.response)
                answer.abort()

    async def close(self) -> None:
        """Drop every connection; answers under way end with UpstreamCut. Idempotent."""
        self._closed = True
        for response in tuple(self._responses):
            response.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def pass_on(self, path: str, fields: dict[str, msgspec.Raw], model: str) -> Passed:
        """Pass a request on; see :class:`~fairlead.ports.passing.Passing`. It is tried once."""
        by = asyncio.get_running_loop().time() + self._config.first_token_timeout
        body = msgspec.json.encode({**fields, "model": model or self._config.model})
        response = await self._post(self._config.beside(path), body, {}, by)
        self._responses.add(response)
        try:
            if await self._is_stream(response, model, by):
                raise UpstreamProtocol(
                    f"the upstream {self.name!r} streams what was asked for as a whole",
                    upstream=self.name,
                )
            data = await self._read_bounded(response, self._config.max_answer_bytes, by)
        finally:
            self._responses.discard(response)
            response.close()
        return openai_passed.read(data, self._redact)

    async def check(self, path: str, timeout: float) -> FairleadError | None:
        """Ask for ``path`` under the base URL, with the key: what is wrong with the upstream; None:
        it answered 2xx within ``timeout`` seconds."""
        by = asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout_at(by):
                response = _ours(
                    await self._open_session().get(self._config.beside(path), allow_redirects=False)
                )
        except TimeoutError:
            return UpstreamTimeout(f"the upstream {self.name!r} gave no answer to its health check")
        except (aiohttp.ClientError, OSError) as why:
            return UpstreamUnavailable(
                f"the upstream {self.name!r} cannot be reached ({type(why).__name__})"
            )
        except Draining as closed:
            return closed
        try:
            if response.body.streams:
                return None
            if 200 <= response.status < 300:
                await self._read_bounded(response, self._config.max_error_bytes, by, cut=True)
                return None
            return openai_errors.from_status(
                response.status,
                openai_errors.Complaint("its health check says so"),
                name=self.name,
                model="",
            )
        finally:
            response.close()

    # -- trying ------------------------------------------------------------------------------------

    def _bounded(self, request: GenerationRequest) -> GenerationRequest:
        """The request as far as its bound can be told: a number that the context has no room for
        is refused by some servers, and would be of no use to any."""
        if not request.most:
            return request
        written = prompt.estimate_tokens(prompt.messages(request.turns, request.passages))
        if self.bounds and written + request.most <= self.context_tokens:
            return request
        return msgspec.structs.replace(request, most=0)

    async def _ask(self, question: Question) -> tuple[Answer | None, list[Event]]:
        """What :meth:`_try` gives, after as many tries as it takes and may take."""
        failures = 0
        while True:
            try:
                return await self._try(question)
            except FairleadError as error:
                failures += 1
                wait = None if question.once else self._wait_after(error, failures)
                if wait is None:
                    raise
            await self._sleep(wait)

    def _wait_after(self, error: FairleadError, failures: int) -> float | None:
        """Seconds to wait before the next try; None if there is none."""
        config = self._config
        if failures > config.max_retries or not _passing(error):
            return None
        wait = retry.backoff(failures, self._random(), base=config.retry_base, cap=config.retry_cap)
        if error.retry_after is None:
            return wait
        if error.retry_after > config.max_retry_wait:
            return None
        # Never sooner than asked; the jitter keeps those who were told the same apart.
        return error.retry_after + min(wait, config.retry_base)

    async def _try(self, question: Question) -> tuple[Answer | None, list[Event]]:
        """An answer and its first events; None for one that has been read as a whole."""
        first_token_by = asyncio.get_running_loop().time() + self._config.first_token_timeout
        response = await self._post(self._address, question.body, question.headers, first_token_by)
        self._responses.add(response)
        answer: Answer | None = None
        try:
            fold = ChunkFold(
                name=self.name,
                model=question.model,
                redact=self._redact,
                estimate_input=question.estimate_tokens,
            )
            if not await self._is_stream(response, question.model, first_token_by):
                events = await self._whole(response, fold, first_token_by)
                self._responses.discard(response)
                return None, events
            answer = Answer(
                response,
                fold,
                self._config,
                redact=self._redact,
                clock_ms=self._clock_ms,
                first_token_by=first_token_by,
            )
            return answer, await answer.begin()
        except BaseException:
            # Also when this task is cancelled: nobody else knows of the connection.
            self._responses.discard(response)
            response.close() if answer is None else answer.abort()
            raise

    # -- one try -----------------------------------------------------------------------------------

    def _open_session(self) -> aiohttp.ClientSession:
        """The session, made when the loop runs that it belongs to."""
        if self._closed:
            raise Draining(f"the upstream {self.name!r} has been closed")
        if self._session is None:
            config = self._config
            headers = {
                "Accept": f"{STREAM}, application/json",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": f"fairlead/{__version__}",
            }
            if config.api_key:
                headers["Authorization"] = f"Bearer {config.api_key}"
            ours = {name.lower(): name for name in headers}
            for name, value in config.headers.items():
                headers[ours.get(name.lower(), name)] = value
            self._session = aiohttp.ClientSession(
                connector=Connector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
                response_class=Response,
                # The other clocks are ours: they tell which wait it was.
                timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout),
                auto_decompress=False,
                trust_env=config.trust_env,
            )
        return self._session

    async def _post(
        self,
        address: str | URL,
        body: bytes,
        headers: Mapping[str, str],
        first_token_by: float,
        *,
        method: str = "POST",
    ) -> Response:
        session = self._open_session()
        data = body if len(body) <= _BODY_AT_ONCE else io.BytesIO(body)
        try:
            async with asyncio.timeout_at(first_token_by):
                return _ours(
                    await session.request(
                        method, address, data=data or None, headers=headers, allow_redirects=False
                    )
                )
        except aiohttp.ConnectionTimeoutError:
            error: FairleadError = self._late("connection", "connect_timeout", "connect")
        except TimeoutError:
            error = self._late("first token", "first_token_timeout", "first_token")
        except aiohttp.ClientSSLError as why:
            error = UpstreamUnavailable(
                f"no trusted TLS connection to the upstream {self.name!r} ({type(why).__name__}):"
                f" check its certificate and base_url",
                upstream=self.name,
                phase="tls",
            )
        except aiohttp.ClientConnectorError as why:
            # Its own text names the address, which is not the reader's business.
            error = UpstreamUnavailable(
                f"the upstream {self.name!r} cannot be reached ({_cause(why)})",
                upstream=self.name,
                phase="connect",
            )
        except aiohttp.ClientResponseError as why:
            # Its own text is that of the HTTP parser; the request it holds has the key.
            error = UpstreamProtocol(
                f"the upstream {self.name!r} does not speak HTTP:"
                f" {self._redact.excerpt(why.message, 100)}",
                upstream=self.name,
            )
        except (aiohttp.ClientError, OSError) as why:
            error = UpstreamUnavailable(
                f"the upstream {self.name!r} dropped the connection before it answered"
                f" ({type(why).__name__})",
                upstream=self.name,
                phase="headers",
            )
        # Outside of the handlers: the cause may hold the request and with it the key.
        raise error

    async def _is_stream(self, response: Response, model: str, first_token_by: float) -> bool:
        """True for an event stream, False for JSON; raises for everything else."""
        status = response.status
        if status != 200:
            body = await self._read_bounded(
                response, self._config.max_error_bytes, first_token_by, cut=True
            )
            raise openai_errors.from_status(
                status,
                openai_errors.complaint(body, self._redact),
                name=self.name,
                model=model,
                retry_after=retry.retry_after(response.headers, self._clock_ms()),
                location=_origin(self._redact(response.headers.get("Location", ""))),
            )
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() not in ("", "identity"):
            raise UpstreamProtocol(
                f"the upstream {self.name!r} compressed the answer"
                f" ({self._redact.excerpt(encoding, 40)}) although it was asked not to",
                upstream=self.name,
            )
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if response.body.streams:
            return True
        if kind == "application/json" or kind.endswith("+json"):
            return False
        body = await self._read_bounded(response, 1024, first_token_by, cut=True)
        raise UpstreamProtocol(
            f"the upstream {self.name!r} answered with"
            f" {self._redact.excerpt(kind, 60) or 'no content type'} instead of {STREAM}:"
            f" {self._redact.excerpt(body, 200)}",
            upstream=self.name,
        )

    async def _whole(self, response: aiohttp.ClientResponse, fold: Fold, by: float) -> list[Event]:
        """The events of an answer that is not streamed."""
        limit = self._config.max_answer_bytes
        body = await self._read_bounded(response, limit, by)
        at = self._clock_ms()
        events = fold.feed(body, at)
        if not fold.finished:
            raise UpstreamProtocol(
                f"the upstream {self.name!r} answered with JSON that holds no finished answer:"
                f" {self._redact.excerpt(body, 200)}",
                upstream=self.name,
            )
        return events + fold.end(at)

    async def _read_bounded(
        self, response: aiohttp.ClientResponse, limit: int, by: float, *, cut: bool = False
    ) -> bytes:
        """The body, at most ``limit`` bytes; more is cut off or refused.

        An error's body may break off or come late: what there is must do then.
        """
        body = bytearray()
        fault = ""
        try:
            async with asyncio.timeout_at(by):
                while len(body) <= limit and (data := await response.content.readany()):
                    body += data
        except TimeoutError:
            fault = "late"
        except (aiohttp.ClientError, OSError) as why:
            fault = type(why).__name__
        if cut:
            return bytes(body[:limit])
        if len(body) > limit:
            raise UpstreamProtocol(
                f"the upstream {self.name!r} sent an answer of more than {limit} bytes at once",
                upstream=self.name,
            )
        if fault == "late":
            raise self._late("answer", "first_token_timeout", "first_token")
        if fault:
            raise UpstreamCut(
                f"the upstream {self.name!r} ended the connection in the middle of"
                f" the answer ({fault})",
                upstream=self.name,
            )
        return bytes(body)

    def _late(self, what: str, setting: str, phase: str) -> UpstreamTimeout:
        seconds = getattr(self._config, setting)
        return UpstreamTimeout(
            f"the upstream {self.name!r} gave no {what} within {setting}, {seconds:g} s",
            upstream=self.name,
            phase=phase,
        )


def _ours(response: aiohttp.ClientResponse) -> Response:
    assert isinstance(response, Response)  # it is the session's response_class
    return response


def _passing(error: FairleadError) -> bool:
    """Whether the same request may well succeed a moment later.

    A first token that did not come in time is no such case: the upstream has been working, and
    would be asked to do it again. A certificate that is not trusted stays so.
    """
    if isinstance(error, UpstreamTimeout):
        return error.details.get("phase") == "connect"
    if error.details.get("phase") == "tls":
        return False
    return isinstance(error, UpstreamUnavailable | UpstreamRateLimited | UpstreamCut)


def _cause(error: aiohttp.ClientConnectorError) -> str:
    number = getattr(error, "errno", None)
    word = errno.errorcode.get(number) if isinstance(number, int) else None
    return f"{type(error).__name__}, {word}" if word else type(error).__name__


def _origin(location: str) -> str:
    """Scheme and host of an address: its path and query may hold secrets."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}"[:200] if parts.scheme and host else ""
