"""Fairlead inside an application: mounted, with its own agents and writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import fairlead
from fairlead import Fairlead
from fairlead.client.client import Client
from fairlead.errors import BadRequest, Misconfigured, NotFound
from fairlead.events.pieces import Piece
from fairlead.policy.caller import Caller
from fairlead.ports.provider import GenerationRequest
from fairlead.testing.provider import ScriptedProvider
from tests.library.conftest import served


async def echo(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
    yield fairlead.thinking("reading", "Reading…")
    yield fairlead.progress("half", 0.5)
    yield fairlead.reasoning("It is asked, so it is answered.")
    yield "You asked: "
    yield request.turns[-1].text
    yield fairlead.media("image/png", b"\x89PNG")


def inside(tmp_path: Path, **more: Any) -> Fairlead:
    more.setdefault("providers", {"echo": echo})
    return Fairlead(data_dir=tmp_path, drain_grace=0, **more)


def text(events: list[Any]) -> str:
    return "".join(event.text for event in events)


async def test_it_is_mounted_into_fastapi_with_its_lifespan(tmp_path: Path) -> None:
    ai = inside(tmp_path)
    app = FastAPI(lifespan=ai.lifespan)
    app.mount("/ai", ai.asgi())

    @app.get("/")
    async def home() -> str:
        return "mine"

    async with served(app) as url, Client(f"{url}/ai") as client, aiohttp.ClientSession() as http:
        async with http.get(url) as response:
            assert await response.json() == "mine"
        events = [event async for event in client.ask("Why?")]
        names = [name for name, _ in groupby(event.name for event in events)]
        assert names == [
            "thinking", "progress", "part", "reasoning", "part", "token",
            "part", "media", "part", "done",
        ]  # fmt: skip
        assert text(events) == "You asked: Why?"
        assert events[0].data["provider"] == events[0].data["model"] == "echo"
        rest = [event async for event in client.attach(events[0].stream, events[3].id)]
        assert (text(rest), rest[-1]) == ("You asked: Why?", events[-1])
        async with http.get(f"{url}/ai/") as page:
            assert page.content_type == "text/html"
        async with http.get(f"{url}/ai/nothing") as missing:
            assert missing.status == 404
            assert (await missing.json())["code"] == "not_found"


async def test_it_is_mounted_into_starlette_within_a_lifespan_of_its_own(tmp_path: Path) -> None:
    ai = inside(tmp_path)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with ai:
            yield

    app = Starlette(
        routes=[
            Route("/", lambda request: PlainTextResponse("mine")),
            Mount("/deep/down", ai.asgi()),
        ],
        lifespan=lifespan,
    )
    async with served(app) as url, Client(f"{url}/deep/down") as client:
        assert text([event async for event in client.ask("Why?")]) == "You asked: Why?"


async def test_it_is_served_by_itself(tmp_path: Path) -> None:
    async with served(inside(tmp_path).asgi()) as url, Client(url) as client:
        assert text([event async for event in client.ask("Why?")]) == "You asked: Why?"


async def test_answers_outlive_the_program(tmp_path: Path) -> None:
    async with served(inside(tmp_path).asgi()) as url, Client(url) as client:
        events = [event async for event in client.ask("Why?")]
    async with served(inside(tmp_path).asgi()) as url, Client(url) as client:
        assert (await client.answer(events[0].stream)).text == "You asked: Why?"


async def test_before_it_runs_it_says_so(tmp_path: Path) -> None:
    app = FastAPI()
    ai = inside(tmp_path)
    app.mount("/ai", ai.asgi())
    async with (
        served(app) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/ai/info") as response,
    ):
        assert response.status == 503
        assert "lifespan=fairlead.lifespan" in (await response.json())["error"]
    with pytest.raises(Misconfigured, match="yet to be started"):
        async with ai.stream("Hi"):
            pass


async def test_stopping_an_agent_closes_its_generator(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def endless(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        try:
            yield "one"
            await asyncio.Event().wait()
        finally:
            closed.set()

    ai = inside(tmp_path, providers={"endless": endless})
    async with served(ai.asgi()) as url, Client(url) as client:
        events = client.ask("Why?")
        async for event in events:
            if event.text:
                assert (await client.stop(event.stream)).status == "stopped"
        assert event.data["reason"] == "stop"
        await asyncio.wait_for(closed.wait(), 90)


async def test_an_agent_that_raises_fails_its_own_answer_only(tmp_path: Path) -> None:
    async def broken(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        yield "so far"
        raise KeyError("secret")

    ai = inside(tmp_path, providers={"echo": echo, "broken": broken})
    async with served(ai.asgi()) as url, Client(url) as client:
        events = [event async for event in client.ask("Why?", model="broken")]
        assert (text(events), events[-1].name) == ("so far", "error")
        assert "secret" not in str(events[-1].data)
        assert text([event async for event in client.ask("Why?")]) == "You asked: Why?"
        with pytest.raises(BadRequest, match="echo, broken"):
            [event async for event in client.ask("Why?", model="none")]


async def test_a_provider_of_the_port_serves_as_well(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    provider.say("scripted")
    provider.finish()
    ai = inside(tmp_path, providers={"p": provider})
    async with served(ai.asgi()) as url, Client(url) as client:
        assert text([event async for event in client.ask("Why?")]) == "scripted"


async def test_a_written_stream_is_read_while_it_is_written(tmp_path: Path) -> None:
    ai = inside(tmp_path, documents=[])
    async with served(ai.asgi()) as url, Client(url) as client:
        async with ai.stream("The report", name="reporter") as out:
            reading = client.attach(out.id)
            await out.token("one ")
            async for event in reading:
                if event.text == "one ":
                    break
            await out.token("two")
        rest = [event async for event in reading]
        assert (text(rest), rest[-1].name) == ("two", "done")
        assert (await client.answer(out.id)).provider == "reporter"


async def test_a_stop_over_http_cancels_the_writer(tmp_path: Path) -> None:
    ai = inside(tmp_path)
    async with served(ai.asgi()) as url, Client(url) as client:
        async with ai.stream("The report") as out:
            await out.token("one")
            stopping = asyncio.create_task(client.stop(out.id))
            await asyncio.Event().wait()
        assert out.status == (await stopping).status == "stopped"


async def test_a_stream_belongs_to_its_consumer(tmp_path: Path) -> None:
    class Tokens:
        """The application's own users."""

        async def identify(self, credential: str | None) -> Caller:
            return Caller(credential or "nobody")

    ai = inside(tmp_path, identity=Tokens())
    async with served(ai.asgi()) as url, Client(url, "alice") as alice, Client(url, "bob") as bob:
        async with ai.stream("The report", consumer="alice") as out:
            await out.token("for alice")
        assert (await alice.answer(out.id)).text == "for alice"
        with pytest.raises(NotFound):
            await bob.answer(out.id)


async def test_closing_interrupts_what_runs(tmp_path: Path) -> None:
    async def endless(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        yield "one"
        await asyncio.Event().wait()

    ai = inside(tmp_path, providers={"endless": endless})
    async with served(ai.asgi()) as url, Client(url) as client:
        stream = await client.start("Why?", background=True)
    async with served(ai.asgi()) as url, Client(url) as client:
        assert (await client.answer(stream)).status == "interrupted"


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="max_raeders"):
        inside(tmp_path, max_raeders=3)
    with pytest.raises(Misconfigured, match="max_readers"):
        inside(tmp_path, max_readers=0)
