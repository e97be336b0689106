"""The provider against a scripted upstream on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

import pytest

from fairlead.errors import (
    Draining,
    FairleadError,
    Misconfigured,
    UpstreamCut,
    UpstreamError,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRefusedKey,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from fairlead.events.model import Done, Event, Part, Reasoning, Token, Tool, Usage
from fairlead.events.states import Grammar
from fairlead.ports.knowledge import Passage
from fairlead.ports.provider import GenerationRequest, Provider, Turn, bounds
from fairlead.providers.openai_compatible import OpenAICompatibleConfig, OpenAICompatibleProvider
from fairlead.testing.upstream import (
    Answer,
    Behaviour,
    Close,
    Ending,
    Fault,
    HugeLine,
    Insert,
    Pace,
    Refuse,
    Reset,
    ScriptedUpstream,
    Silent,
    Stall,
    Status,
    StreamError,
    ToolCall,
    Truncate,
    Wire,
)

KEY = "sk-very-secret/0123456789"
NOW_MS = 1_700_000_000_000
SAFETY_NET = 90
TEXT = "Grüß dich, 世界 – one two three \U0001f600"


class Sleeps:
    """Stands for sleeping: records how long, and returns when it may."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.begun.set()
        await self.may_end.wait()


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


Make = Callable[..., OpenAICompatibleProvider]


@pytest.fixture
async def make(upstream: ScriptedUpstream, sleeps: Sleeps) -> AsyncIterator[Make]:
    made: list[OpenAICompatibleProvider] = []

    def provider(**settings: Any) -> OpenAICompatibleProvider:
        settings = {"base_url": upstream.base_url, "api_key": KEY, **settings}
        config = OpenAICompatibleConfig(name="vendor", model="m-1", **settings)
        made.append(
            OpenAICompatibleProvider(
                config, clock_ms=lambda: NOW_MS, random=lambda: 0.5, sleep=sleeps
            )
        )
        return made[-1]

    yield provider
    for one in made:
        await one.close()


def question(text: str = "Hello?", **fields: Any) -> GenerationRequest:
    return GenerationRequest(stream="s", turns=(Turn("user", text),), **fields)


async def ask(provider: Provider, request: GenerationRequest | None = None) -> list[Event]:
    """All events, after making sure that they are legal."""
    async with asyncio.timeout(SAFETY_NET):
        events = [event async for event in provider.generate(request or question())]
    grammar = Grammar()
    for event in events:
        grammar.step(event)
    return events


async def collect(provider: Provider, events: list[Event]) -> None:
    async with asyncio.timeout(SAFETY_NET):
        async for event in provider.generate(question()):
            events.append(event)  # those before an error are wanted


async def fail(provider: Provider, expected: type[FairleadError]) -> tuple[list[Event], Any]:
    """The events before the error, and the error."""
    events: list[Event] = []
    with pytest.raises(expected) as caught:
        await collect(provider, events)
    return events, caught.value


def text_of(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, Token))


# -- what is asked ---------------------------------------------------------------------------------


async def test_the_request(upstream: ScriptedUpstream, make: Make) -> None:
    await ask(make(), question("Hi", parameters={"temperature": 0.1, "stream": False, "n": 2}))
    request = upstream.requests[0]
    assert request.json == {
        "model": "m-1",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.1,
        "n": 2,
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert "cookie" not in request.headers


async def test_settings_and_request_may_change_it(upstream: ScriptedUpstream, make: Make) -> None:
    provider = make(
        api_key="",
        include_usage=False,
        headers={"api-key": "other-secret", "user-agent": "mine"},
        base_url=upstream.base_url + "/?api-version=3",
    )
    await ask(provider, question(model="m-2"))
    request = upstream.requests[0]
    assert (request.path, request.query) == ("/v1/chat/completions", "api-version=3")
    assert request.json["model"] == "m-2"
    assert "stream_options" not in request.json
    assert "authorization" not in request.headers
    assert request.headers["api-key"] == "other-secret"
    assert request.headers["user-agent"] == "mine"


async def test_what_a_budget_has_left_is_told_where_it_can_be(
    upstream: ScriptedUpstream, make: Make
) -> None:
    upstream.script(Answer(tokens=["w "] * 50, obeys=True))
    for settings, sent in (
        ({}, {"max_tokens": 7}),
        ({"most_field": "max_completion_tokens"}, {"max_completion_tokens": 7}),
        ({"most_field": ""}, {}),
        # The prompt, and so much more, do not fit.
        ({"context_tokens": 7}, {}),
    ):
        provider = make(**settings)
        assert bounds(provider) is (settings.get("most_field") != "")
        events = await ask(provider, question("Hi", most=7))
        request = upstream.requests[-1]
        assert {name: n for name, n in request.json.items() if name.startswith("max_")} == sent
        assert (events[-1].finish == "length") is bool(sent)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://api.deepseek.com/v1", "max_tokens"),
        ("https://api.openai.com.example/v1", "max_tokens"),
        ("https://notapi.openai.com/v1", "max_tokens"),
    ],
)
def test_openais_own_servers_take_the_newer_field_alone(address: str, field: str) -> None:
    assert OpenAICompatibleConfig(name="x", base_url=address, model="m").says_most == field


async def test_a_long_request_arrives(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer("ok"))
    text = "wörd " * 400_000
    assert text_of(await ask(make(), question(text))) == "ok"
    assert upstream.requests[0].message_texts() == [text]


async def test_passages_become_one_system_message(upstream: ScriptedUpstream, make: Make) -> None:
    passage = Passage(
        id="p", document="d", title="Guide", address="a", heading="", span=(0, 4), text="Blue."
    )
    await ask(make(), question("Which colour?", passages=(passage,)))
    system, user = upstream.requests[0].json["messages"]
    assert system["role"] == "system"
    assert '<passage number="1" title="Guide">\nBlue.\n</passage>' in system["content"]
    assert user == {"role": "user", "content": "Which colour?"}


# -- answers ---------------------------------------------------------------------------------------

WIRES = [
    Wire(),
    Wire(newline=b"\r"),
    Wire(newline=b"\r\n", space=False, bom=True),
    Wire(comment="keep-alive", multiline=True),
    Wire(ascii=True, piece_bytes=7),
    Wire(split_characters=True),
    Wire(chunked=False),
    Wire(done_blank_line=False),
    Wire(chunked=False, done_blank_line=False),
]


@pytest.mark.parametrize("wire", WIRES, ids=str)
async def test_every_wire_gives_the_same_events(
    upstream: ScriptedUpstream, make: Make, wire: Wire
) -> None:
    upstream.script(
        Answer(
            TEXT,
            reasoning="Well … 嗯",
            tool_calls=[ToolCall("look", '{"at": "ö"}')],
            alternatives=["Or else"],
            wire=wire,
        )
    )
    events = await ask(make())
    assert text_of([e for e in events if getattr(e, "part", 0) == 0]) == TEXT
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == "Well … 嗯"
    assert "".join(e.text for e in events if isinstance(e, Tool)) == '{"at": "ö"}'
    (other,) = (e for e in events if isinstance(e, Part) and e.choice == 1 and e.state == "open")
    assert "".join(e.text for e in events if getattr(e, "part", 0) == other.part and
                   isinstance(e, Token)) == "Or else"  # fmt: skip
    usage, done = events[-2:]
    assert isinstance(usage, Usage)
    assert not usage.estimated
    assert usage.model == "m-1"
    assert isinstance(done, Done)
    assert done.finish == "tool_calls"
    assert {e.at for e in events} == {NOW_MS}


async def test_an_answer_that_is_not_streamed(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer(TEXT, reasoning="Hm", tool_calls=[ToolCall("f")], stream=False))
    events = await ask(make())
    assert text_of(events) == TEXT
    assert [e.finish for e in events if isinstance(e, Done)] == ["tool_calls"]


async def test_usage_is_estimated_where_the_upstream_gives_none(
    upstream: ScriptedUpstream, make: Make
) -> None:
    upstream.script(Answer("eight characters here", usage_chunk=False))
    usage = (await ask(make(), question("x" * 400)))[-2]
    assert usage == Usage(NOW_MS, 100, 5, estimated=True, model="m-1")


async def test_vendor_fields_survive(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer("a b", chunk_extra={"provider": "X"}, delta_extra={"weight": 2}))
    events = await ask(make())
    extras = [json.loads(bytes(e.extra)) for e in events if isinstance(e, Token)]
    assert extras[0]["chunk"]["provider"] == "X"
    assert [e["delta"] for e in extras] == [{"weight": 2}] * 2
    assert "chunk" not in extras[1]


async def test_one_connection_serves_one_answer_after_the_other(
    upstream: ScriptedUpstream, make: Make
) -> None:
    provider = make()
    for _ in range(3):
        await ask(provider)
    assert upstream.connections_made == 1


async def test_many_answers_at_once(upstream: ScriptedUpstream, make: Make) -> None:
    """More than the hundred connections that aiohttp allows of itself."""
    upstream.script(Answer("a b", pace=Pace(gated=True)))
    provider = make()
    answers = [asyncio.create_task(ask(provider)) for _ in range(130)]
    async with asyncio.timeout(SAFETY_NET):
        for _ in answers:
            await upstream.wait_request()
        upstream.release(3 * len(answers))
        assert {text_of(events) for events in await asyncio.gather(*answers)} == {"a b"}


async def test_events_come_as_they_are_sent(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer("a b c", pace=Pace(gated=True)))
    async with contextlib.aclosing(make().generate(question())) as events:
        for expected in ("a ", "b ", "c"):
            upstream.release()
            event = await asyncio.wait_for(anext(events), SAFETY_NET)
            assert isinstance(event, Token)
            assert event.text == expected


# -- failures before the first event ---------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        Status(408), Status(409), Status(425), Status(429), Status(500), Status(502, html=True),
        Status(503), Status(599), Refuse(), Answer("a", faults=[Reset()]),
        Answer("a", faults=[Close()]), Answer("a", faults=[Close(clean=False)]),
        Answer("a", faults=[Truncate()]), Answer("a", faults=[StreamError()]),
        Answer("a", faults=[Close()], wire=Wire(comment="wait")),
        Answer("a", faults=[Close()], stream=False),
    ],
    ids=str,
)  # fmt: skip
async def test_passing_failures_are_tried_again(
    upstream: ScriptedUpstream, make: Make, sleeps: Sleeps, first: Behaviour
) -> None:
    upstream.script(first, Answer("fine"))
    assert text_of(await ask(make())) == "fine"
    assert len(upstream.requests) == 2
    # A connection that the upstream closes after a clean end may cost one more try.
    assert sleeps.seconds in ([0.25], [0.25, 0.5])


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (Status(400, "bad temperature"), UpstreamRejected, "bad temperature"),
        (Status(400, "This model's maximum context length is 8192 tokens"), UpstreamRejected,
         "too long"),
        (Status(401, f"Incorrect API key provided: {KEY}"), UpstreamRefusedKey, "api_key"),
        (Status(402, "Insufficient Balance"), UpstreamRefusedKey, "balance"),
        (Status(403), UpstreamRefusedKey, "api_key"),
        (Status(404), UpstreamRejected, "'m-1'"),
        (Status(404, html=True), UpstreamRejected, "base_url"),
        (Status(413), UpstreamRejected, "413"),
        (Status(422), UpstreamRejected, "422"),
        (Status(302, headers={"Location": "https://other.example/v2?key=1"}), Misconfigured,
         "https://other.example (HTTP 302)"),
        (Status(308), Misconfigured, "base_url"),
    ],
    ids=str,
)  # fmt: skip
async def test_lasting_failures_are_not(
    upstream: ScriptedUpstream,
    make: Make,
    sleeps: Sleeps,
    status: Status,
    kind: type[FairleadError],
    words: str,
) -> None:
    upstream.script(status)
    events, error = await fail(make(), kind)
    assert not events
    assert words in error.message
    assert not error.retryable
    assert len(upstream.requests) == 1
    assert not sleeps.seconds


async def test_the_tries_end(upstream: ScriptedUpstream, make: Make, sleeps: Sleeps) -> None:
    upstream.script(Status(503, "overloaded " * 1000))
    _, error = await fail(make(max_retries=4, retry_cap=1.5), UpstreamUnavailable)
    assert len(upstream.requests) == 5
    assert sleeps.seconds == [0.25, 0.5, 0.75, 0.75]
    assert len(error.message) < 500
    assert error.details == {"upstream": "vendor", "status": 503, "vendor_code": "overloaded"}


async def test_no_server(upstream: ScriptedUpstream, make: Make, sleeps: Sleeps) -> None:
    await upstream.stop()
    _, error = await fail(make(max_retries=1), UpstreamUnavailable)
    assert "cannot be reached" in error.message
    assert "ECONNREFUSED" in error.message
    assert len(sleeps.seconds) == 1


async def test_no_tls_where_tls_was_asked_for(make: Make, sleeps: Sleeps) -> None:
    async with raw_server(b"", raw=b"HTTP/1.1 400 Bad Request\r\n\r\n", hasty=True) as base_url:
        provider = make(base_url=base_url.replace("http:", "https:"))
        _, error = await fail(provider, UpstreamUnavailable)
    assert "no trusted TLS connection" in error.message
    assert not sleeps.seconds


async def test_retry_after_is_honoured(
    upstream: ScriptedUpstream, make: Make, sleeps: Sleeps
) -> None:
    date = formatdate(NOW_MS / 1000 + 7, usegmt=True)
    upstream.script(
        Status(429, retry_after=2), Status(503, retry_after=date), Status(429, retry_after="soon")
    )
    _, error = await fail(make(max_retries=3), UpstreamRateLimited)
    assert sleeps.seconds == [2.25, 7.5, 1.0]
    assert error.retry_after is None


async def test_a_retry_after_beyond_the_limit_ends_the_tries(
    upstream: ScriptedUpstream, make: Make, sleeps: Sleeps
) -> None:
    upstream.script(Status(429, retry_after=31))
    _, error = await fail(make(), UpstreamRateLimited)
    assert error.retry_after == 31
    assert error.retryable
    assert not sleeps.seconds


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Answer("a", content_type="text/html"), "text/html"),
        (Answer("a", content_type=""), "no content type"),
        (Answer("a", faults=[Insert(data=b"data: {not json\n\n")]), "{not json"),
        (Answer("a", faults=[Insert(data=b'data: {"choices": 3}\n\n')]), "choices"),
        (Answer("a", faults=[HugeLine()]), "1048576"),
    ],
    ids=str,
)
async def test_what_the_protocol_does_not_allow_is_named(
    upstream: ScriptedUpstream, make: Make, behaviour: Behaviour, words: str
) -> None:
    upstream.script(behaviour)
    events, error = await fail(make(), UpstreamProtocol)
    assert not events
    assert words in error.message
    assert len(error.message) < 500
    assert len(upstream.requests) == 1


# -- failures afterwards ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reset(after=2), UpstreamCut),
        (Close(after=2), UpstreamCut),
        (Close(after=2, clean=False), UpstreamCut),
        (Truncate(after=2), UpstreamCut),
        (StreamError(after=2), UpstreamUnavailable),
        (StreamError(after=2, done=True), UpstreamUnavailable),
        (Insert(after=2), UpstreamProtocol),
        (Insert(after=2, data=b'event: error\ndata: {"message": "x", "code": 503}\n\n'),
         UpstreamUnavailable),
        (HugeLine(after=2), UpstreamProtocol),
    ],
    ids=str,
)  # fmt: skip
async def test_after_the_first_event_nothing_is_tried_again(
    upstream: ScriptedUpstream, make: Make, sleeps: Sleeps, fault: Fault, kind: type[UpstreamError]
) -> None:
    upstream.script(Answer("a b c", pace=Pace(gated=True), faults=[fault]))
    events: Any = make().generate(question())
    async with asyncio.timeout(SAFETY_NET):
        for expected in ("a ", "b "):
            upstream.release()
            assert text_of([await anext(events)]) == expected
        upstream.release()
        with pytest.raises(kind):
            await anext(events)
    assert not sleeps.seconds
    assert len(upstream.requests) == 1


async def test_what_came_before_the_fault_in_one_read_is_given(
    upstream: ScriptedUpstream, make: Make
) -> None:
    good = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    upstream.script(Answer("z", faults=[Insert(data=good % b"a" + good % b"b" + b"data: x\n\n")]))
    events, _ = await fail(make(), UpstreamProtocol)
    assert text_of(events) == "ab"


@pytest.mark.parametrize(
    "end",
    [
        b"",
        b"data: [DONE]",
        b"data: [DONE]\n\n",
        b"data: [DONE]\n\ndata: garbage\n\n",
        b"data: \n\n",
    ],
)
async def test_after_a_finish_reason_the_end_may_be_sloppy(make: Make, end: bytes) -> None:
    body = (
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n' + end
    )
    async with raw_server(body) as base_url:
        events = await ask(make(base_url=base_url))
    assert text_of(events) == "a"
    assert isinstance(events[-1], Done)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", UpstreamCut, "in the middle"),
        (b": wait\n\n: wait\n\n", UpstreamCut, "in the middle"),
        (b"data: {", UpstreamCut, "in the middle"),
        (b"<html>oops</html>", UpstreamProtocol, "oops"),
        (b'{"error": {"message": "no", "code": 400}}', UpstreamRejected, "no"),
    ],
)
async def test_a_stream_without_an_event(
    make: Make, body: bytes, kind: type[UpstreamError], words: str
) -> None:
    async with raw_server(body) as base_url:
        _, error = await fail(make(base_url=base_url, max_retries=0), kind)
    assert words in error.message


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", UpstreamProtocol),
        (b"[]", UpstreamProtocol),
        (b"", UpstreamProtocol),
        (b'{"choices": []}', UpstreamProtocol),
        (b'{"error": {"message": "m", "type": "overloaded_error"}}', UpstreamUnavailable),
        (b'{"choices": "' + b"x" * 2000 + b'"}', UpstreamProtocol),
    ],
)
async def test_json_that_is_no_answer(make: Make, body: bytes, kind: type[UpstreamError]) -> None:
    async with raw_server(body, "application/json") as base_url:
        _, error = await fail(make(base_url=base_url, max_retries=0, max_answer_bytes=1000), kind)
    assert len(error.message) < 500


async def test_a_compressed_answer_is_refused(make: Make) -> None:
    async with raw_server(b"x", extra="Content-Encoding: gzip\r\n") as base_url:
        _, error = await fail(make(base_url=base_url), UpstreamProtocol)
    assert "gzip" in error.message


async def test_no_http_at_all(make: Make) -> None:
    async with raw_server(b"", raw=b"SSH-2.0-OpenSSH_9\r\n" + KEY.encode()) as base_url:
        _, error = await fail(make(base_url=base_url), UpstreamProtocol)
    assert "HTTP" in error.message
    assert KEY not in error.message
    assert error.__context__ is None


async def test_an_error_page_is_read_to_its_limit_only(make: Make) -> None:
    body = b"x" * 10_000_000
    async with raw_server(body, "text/plain", status=500) as base_url:
        _, error = await fail(
            make(base_url=base_url, max_retries=0, max_error_bytes=100), UpstreamUnavailable
        )
    assert "x" * 99 in error.message
    assert len(error.message) < 200


# -- time-outs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [Silent(), Silent(headers=True), Answer("a", faults=[Stall()]),
     Answer("a", faults=[Stall()], stream=False),
     Answer("a", wire=Wire(comment="wait", piece_bytes=1), pace=Pace(drip_s=0.02))],
    ids=str,
)  # fmt: skip
async def test_no_first_token(
    upstream: ScriptedUpstream, make: Make, sleeps: Sleeps, behaviour: Behaviour
) -> None:
    upstream.script(behaviour)
    _, error = await fail(make(first_token_timeout=0.1), UpstreamTimeout)
    assert "first_token_timeout, 0.1 s" in error.message
    assert error.details["phase"] == "first_token"
    assert not sleeps.seconds
    async with asyncio.timeout(SAFETY_NET):
        await upstream.wait_closed()


async def test_silence(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer("a b c", faults=[Stall(after=2)]))
    events, error = await fail(make(silence_timeout=1), UpstreamTimeout)
    assert text_of(events) == "a b "
    assert "silence_timeout, 1 s" in error.message
    async with asyncio.timeout(SAFETY_NET):
        await upstream.wait_closed()


async def test_no_connection_in_time(make: Make, sleeps: Sleeps) -> None:
    """A port that accepts and never speaks TLS."""
    async with raw_server(b"", mute=True) as base_url:
        provider = make(
            base_url=base_url.replace("http:", "https:"), connect_timeout=0.1, max_retries=1
        )
        _, error = await fail(provider, UpstreamTimeout)
    assert "connect_timeout, 0.1 s" in error.message
    assert error.details["phase"] == "connect"
    assert len(sleeps.seconds) == 1


async def test_a_slow_consumer_is_not_the_upstreams_silence(
    upstream: ScriptedUpstream, make: Make
) -> None:
    upstream.script(Answer("a b c", pace=Pace(gated=True)))
    provider = make(silence_timeout=0.5)
    events = provider.generate(question())
    upstream.release()
    assert isinstance(await asyncio.wait_for(anext(events), SAFETY_NET), Token)
    # The time-out passes, several times over, while nobody asks for the next event.
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_later(1.2, passed.set_result, None)
    await passed
    upstream.release(10)
    assert text_of([event async for event in events]) == "b c"


# -- leaving ---------------------------------------------------------------------------------------


async def test_closing_while_streaming(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer("a b c", pace=Pace(gated=True)))
    events: Any = make().generate(question())
    upstream.release()
    await asyncio.wait_for(anext(events), SAFETY_NET)
    await events.aclose()
    async with asyncio.timeout(SAFETY_NET):
        await upstream.wait_closed()
        assert await upstream.requests[0].wait_ended() is Ending.CLIENT_CLOSED
    assert upstream.requests[0].tokens_sent == 1


async def test_closing_within_one_read(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer("a b c", faults=[Stall(after=3)]))
    events: Any = make().generate(question())
    await asyncio.wait_for(anext(events), SAFETY_NET)
    await events.aclose()
    async with asyncio.timeout(SAFETY_NET):
        await upstream.wait_closed()


@pytest.mark.parametrize(
    "behaviour",
    [
        Silent(),  # waiting for headers
        Silent(headers=True),  # waiting for the first token
        Answer("a b", faults=[Stall(after=1)]),  # silent in the middle
        Answer("a b", faults=[Stall()], stream=False),  # within a whole answer
    ],
    ids=str,
)
async def test_cancelling_while_the_upstream_is_silent(
    upstream: ScriptedUpstream, make: Make, behaviour: Behaviour
) -> None:
    upstream.script(behaviour)
    task = asyncio.create_task(ask(make()))
    async with asyncio.timeout(SAFETY_NET):
        request = await upstream.wait_request()
        if isinstance(behaviour, Answer) and behaviour.stream is None:
            await request.wait_tokens(1)
        task.cancel()
        await upstream.wait_closed()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert upstream.open_connections == 0


async def test_cancelling_in_backoff(
    upstream: ScriptedUpstream, make: Make, sleeps: Sleeps
) -> None:
    upstream.script(Status(503))
    sleeps.may_end.clear()
    task = asyncio.create_task(ask(make()))
    async with asyncio.timeout(SAFETY_NET):
        await sleeps.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(upstream.requests) == 1


async def test_closing_the_provider_ends_its_answers(
    upstream: ScriptedUpstream, make: Make
) -> None:
    upstream.script(Answer("a b", faults=[Stall(after=1)]))
    provider = make()
    events: Any = provider.generate(question())
    async with asyncio.timeout(SAFETY_NET):
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)  # the generator is in its read now
        await provider.close()
        await provider.close()
        await upstream.wait_closed()
        with pytest.raises(UpstreamCut):
            await waiting
    await fail(provider, Draining)


async def test_a_consumer_that_stops_reading_stops_the_upstream(make: Make) -> None:
    """An upstream that floods is read no further than buffers reach."""
    block = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 1000)
    stuck = asyncio.Event()
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % (b"text/event-stream", b""))
        with contextlib.suppress(OSError):
            while sent < 200_000_000:
                writer.write(block * 10)
                sent += 10 * len(block)
                drain = asyncio.ensure_future(writer.drain())
                done, _ = await asyncio.wait([drain], timeout=0.5)
                if not done:
                    stuck.set()
                await drain
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        events: Any = make(base_url=f"http://127.0.0.1:{port}/v1").generate(question())
        async with asyncio.timeout(SAFETY_NET):
            await anext(events)
            await stuck.wait()
            # What the kernel's two socket buffers and aiohttp's take, and no more.
            assert sent < 20_000_000
            before = sent
            # Reading goes on, and so does the flood.
            while sent == before:
                await anext(events)
            await events.aclose()


# -- secrets ---------------------------------------------------------------------------------------


async def test_the_key_appears_nowhere(
    upstream: ScriptedUpstream,
    make: Make,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script(
        Status(400, f"your key {KEY} is odd"),
        Status(401, f"Incorrect API key: {KEY}"),
        Status(429, f"{KEY} is too fast", retry_after=99),
        Status(418, KEY),
        Answer("a", content_type=KEY),
        Answer("a", faults=[Insert(data=b"data: %b\n\n" % KEY.encode())]),
        Answer("a", faults=[Insert(data=b'data: "%b"\n\n' % KEY.replace("/", "\\/").encode())]),
        Answer("a", faults=[StreamError(error={"message": KEY, "code": KEY, "type": KEY})]),
        Status(302, headers={"Location": f"https://{KEY}/{KEY}"}),
        Refuse(),
    )
    provider = make(max_retries=0, headers={"x-token": f"Bearer {KEY}2"})
    found = [repr(provider), str(provider), repr(provider._config)]
    for _ in range(10):
        _, error = await fail(provider, FairleadError)
        while error is not None:
            found += [str(error), repr(error), repr(vars(error))]
            error = error.__cause__ or error.__context__
    gc.collect()  # what aiohttp has to say of connections left open, it says then
    found += [caplog.text, *capfd.readouterr()]
    assert not [text for text in found if "very-secret" in text]
    assert sum("[secret]" in text for text in found) >= 5


def test_the_configuration_names_what_is_wrong() -> None:
    good: dict[str, Any] = {"name": "v", "base_url": "http://h/v1", "model": "m"}
    OpenAICompatibleConfig(**good)
    for setting, value in [
        ("name", ""), ("model", ""), ("base_url", ""), ("base_url", "h/v1"),
        ("base_url", "ftp://h/v1"), ("base_url", "http://"), ("base_url", "http://h:99999/"),
        ("base_url", "http://[h/"), ("base_url", "http://user:pw@h/v1"), ("base_url", "http://h/#a"),
        ("base_url", "http://h/v1\r\nX: y"), ("base_url", "http://h/v1/chat/completions"),
        ("api_key", "a\r\nX: y"), ("api_key", "a b"), ("api_key", "ключ"),
        ("headers", {"a b": "c"}), ("headers", {"a": "c\r\nX: y"}),
        ("connect_timeout", 0), ("first_token_timeout", float("nan")), ("silence_timeout", -1),
        ("max_retries", -1), ("retry_base", -1), ("max_event_bytes", 0), ("context_tokens", 0),
    ]:  # fmt: skip
        with pytest.raises(Misconfigured, match=setting) as caught:
            OpenAICompatibleConfig(**{**good, setting: value})
        assert "pw" not in caught.value.message


# -- a server that says just these bytes -----------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bConnection: close\r\n\r\n"


@contextlib.asynccontextmanager
async def raw_server(
    body: bytes,
    content_type: str = "text/event-stream",
    *,
    status: int = 200,
    extra: str = "",
    raw: bytes = b"",
    mute: bool = False,
    hasty: bool = False,
) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if mute:
                await reader.read(-1)
            elif hasty:
                writer.write(raw)
                await writer.drain()
            else:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                response = HEAD % (content_type.encode(), extra.encode()) + body
                writer.write(raw or response.replace(b"200", b"%d" % status, 1))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
