"""Several upstreams behind one model, on real sockets; the gates' clock is the test's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from fairlead.errors import (
    Busy,
    FairleadError,
    UpstreamCut,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fairlead.events.model import Event, Mark, Thinking, Token
from fairlead.policy.balance import Caps, Strategy
from fairlead.policy.breaker import BreakerSettings, State
from fairlead.ports.health import UpstreamHealth
from fairlead.ports.provider import GenerationRequest, Provider, Turn
from fairlead.providers.balanced import BalancedProvider, Choice, Upstreams
from fairlead.providers.gate import Gate
from fairlead.providers.openai_compatible import OpenAICompatibleProvider
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_responses import OpenAIResponsesConfig, OpenAIResponsesProvider
from fairlead.testing.clock import Clock
from fairlead.testing.upstream import (
    Answer,
    Ending,
    Pace,
    Refuse,
    Reset,
    ScriptedUpstream,
    Silent,
    Status,
    StreamError,
)

REQUEST = GenerationRequest(stream="s", turns=(Turn("user", "hello"),), conversation="talk")
HELD = Answer("one two", pace=Pace(gated=True))


class Farm:
    """Upstreams called a, b, …, and providers over them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.clock = Clock()
        self.entropy = b"0"
        self._stack = stack
        self.servers: dict[str, ScriptedUpstream] = {}
        self.gates: dict[str, Gate] = {}

    async def add(self, name: str, *script: Any, caps: Caps | None = None, **more: Any) -> None:
        server = await self._stack.enter_async_context(ScriptedUpstream())
        server.script(*(script or (Answer(f"{name} answers"),)))
        self.servers[name] = server
        wait = more.pop("max_wait", 30)
        settings = {
            "max_retries": 0,
            "retry_base": 0.001,
            "name": name,
            "base_url": server.base_url,
            "model": "m",
            **more,
        }
        provider: OpenAICompatibleProvider
        if "background" in settings:
            provider = OpenAIResponsesProvider(OpenAIResponsesConfig(**settings))
        else:
            provider = OpenAICompatibleProvider(OpenAICompatibleConfig(**settings))
        self._stack.push_async_callback(provider.close)
        self.gates[name] = Gate(
            provider,
            ("m",),
            caps=caps,
            breaker=BreakerSettings(failures=3, rest=15),
            max_wait=wait,
            clock=self.clock,
            wall=self.clock,
        )

    def provider(
        self, *names: str, strategy: Strategy = "in_order", fallback: str = ""
    ) -> BalancedProvider:
        choices = [Choice("m", tuple(self.gates[n] for n in names or self.gates), strategy)]
        if fallback:
            choices.append(Choice("smaller", (self.gates[fallback],), strategy))
        return BalancedProvider(
            Upstreams(self.gates.values()),
            choices,
            entropy=lambda n: self.entropy,
            now_ms=lambda: 0,
            clock=self.clock,
        )

    def health(self, name: str) -> UpstreamHealth:
        return self.gates[name].health()

    def asked(self) -> dict[str, int]:
        return {name: len(server.requests) for name, server in self.servers.items()}


@pytest.fixture
async def farm() -> AsyncGenerator[Farm]:
    async with AsyncExitStack() as stack:
        yield Farm(stack)


async def ask(provider: Provider, request: GenerationRequest = REQUEST) -> list[Event]:
    async with asyncio.timeout(90), contextlib.aclosing(provider.generate(request)) as events:
        return [event async for event in events]


async def fails(provider: Provider) -> FairleadError:
    with pytest.raises(FairleadError) as caught:
        await ask(provider)
    return caught.value


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def who(events: list[Event]) -> tuple[str, str]:
    """Who says that it answers; it is said once, before the first piece."""
    told = [e for e in events if isinstance(e, Thinking) and e.provider]
    assert len(told) == 1
    first = next(e for e in events if isinstance(e, Token))
    assert events.index(told[0]) < events.index(first)
    return told[0].provider, told[0].model


@pytest.mark.parametrize(
    "fault",
    [
        Status(500),
        Status(503, retry_after=60),
        Status(429, retry_after=60),
        Status(401),
        Status(307, headers={"Location": "http://elsewhere.example/"}),
        Refuse(),
        Answer("never", faults=(Reset(),)),
        Answer("never", faults=(StreamError(),)),
        Answer("never", content_type="text/html"),
    ],
    ids=lambda fault: type(fault).__name__ + str(getattr(fault, "code", "")),
)
async def test_fails_over_before_the_first_piece(farm: Farm, fault: Any) -> None:
    await farm.add("a", fault, max_retries=9)
    await farm.add("b")
    events = await ask(farm.provider())
    assert text(events) == "b answers"
    assert who(events) == ("b", "m")
    assert farm.asked() == {"a": 1, "b": 1}  # nobody is tried twice while another one can be asked
    assert farm.health("a").last_error
    assert farm.health("b").answered == 1
    assert all(farm.health(name).in_flight == 0 for name in "ab")


async def test_silence_before_the_first_token_fails_over(farm: Farm) -> None:
    await farm.add("a", Silent(headers=True), first_token_timeout=0.05)
    await farm.add("b")
    assert text(await ask(farm.provider())) == "b answers"
    assert farm.health("a").last_error == "upstream_timeout"


async def test_never_fails_over_after_the_first_piece(farm: Farm) -> None:
    await farm.add("a", Answer("one two three", faults=(Reset(after=1),)))
    await farm.add("b")
    assert isinstance(await fails(farm.provider()), UpstreamCut)
    assert farm.asked() == {"a": 1, "b": 0}
    health = farm.health("a")
    assert (health.failed, health.answered, health.last_error) == (1, 0, "upstream_cut")


async def test_a_request_that_is_wrong_is_wrong_everywhere(farm: Farm) -> None:
    await farm.add("a", Status(400))
    await farm.add("b")
    assert isinstance(await fails(farm.provider()), UpstreamRejected)
    assert farm.asked() == {"a": 1, "b": 0}
    assert farm.health("a").failed == 0


async def test_the_last_one_left_is_tried_as_often_as_configured(farm: Farm) -> None:
    await farm.add("a", Status(500), max_retries=2)
    await farm.add("b", Status(500), Status(500), Answer("third time"), max_retries=2)
    assert text(await ask(farm.provider())) == "third time"
    assert farm.asked() == {"a": 1, "b": 3}


async def test_all_fail_and_the_last_error_is_told(farm: Farm) -> None:
    await farm.add("a", Status(500))
    await farm.add("b", Status(401))
    await farm.add("c", Status(503))
    assert isinstance(await fails(farm.provider()), UpstreamUnavailable)
    assert farm.asked() == {"a": 1, "b": 1, "c": 1}


async def test_fallback_model_answers_when_no_upstream_of_the_model_does(farm: Farm) -> None:
    await farm.add("a", Status(500))
    await farm.add("b", Status(500))
    await farm.add("c")
    events = await ask(farm.provider("a", "b", fallback="c"))
    assert who(events) == ("c", "smaller")
    assert farm.servers["c"].requests[0].json["model"] == "smaller"
    assert farm.servers["a"].requests[0].json["model"] == "m"


async def test_breaker_opens_probes_once_and_closes(farm: Farm) -> None:
    await farm.add("a", Status(500), Status(500), Status(500), Status(500), HELD)
    await farm.add("b")
    provider = farm.provider()
    for _ in range(5):
        assert text(await ask(provider)) == "b answers"
    assert farm.asked()["a"] == 3  # left alone since then
    assert farm.health("a").state is State.OPEN
    assert farm.health("a").resumes_in == 15

    farm.clock.advance(15)
    await ask(provider)  # the probe fails
    await ask(provider)
    assert farm.asked()["a"] == 4

    farm.clock.advance(15)
    probe = asyncio.create_task(ask(provider))
    async with asyncio.timeout(90):
        while len(farm.servers["a"].requests) < 5:
            await farm.servers["a"].wait_request()
    assert farm.health("a").state is State.HALF_OPEN
    assert text(await ask(provider)) == "b answers"  # one probe at a time
    farm.servers["a"].release(10)
    assert text(await probe) == "one two"
    assert farm.health("a").state is State.CLOSED


async def test_probe_that_is_given_up_keeps_nobody_out(farm: Farm) -> None:
    await farm.add("a", Status(500), Status(500), Status(500), HELD, Answer("well"))
    provider = farm.provider()
    for _ in range(3):
        await fails(provider)
    assert isinstance(await fails(provider), UpstreamUnavailable)
    assert farm.asked()["a"] == 3
    farm.clock.advance(15)
    probe = asyncio.create_task(ask(provider))
    async with asyncio.timeout(90):
        while len(farm.servers["a"].requests) < 4:
            await farm.servers["a"].wait_request()
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert await farm.servers["a"].requests[3].wait_ended() is Ending.CLIENT_CLOSED
    assert text(await ask(provider)) == "well"


async def test_refused_key_counts_against_its_upstream_alone(farm: Farm) -> None:
    await farm.add("a", Status(401))
    await farm.add("b")
    provider = farm.provider()
    for _ in range(3):
        assert text(await ask(provider)) == "b answers"
    assert farm.asked() == {"a": 1, "b": 3}
    health = farm.health("a")
    assert (health.state, health.refused, health.failed) == (State.OPEN, 1, 0)
    assert farm.health("b").state is State.CLOSED


async def test_retry_after_is_honoured(farm: Farm) -> None:
    await farm.add("a", Status(429, retry_after=40), Answer("again"), max_retry_wait=5)
    await farm.add("b")
    provider = farm.provider()
    for _ in range(3):
        assert text(await ask(provider)) == "b answers"
    farm.clock.advance(39.9)
    assert text(await ask(provider)) == "b answers"
    assert farm.health("a").state is State.CLOSED  # it is not ill
    assert farm.health("a").rate_limited == 1
    farm.clock.advance(0.2)
    assert text(await ask(provider)) == "again"


async def test_paused_upstream_alone_says_when_to_come_back(farm: Farm) -> None:
    await farm.add("a", Status(429, retry_after=400), max_retry_wait=5)
    provider = farm.provider()
    await fails(provider)
    error = await fails(provider)
    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after == 400
    assert farm.asked() == {"a": 1}


async def test_cap_of_concurrent_answers_holds_and_waiters_come_in_order(farm: Farm) -> None:
    await farm.add("a", HELD, caps=Caps(concurrent=2))
    provider = farm.provider()
    most = 0
    ended: list[int] = []

    async def one(number: int) -> list[Event]:
        nonlocal most
        turns = (Turn("user", str(number)),)
        events: list[Event] = []
        async with contextlib.aclosing(
            provider.generate(msgspec.structs.replace(REQUEST, turns=turns))
        ) as answer:
            async for event in answer:
                most = max(most, farm.health("a").in_flight)
                events.append(event)
        ended.append(number)
        return events

    tasks = [asyncio.create_task(one(number)) for number in range(20)]
    server = farm.servers["a"]
    async with asyncio.timeout(90):
        held = [await server.wait_request(), await server.wait_request()]
        for number in range(2, 20):
            held.pop(0).release(3)
            held.append(await server.wait_request())
            assert held[-1].message_texts("user") == [str(number)]
            assert farm.health("a").waiting == 19 - number
        for request in held:
            request.release(3)
        answers = await asyncio.gather(*tasks)
    assert most == 2
    queued = [any(isinstance(e, Thinking) and e.status == "queued" for e in a) for a in answers]
    assert queued == [False] * 2 + [True] * 18
    assert all(text(answer) == "one two" for answer in answers)
    assert farm.health("a").waiting == 0


async def test_waiting_for_room_ends_as_busy(farm: Farm) -> None:
    await farm.add("a", HELD, caps=Caps(concurrent=1), max_wait=0)
    provider = farm.provider()
    first = asyncio.create_task(ask(provider))
    await farm.servers["a"].wait_request()
    assert isinstance(await fails(provider), Busy)
    farm.servers["a"].release(3)
    await first


async def test_full_upstream_gives_way_to_another(farm: Farm) -> None:
    await farm.add("a", HELD, caps=Caps(concurrent=1))
    await farm.add("b")
    provider = farm.provider()
    first = asyncio.create_task(ask(provider))
    await farm.servers["a"].wait_request()
    assert text(await ask(provider)) == "b answers"
    farm.servers["a"].release(3)
    assert text(await first) == "one two"


async def test_rate_is_kept(farm: Farm) -> None:
    await farm.add("a", caps=Caps(per_second=2), max_wait=0)
    provider = farm.provider()
    for _ in range(2):
        await ask(provider)
    assert isinstance(await fails(provider), Busy)
    farm.clock.advance(0.5)
    await ask(provider)
    assert isinstance(await fails(provider), Busy)


async def test_sticky_stays_while_its_upstream_is_healthy(farm: Farm) -> None:
    for name in "abc":
        await farm.add(name)
    provider = farm.provider(strategy="sticky")
    first = text(await ask(provider))
    for n in range(6):
        farm.entropy = bytes([n])
        assert text(await ask(provider)) == first
    others = {
        text(await ask(provider, msgspec.structs.replace(REQUEST, conversation=f"talk {n}")))
        for n in range(12)
    }
    assert len(others) == 3
    await farm.servers[first[0]].stop()
    assert text(await ask(provider)) != first


async def test_least_loaded_goes_where_the_least_is_under_way(farm: Farm) -> None:
    for name in "abc":
        await farm.add(name, HELD)
    provider = farm.provider(strategy="least_loaded")
    tasks = []
    for n in range(6):
        farm.entropy = bytes([n])
        tasks.append(asyncio.create_task(ask(provider)))
        for _ in range(2):  # its first step begins to pour, and that one's chooses
            await asyncio.sleep(0)
    assert [gate.in_flight for gate in farm.gates.values()] == [2, 2, 2]
    for server in farm.servers.values():
        server.release(10)
    await asyncio.gather(*tasks)


async def test_unwell_upstream_is_not_asked_until_its_check_succeeds(farm: Farm) -> None:
    await farm.add("a")
    await farm.add("b")
    provider, gate = farm.provider(), farm.gates["a"]
    upstream = gate.provider
    assert isinstance(upstream, OpenAICompatibleProvider)
    assert await upstream.check("/models", 5) is None
    assert await upstream.check("/nowhere", 5) is not None
    await farm.servers["a"].stop()
    error = await upstream.check("/models", 5)
    assert error is not None
    assert gate.checked(error)
    assert not gate.checked(error)
    await farm.servers["a"].start()
    assert text(await ask(provider)) == "b answers"
    assert gate.checked(await upstream.check("/models", 5))
    assert text(await ask(provider)) == "a answers"


async def test_stopping_reaches_the_upstream_and_is_no_failure(farm: Farm) -> None:
    await farm.add("a", HELD)
    await farm.add("b")
    answer = farm.provider().generate(REQUEST)
    request_seen = asyncio.create_task(farm.servers["a"].wait_request())
    farm.servers["a"].release(1)
    async with contextlib.aclosing(answer):
        async for event in answer:
            if isinstance(event, Token):
                break
    assert await (await request_seen).wait_ended() is Ending.CLIENT_CLOSED
    health = farm.health("a")
    assert (health.in_flight, health.failed, health.last_error) == (0, 0, "")


async def test_events_are_handed_on_by_the_upstreams_own_generator(farm: Farm) -> None:
    await farm.add("a", HELD)
    answer: Any = farm.provider().generate(REQUEST)
    farm.servers["a"].release(10)
    async with contextlib.aclosing(answer):
        for _ in range(3):
            await anext(answer)
        # What is awaited is the inner generator's own step, not a coroutine around it.
        step = answer.__anext__()
        assert type(step).__name__ == "async_generator_asend"
        await step


async def test_names_context_and_types_are_what_all_can_take(farm: Farm) -> None:
    await farm.add("a", context_tokens=1000, takes=("image/*", "text/plain"))
    await farm.add("b", context_tokens=500, takes=("image/png", "text/*"))
    provider = farm.provider()
    assert provider.name == "a | b"
    assert provider.context_tokens == 500
    assert set(provider.takes) == {"image/png", "text/plain"}


# -- work that goes on elsewhere -------------------------------------------------------------------


class Cup:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, events: Sequence[Event]) -> bool:
        self.events += events
        return True

    async def room(self) -> None:
        raise AssertionError("there is always room")


async def test_one_that_fails_in_the_background_is_forsaken_for_the_next(farm: Farm) -> None:
    await farm.add("a", Answer("x", faults=(StreamError(),)), background=True)
    await farm.add("b", Answer("b answers"), background=True)
    events = await ask(farm.provider())
    assert [event.upstream for event in events if isinstance(event, Mark)] == ["a", "", "b"]
    told = [event.provider for event in events if isinstance(event, Thinking)]
    assert told == ["a", "b"]
    assert "".join(e.text for e in events if isinstance(e, Token)) == "b answers"
    assert farm.servers["a"].responses["resp_1"].cancelled
    assert (farm.health("a").failed, farm.health("b").answered) == (1, 1)


async def test_who_has_begun_goes_on_whatever_stands_against_asking_it(farm: Farm) -> None:
    await farm.add("a", Answer("a answers"), background=True)
    await farm.add("b", Answer("b answers a thing"), background=True, caps=Caps(concurrent=1))
    events = await ask(farm.provider("b"))
    mark = next(event for event in events if isinstance(event, Mark))
    visit = farm.gates["b"].enter()
    assert farm.gates["b"].obstacle() is not None
    provider, cup = farm.provider(), Cup()
    assert provider.resumes(mark)
    await provider.resume(REQUEST, mark, [], cup)
    assert "".join(e.text for e in cup.events if isinstance(e, Token)) == "b answers a thing"
    visit.leave(None)
    assert farm.health("b").in_flight == 0
    await provider.forsake(mark)
    assert farm.servers["b"].requests[-1].path == "/v1/responses/resp_1/cancel"
    assert not farm.provider("a").resumes(mark)
    with pytest.raises(UpstreamUnavailable, match="no upstream 'b'"):
        await farm.provider("a").resume(REQUEST, mark, [], cup)
