"""The provider of Responses against a scripted upstream on a real socket: what is asked, whatever
comes back, and answers in the background over any number of connections and processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from fairlead.errors import (
    FairleadError,
    Misconfigured,
    UpstreamCut,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRefusedKey,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from fairlead.events.model import Done, Event, Mark, Part, Reasoning, Token, Tool, Usage
from fairlead.events.states import Grammar
from fairlead.ports.provider import GenerationRequest, Provider, Turn
from fairlead.providers.openai_responses import OpenAIResponsesConfig, OpenAIResponsesProvider
from fairlead.testing import toxic
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
SAFETY_NET = 60
TEXT = "Grüß dich, 世界 – one two three \U0001f600"
LONG = tuple(f"{n} 断线 👩‍👩‍👧\n" for n in range(150))


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        yield upstream


Make = Callable[..., OpenAIResponsesProvider]


@pytest.fixture
async def make(upstream: ScriptedUpstream) -> AsyncIterator[Make]:
    made: list[OpenAIResponsesProvider] = []

    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0)

    def provider(**settings: Any) -> OpenAIResponsesProvider:
        settings = {"base_url": upstream.base_url, "api_key": KEY, **settings}
        config = OpenAIResponsesConfig(name="vendor", model="m-1", **settings)
        made.append(
            OpenAIResponsesProvider(
                config, clock_ms=lambda: NOW_MS, random=lambda: 0.5, sleep=at_once
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
    legal(events)
    return events


def legal(events: Sequence[Event]) -> None:
    grammar = Grammar()
    for event in events:
        grammar.step(event)


async def fail(provider: Provider, expected: type[FairleadError]) -> tuple[list[Event], Any]:
    """The events before the error, and the error."""
    events: list[Event] = []

    async def collect() -> None:
        async with asyncio.timeout(SAFETY_NET):
            async for event in provider.generate(question()):
                events.append(event)

    with pytest.raises(expected) as caught:
        await collect()
    return events, caught.value


def text_of(events: Sequence[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, Token))


def posts(upstream: ScriptedUpstream) -> int:
    return sum(request.path == "/v1/responses" for request in upstream.requests)


class Cup:
    """A sink that keeps what it is given, and can be waited for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def write(self, events: Sequence[Event]) -> bool:
        self.events += events
        self._news.set()
        return True

    async def room(self) -> None:
        raise AssertionError("there is always room")

    async def until(self, text: str) -> None:
        async with asyncio.timeout(SAFETY_NET):
            while text_of(self.events) != text:
                self._news.clear()
                await self._news.wait()


# -- what is asked ---------------------------------------------------------------------------------


async def test_the_request(upstream: ScriptedUpstream, make: Make) -> None:
    await ask(make(), question("Hi", parameters={"temperature": 0.1, "max_tokens": 7}))
    request = upstream.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.json == {
        "model": "m-1",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "stream": True,
        "temperature": 0.1,
        "max_output_tokens": 7,
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_what_a_budget_has_left_is_all_that_the_answer_may_have(
    upstream: ScriptedUpstream, make: Make
) -> None:
    bounded = msgspec.structs.replace(question("Hi", parameters={"max_tokens": 70}), most=7)
    await ask(make(), bounded)
    assert upstream.requests[0].json["max_output_tokens"] == 7


async def test_in_the_background_it_is_stored_and_found_again_under_the_same_query(
    upstream: ScriptedUpstream, make: Make
) -> None:
    upstream.script(Answer(TEXT, faults=(Close(after=2),)))
    provider = make(background=True, base_url=upstream.base_url + "/?api-version=3")
    assert text_of(await ask(provider)) == TEXT
    first, again = upstream.requests
    assert (first.json["background"], first.json["store"]) == (True, True)
    assert (again.method, again.path) == ("GET", "/v1/responses/resp_1")
    name, _, query = again.query.partition("&")
    assert name == "api-version=3"
    assert query.startswith("stream=true&starting_after=")
    assert again.headers["authorization"] == f"Bearer {KEY}"


def test_settings_that_cannot_work_are_named() -> None:
    with pytest.raises(Misconfigured, match="before /responses"):
        OpenAIResponsesConfig(name="v", model="m", base_url="http://127.0.0.1/v1/responses")


# -- answers ---------------------------------------------------------------------------------------

WIRES = [
    Wire(),
    Wire(newline=b"\r"),
    Wire(newline=b"\r\n", space=False),
    Wire(bom=True, comment="ping"),
    Wire(multiline=True),
    Wire(ascii=True),
    Wire(piece_bytes=7, split_characters=True),
    Wire(chunked=False),
]
BACKGROUND = pytest.mark.parametrize("background", [False, True], ids=["live", "background"])


@BACKGROUND
@pytest.mark.parametrize("wire", WIRES, ids=str)
async def test_every_wire_brings_the_same_answer(
    upstream: ScriptedUpstream, make: Make, wire: Wire, background: bool
) -> None:
    call = ToolCall("find", '{"what": "世界"}')
    upstream.script(Answer(TEXT, reasoning="Let me see …", tool_calls=(call,), wire=wire))
    events = await ask(make(background=background))
    assert text_of(events) == TEXT
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == "Let me see …"
    assert "".join(e.text for e in events if isinstance(e, Tool)) == call.arguments
    opened = [e for e in events if isinstance(e, Part) and e.state == "open"]
    assert [(e.type, e.call_id, e.name) for e in opened] == [
        ("reasoning", "", ""),
        ("tool_call", "call_1", "find"),
    ]
    usage, done = events[-2:]
    assert isinstance(usage, Usage)
    assert not usage.estimated
    assert (usage.input_tokens, usage.model) == (1, "m-1")
    assert done == Done(NOW_MS, finish="tool_calls")
    assert any(isinstance(event, Mark) for event in events) is background


async def test_one_that_is_not_streamed(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer(TEXT, reasoning="Hm.", tool_calls=(ToolCall("f"),), stream=False))
    events = await ask(make())
    assert text_of(events) == TEXT
    assert [e.text for e in events if isinstance(e, Tool)] == ["{}"]
    assert events[-1] == Done(NOW_MS, finish="tool_calls")


async def test_one_that_is_cut_short_says_why(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer(TEXT, finish_reason="length"))
    events = await ask(make())
    assert events[-1] == Done(NOW_MS, finish="length")


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Reset(after=3), UpstreamCut),
        (Close(after=3), UpstreamCut),
        (Close(after=3, clean=False), UpstreamCut),
        (Truncate(after=3), UpstreamCut),
        (Stall(after=3), UpstreamTimeout),
        (StreamError(after=3), UpstreamUnavailable),
        (Insert(after=3), UpstreamProtocol),
        (HugeLine(after=3), UpstreamProtocol),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Fault) else None,
)
async def test_a_fault_in_mid_answer_is_an_error_after_what_came_before(
    upstream: ScriptedUpstream, make: Make, fault: Fault, expected: type[FairleadError]
) -> None:
    tokens = ("one ", "two ", "three ", "four ")
    upstream.script(Answer(tokens=tokens, pace=Pace(gated=True), faults=(fault,)))
    provider = make(silence_timeout=1.0, max_event_bytes=1 << 20)
    cup = Cup()
    task = asyncio.create_task(provider.pour(question(), cup))
    upstream.release(3)
    await cup.until("one two three ")
    upstream.release(10)
    async with asyncio.timeout(SAFETY_NET):
        with pytest.raises(expected):
            await task
    assert text_of(cup.events) == "one two three "
    assert posts(upstream) == 1
    assert KEY not in repr(cup.events)


@BACKGROUND
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Status(401), UpstreamRefusedKey),
        (Status(404), UpstreamRejected),
        (Status(429, retry_after=600), UpstreamRateLimited),
        (Status(503, html=True), UpstreamUnavailable),
        (Refuse(), UpstreamUnavailable),
        (Silent(), UpstreamTimeout),
        (Silent(headers=True), UpstreamTimeout),
        (Answer("x", faults=(StreamError(),)), UpstreamUnavailable),
        (Answer("x", content_type="text/html"), UpstreamProtocol),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Behaviour) else None,
)
async def test_an_upstream_that_does_not_answer(
    upstream: ScriptedUpstream,
    make: Make,
    behaviour: Behaviour,
    expected: type[FairleadError],
    background: bool,
) -> None:
    upstream.script(behaviour)
    provider = make(first_token_timeout=1.0, max_retries=1, background=background)
    events, _ = await fail(provider, expected)
    assert not [event for event in events if not isinstance(event, Mark)]


@BACKGROUND
async def test_what_fails_before_the_first_piece_is_tried_again(
    upstream: ScriptedUpstream, make: Make, background: bool
) -> None:
    upstream.script(Status(500), Refuse(), Answer("x", faults=(StreamError(),)), Answer(TEXT))
    events = await ask(make(background=background))
    assert text_of(events) == TEXT
    assert posts(upstream) == 4
    if background:
        # What the one that failed has begun, nobody goes on with.
        marks = [event.upstream for event in events if isinstance(event, Mark)]
        assert marks == ["vendor", "", "vendor"]
        assert upstream.responses["resp_3"].cancelled
        assert not upstream.responses[f"resp_{upstream.requests[-1].number}"].cancelled


async def test_cancelling_drops_the_connection(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer(TEXT, pace=Pace(gated=True)))
    cup = Cup()
    task = asyncio.create_task(make().pour(question(), cup))
    request = await upstream.wait_request()
    upstream.release(1)
    await upstream.wait_tokens(1)
    task.cancel()
    assert await request.wait_ended() is Ending.CLIENT_CLOSED
    await asyncio.wait([task])


# -- in the background -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Reset, Close, Truncate, Stall])
@pytest.mark.parametrize("after", [0, 1, 63, 64, 100, 150])
async def test_broken_connections_are_made_again(
    upstream: ScriptedUpstream, make: Make, fault: Callable[..., Fault], after: int
) -> None:
    faults = (fault(after=after), fault(after=after), Reset(after=min(after + 7, 150)))
    upstream.script(Answer(tokens=LONG, faults=faults))
    provider = make(background=True, silence_timeout=0.5, first_token_timeout=0.5)
    events = await ask(provider)
    assert text_of(events) == "".join(LONG)
    assert isinstance(events[-1], Done)
    assert posts(upstream) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_cut_anywhere_even_inside_of_characters_it_is_the_same_answer(
    upstream: ScriptedUpstream, make: Make, seed: int
) -> None:
    call = ToolCall("find", '{"what": "世界 👩‍👩‍👧"}', pieces=9)
    upstream.script(
        Answer(tokens=["断", "👩‍👩‍👧"] * 150, reasoning=["线 "] * 30, tool_calls=(call,))
    )
    whole = [e for e in await ask(make(background=True)) if not isinstance(e, Mark)]
    chance = random.Random(seed)
    # Far enough for something new each time: the largest event repeats all of the text.
    kinds: list[Callable[[], Any]] = [
        lambda: toxic.Cut(chance.randint(6000, 20_000), reset=chance.random() < 0.5),
        lambda: toxic.CutCharacter(chance.randint(6000, 20_000)),
        lambda: toxic.HalfClose(chance.randint(6000, 20_000)),
    ]
    spoils = [chance.choice(kinds)() for _ in range(100)]
    async with toxic.ToxicProxy(upstream.port, *spoils, toxic.Pass()) as line:
        events = await ask(make(background=True, base_url=f"{line.url}/v1"))
        assert line.connections > 5
    assert [event for event in events if not isinstance(event, Mark)] == whole
    assert posts(upstream) == 2


async def test_it_is_not_tried_for_ever(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer(tokens=LONG, faults=(Reset(after=9),) * 50))
    events, error = await fail(make(background=True), UpstreamCut)
    assert text_of(events) == "".join(LONG[:9])
    assert error.retryable
    assert len(upstream.requests) == 1 + 3


async def test_what_has_been_forgotten_is_cut(upstream: ScriptedUpstream, make: Make) -> None:
    upstream.script(Answer(tokens=LONG, pace=Pace(gated=True), faults=(Close(after=9),)))
    cup = Cup()
    task = asyncio.create_task(make(background=True).pour(question(), cup))
    upstream.release(9)
    await cup.until("".join(LONG[:9]))
    upstream.responses.clear()
    upstream.release(1)
    async with asyncio.timeout(SAFETY_NET):
        with pytest.raises(UpstreamCut, match="has the rest of the answer no more"):
            await task
    assert len(upstream.requests) == 2


async def test_another_process_goes_on_from_wherever_it_was_interrupted(
    upstream: ScriptedUpstream, make: Make
) -> None:
    """After every event: what the log holds then, and what follows, are the whole answer."""
    call = ToolCall("find", '{"what": "世界", "where": ["a", "b"]}', pieces=9)
    answer = Answer(tokens=LONG, reasoning=[f"r{n} " for n in range(30)], tool_calls=(call,))
    upstream.script(answer)
    whole = await ask(make(background=True))
    plain = [event for event in whole if not isinstance(event, Mark)]
    assert sum(isinstance(event, Mark) for event in whole) > 2
    for interrupted in range(1, len(whole) - 1, 3):
        log = whole[:interrupted]
        at = max(n for n, event in enumerate(log) if isinstance(event, Mark))
        mark, seen = log[at], log[at + 1 :]
        assert isinstance(mark, Mark)
        other, cup = make(background=True), Cup()
        assert other.resumes(mark)
        async with asyncio.timeout(SAFETY_NET):
            await other.resume(GenerationRequest(stream="s", turns=()), mark, seen, cup)
        legal(log + cup.events)
        rest = [event for event in log + cup.events if not isinstance(event, Mark)]
        assert rest == plain, interrupted
    assert posts(upstream) == 1


async def test_another_answer_than_was_begun_is_refused(
    upstream: ScriptedUpstream, make: Make
) -> None:
    upstream.script(Answer(tokens=LONG))
    provider = make(background=True)
    whole = await ask(provider)
    mark, seen = whole[0], [Token(1, "something else")]
    assert isinstance(mark, Mark)
    cup = Cup()
    with pytest.raises(UpstreamProtocol, match="another answer"):
        await provider.resume(GenerationRequest(stream="s", turns=()), mark, seen, cup)
    assert not cup.events


@pytest.mark.parametrize("place", [b"{}", b"[]", b'{"model":"m","input":1,"cites":true,"fold":[]}'])
async def test_a_mark_that_cannot_be_read_is_said_to_be_so(make: Make, place: bytes) -> None:
    mark = Mark(1, "vendor", msgspec.Raw(place))
    request = GenerationRequest(stream="s", turns=())
    with pytest.raises(UpstreamProtocol, match="cannot be read"):
        await make(background=True).resume(request, mark, [], Cup())


async def test_cancelling_lets_go_and_forsaking_stops(
    upstream: ScriptedUpstream, make: Make
) -> None:
    upstream.script(Answer(tokens=LONG, pace=Pace(gated=True)))
    provider, cup = make(background=True), Cup()
    task = asyncio.create_task(provider.pour(question(), cup))
    upstream.release(5)
    await cup.until("".join(LONG[:5]))
    task.cancel()
    await asyncio.wait([task])
    assert not upstream.responses["resp_1"].cancelled
    mark = next(event for event in cup.events if isinstance(event, Mark))
    await provider.forsake(mark)
    assert upstream.responses["resp_1"].cancelled
    # What is gone cannot be stopped, and nobody has to know.
    await upstream.stop()
    await provider.forsake(mark)
