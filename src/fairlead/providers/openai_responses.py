"""The provider for every server that speaks ``POST /v1/responses``.

In the background the upstream writes on whoever reads, and its events are numbered: a connection
that breaks is made again after the last of them (``GET /v1/responses/{id}?stream=true&
starting_after=N``), here or by whoever takes the answer over. Marks in the log say how.

Source: OpenAI API reference, "Responses"; OpenAI API guides, "Background mode".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import structlog

from fairlead.errors import (
    FairleadError,
    Misconfigured,
    UpstreamCut,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from fairlead.events.model import Event, Mark
from fairlead.ports.pouring import Sink
from fairlead.ports.provider import GenerationRequest
from fairlead.providers.body import Response
from fairlead.providers.openai_compatible import OpenAICompatibleProvider
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_responses_answer import (
    NOWHERE,
    Place,
    Remaining,
    ResponsesAnswer,
    Spout,
    mark_of,
    place_of,
)
from fairlead.providers.openai_responses_question import SPEAKS, ResponsesQuestion
from fairlead.providers.openai_responses_wire import ResponsesFold

_log = structlog.get_logger("fairlead.providers")

#: Seconds that the upstream has to hear that nobody wants the rest.
_FORSAKING: Final = 5.0


class OpenAIResponsesConfig(OpenAICompatibleConfig, frozen=True, kw_only=True):
    """One upstream; see :class:`~fairlead.providers.openai_config.OpenAICompatibleConfig`.

    base_url: up to, not including, ``/responses``. background: have it write in the background.
    Then ``max_retries`` bounds the connections made again in a row without anything new as well,
    and one is made again after the longer one of ``silence_timeout`` and ``first_token_timeout``.
    """

    background: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if urlsplit(self.base_url).path.rstrip("/").endswith("/responses"):
            raise Misconfigured(f"upstream {self.name!r}: base_url must end before /responses")

    @property
    def address(self) -> str:
        """Where responses are asked for."""
        return self.beside("/responses")

    def of(self, response: str, path: str = "", query: str = "") -> str:
        """The address of a response, or of what can be done with it."""
        parts = urlsplit(self.beside(f"/responses/{quote(response, safe='')}{path}"))
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))


class OpenAIResponsesProvider(OpenAICompatibleProvider):
    """Writes answers by asking an upstream; implements :class:`~fairlead.ports.provider.Provider`,
    and in the background :class:`~fairlead.ports.resuming.Resuming`. Of its sessions, tries and
    timeouts see :class:`~fairlead.providers.openai_compatible.OpenAICompatibleProvider`."""

    _config: OpenAIResponsesConfig

    def __init__(self, config: OpenAIResponsesConfig, **more: Any) -> None:
        super().__init__(config, **more)
        self.speaks = SPEAKS
        #: How long a connection in the background may be silent: the model may think for long.
        self._patient = msgspec.structs.replace(
            config, silence_timeout=max(config.silence_timeout, config.first_token_timeout)
        )

    async def pour(self, request: GenerationRequest, sink: Sink) -> None:
        """Write the events of the answer; see
        :meth:`~fairlead.providers.openai_compatible.OpenAICompatibleProvider.pour`. In the
        background marks are among them, and cancelling only lets go of the answer."""
        question = ResponsesQuestion(
            self._bounded(request), model=self._config.model, background=self._config.background
        )
        spout = Spout(sink)
        failures = 0
        try:
            while True:
                try:
                    await self._answer(question, spout)
                    return
                except FairleadError as error:
                    failures += 1
                    tries = not (spout.said or question.once)
                    wait = self._wait_after(error, failures) if tries else None
                    if wait is None:
                        raise
                    if spout.marked is not None:
                        await self.forsake(spout.marked)
                        if not spout.write((Mark(self._clock_ms()),)):
                            await spout.room()
                await self._sleep(wait)
        finally:
            spout.close()

    def resumes(self, mark: Mark) -> bool:
        """See :class:`~fairlead.ports.resuming.Resuming`."""
        return mark.upstream == self.name

    def told(self, mark: Mark) -> int:
        """See :func:`~fairlead.ports.resuming.told`."""
        return place_of(mark).most

    async def resume(
        self, request: GenerationRequest, mark: Mark, seen: Sequence[Event], sink: Sink
    ) -> None:
        """See :class:`~fairlead.ports.resuming.Resuming`."""
        place = place_of(mark)
        fold = ResponsesFold(
            name=self.name,
            model=place.model,
            redact=self._redact,
            estimate_input=lambda: place.input,
            cites=place.cites,
            place=bytes(place.fold),
            mark=self._marking(place),
        )
        following = _Following(fold, place.model, request.headers, background=True)
        await self._follow(following, None, [], Remaining(sink, seen))

    async def forsake(self, mark: Mark) -> None:
        """See :class:`~fairlead.ports.resuming.Resuming`."""
        try:
            fold = ResponsesFold(place=bytes(place_of(mark).fold))
            address = self._config.of(fold.id, "/cancel")
            by = asyncio.get_running_loop().time() + _FORSAKING
            response = await self._post(address, b"", {}, by)
            response.close()
        except FairleadError as error:
            _log.warning(
                "upstream_not_stopped", upstream=self.name, code=error.code, error=error.message
            )

    # -- one response ------------------------------------------------------------------------------

    async def _answer(self, question: ResponsesQuestion, sink: Sink) -> None:
        """Ask, and write the answer."""
        mark = None
        if question.background:
            prompt = question.estimate_tokens()
            place = Place(question.model, prompt, question.cites, NOWHERE, question.most)
            mark = self._marking(place)
        fold = ResponsesFold(
            name=self.name,
            model=question.model,
            redact=self._redact,
            estimate_input=question.estimate_tokens,
            cites=question.cites,
            mark=mark,
        )
        following = _Following(
            fold, question.model, question.headers, background=question.background
        )
        by = asyncio.get_running_loop().time() + self._config.first_token_timeout
        response = await self._post(self._config.address, question.body, question.headers, by)
        self._responses.add(response)
        answer: ResponsesAnswer | None = None
        try:
            if not await self._is_stream(response, question.model, by):
                events = await self._whole(response, fold, by)
                if not sink.write(events):
                    await sink.room()
                return
            answer = self._reading(response, following, by)
            events = await answer.begin()
        except BaseException:
            # Also when this task is cancelled: nobody else knows of the connection.
            self._drop(response, answer)
            raise
        finally:
            if answer is None:
                self._responses.discard(response)
        await self._follow(following, answer, events, sink)

    async def _follow(
        self,
        following: _Following,
        answer: ResponsesAnswer | None,
        events: list[Event],
        sink: Sink,
    ) -> None:
        """Write what a response still has to say, over as many connections as it takes where it is
        made in the background; ``answer`` is the first of them, which has brought ``events``."""
        fold = following.fold
        failures, last = 0, fold.last
        while True:
            try:
                if answer is None:
                    answer, events = await self._rejoin(following)
                if not sink.write(events):
                    await sink.room()
                await answer.pour(sink)
                return
            except (UpstreamCut, UpstreamTimeout, UpstreamUnavailable) as error:
                known = following.background and fold.id
                if not known or fold.finished or fold.failed or self._closed:
                    raise
                failures = 1 if fold.last > last else failures + 1
                last = fold.last
                wait = self._wait_until_rejoining(error, failures)
                if wait is None:
                    raise
            finally:
                if answer is not None:
                    self._drop(answer.response, answer)
            answer, events = None, []
            await self._sleep(wait)

    async def _rejoin(self, following: _Following) -> tuple[ResponsesAnswer, list[Event]]:
        """Another connection to a response that is being made, and its first events."""
        fold = following.fold
        by = asyncio.get_running_loop().time() + self._patient.silence_timeout
        query = "stream=true" + (f"&starting_after={fold.last}" if fold.last >= 0 else "")
        address = self._config.of(fold.id, query=query)
        response = await self._post(address, b"", following.headers, by, method="GET")
        self._responses.add(response)
        answer: ResponsesAnswer | None = None
        try:
            if not await self._is_stream(response, following.model, by):
                raise _Gone(
                    f"the upstream {self.name!r} does not stream the rest of a response",
                    upstream=self.name,
                )
            fold.rejoin()
            answer = self._reading(response, following, by)
            return answer, await answer.begin()
        except UpstreamRejected as error:
            self._drop(response, answer)
            if error.details.get("status") != 404:
                raise
        except BaseException:
            self._drop(response, answer)
            raise
        raise _Gone(
            f"the upstream {self.name!r} has the rest of the answer no more", upstream=self.name
        )

    def _reading(self, response: Response, following: _Following, by: float) -> ResponsesAnswer:
        return ResponsesAnswer(
            response,
            following.fold,
            self._patient if following.background else self._config,
            redact=self._redact,
            clock_ms=self._clock_ms,
            first_token_by=by,
        )

    def _marking(self, place: Place) -> Callable[[msgspec.Raw, int], Mark]:
        return lambda fold, at: mark_of(self.name, msgspec.structs.replace(place, fold=fold), at)

    def _wait_until_rejoining(self, error: FairleadError, failures: int) -> float | None:
        """Seconds until the next connection; None if none is worth trying."""
        if isinstance(error, _Gone) or error.details.get("phase") == "tls":
            return None
        if isinstance(error, UpstreamTimeout):
            # It is silent because it thinks, perhaps; the connection says nothing about that.
            return 0.0 if failures <= self._config.max_retries else None
        return self._wait_after(error, failures)

    def _drop(self, response: Response, answer: ResponsesAnswer | None) -> None:
        self._responses.discard(response)
        response.close() if answer is None else answer.abort()


class _Gone(UpstreamCut):
    """The rest cannot be had any more."""


class _Following(NamedTuple):
    """A response over its connections; one that is not made in the ``background`` ends with its
    first one."""

    fold: ResponsesFold
    model: str
    headers: Mapping[str, str]
    background: bool
