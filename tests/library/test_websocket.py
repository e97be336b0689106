"""WebSocket inside an application: mounted, on servers that offer no short way to the socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import fairlead
from fairlead import Fairlead
from fairlead.client.answers import Event
from fairlead.client.client import Client
from fairlead.errors import NotFound, Unauthenticated
from fairlead.events.pieces import Piece
from fairlead.policy.caller import Caller
from fairlead.ports.provider import GenerationRequest
from fairlead.testing.toxic import Cut, CutCharacter, HalfClose, Pass, ToxicProxy
from tests.library.conftest import served

PIECES = [f"{n} – déjà 🚢 船 \n" for n in range(500)]
PICTURE = bytes(range(256)) * 300 + b"\n"

#: uvicorn's own ways to speak WebSocket, and HTTP under it.
servers = pytest.mark.parametrize(
    "options",
    [
        {},
        {"ws": "websockets-sansio"},
        {"ws": "websockets-sansio", "ws_per_message_deflate": False, "http": "h11"},
        pytest.param(
            {"ws": "websockets"},
            # What it is built upon is deprecated, and still in use.
            marks=pytest.mark.filterwarnings("ignore"),
        ),
    ],
    ids=["default", "sansio", "plain", "legacy"],
)


class Agents:
    """Who answers: ``many`` says a lot, ``draw`` a picture, ``wait`` what it is told to, and
    ``echo`` what it was given as the dialogue."""

    def __init__(self) -> None:
        self.more = asyncio.Semaphore(0)

    async def many(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        for piece in PIECES:
            yield piece

    async def draw(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        yield "Here: "
        yield fairlead.media("image/png", PICTURE)

    async def wait(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        for piece in ("One ", "two ", "three "):
            await self.more.acquire()
            yield piece

    async def echo(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        yield " | ".join(turn.text for turn in request.turns)

    def all(self) -> dict[str, Any]:
        return {"many": self.many, "draw": self.draw, "wait": self.wait, "echo": self.echo}


class Tickets:
    """An identity whose credentials say who and until when: ``alice:0.5`` (seconds from now)."""

    async def identify(self, credential: str | None) -> Caller:
        name, _, seconds = (credential or "").partition(":")
        if not name:
            raise Unauthenticated("who are you?")
        return Caller(name, expires_at=time.time() + float(seconds) if seconds else None)


@asynccontextmanager
async def mounted(
    tmp_path: Path, agents: Agents, options: dict[str, Any], **more: Any
) -> AsyncGenerator[str, None]:
    """An application of somebody's, with sockets of its own; the address of what is mounted."""
    ai = Fairlead(data_dir=tmp_path, drain_grace=0, providers=agents.all(), **more)
    app = FastAPI(lifespan=ai.lifespan)

    @app.websocket("/mine")
    async def mine(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("mine")
        await websocket.close()

    app.mount("/ai", ai.asgi())
    async with served(app, **options) as url:
        yield f"{url}/ai"


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events)


async def everything(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


@servers
async def test_every_verb(tmp_path: Path, options: dict[str, Any]) -> None:
    agents = Agents()
    async with (
        mounted(tmp_path, agents, options) as url,
        Client(url, transport="websocket") as client,
        Client(url, transport="sse") as other,
        connect(url.replace("http", "ws").replace("/ai", "/mine")) as mine,
    ):
        assert await mine.recv() == "mine"
        answers = await asyncio.gather(*(everything(client.ask("Why?")) for _ in range(4)))
        assert {text(events) for events in answers} == {"".join(PIECES)}
        assert (await client.answer(answers[0][0].stream)).text == "".join(PIECES)

        drawn = await everything(client.ask("Draw", model="draw"))
        assert [event.media for event in drawn if event.name == "media"] == [PICTURE]
        over_sse = await everything(other.attach(drawn[0].stream))
        assert [event.media for event in over_sse if event.name == "media"] == [PICTURE]

        first = client.ask("Count.", model="wait")
        await anext(first)
        agents.more.release()
        assert (await anext(first)).text == "One "
        second = await first.interrupt("And then?", model="echo")
        assert text(await everything(second)) == "Count. | One  | And then?"
        assert (await everything(first))[-1].data["status"] == "stopped"

        third = client.ask("Count.", model="wait")
        stopped = await client.stop((await anext(third)).stream)
        assert stopped.status == "stopped"
        assert (await everything(third))[-1].data["reason"] == "stop"
        with pytest.raises(NotFound):
            await everything(client.attach("0" * 26))


@servers
async def test_through_a_path_that_cuts(tmp_path: Path, options: dict[str, Any]) -> None:
    spoils = [
        each
        for n in range(1, 12)
        for each in (Cut(400 * n), CutCharacter(500 * n), HalfClose(600 * n), Cut(99 * n, False))
    ]
    async with (
        mounted(tmp_path, Agents(), options) as url,
        ToxicProxy(int(url.split(":")[2].removesuffix("/ai")), *spoils, Pass()) as proxy,
        Client(f"{proxy.url}/ai", transport="websocket", sleep=at_once) as client,
    ):
        while proxy.connections <= len(spoils):
            assert text(await everything(client.ask("Why?"))) == "".join(PIECES)


@servers
async def test_a_reader_is_told_to_come_back_when_the_application_ends(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    agents = Agents()
    async with mounted(tmp_path, agents, options) as url:
        peer = await connect(url.replace("http", "ws") + "/ws")
        await peer.send(json.dumps({"type": "chat", "message": "Count.", "model": "wait"}))
        while json.loads(await peer.recv())["type"] != "thinking":
            pass
        leaving = asyncio.create_task(peer.wait_closed())
    # The server closes sockets before it tells the application that it ends.
    await leaving
    assert peer.close_code == 1012


@servers
async def test_a_credential_is_renewed_in_the_socket(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    agents = Agents()
    async with (
        mounted(tmp_path, agents, options, identity=Tickets()) as url,
        ToxicProxy(int(url.split(":")[2].removesuffix("/ai"))) as proxy,
        Client(f"{proxy.url}/ai", "alice:60", transport="websocket") as client,
    ):
        events = client.ask("Count.", model="wait")
        stream = (await anext(events)).stream
        await client.refresh("alice:120")
        for _ in range(3):
            agents.more.release()
        assert text(await everything(events)) == "One two three "
        assert proxy.connections == 1
        with pytest.raises(Unauthenticated):
            await client.refresh("")
        # Another caller's streams are not there.
        other = client.ask("Count.", model="wait")
        await anext(other)
        await client.refresh("bob")
        assert (await everything(other))[-1].data["code"] == "not_found"
        with pytest.raises(NotFound):
            await client.answer(stream)
        assert "alice" not in repr(vars(client))


@servers
async def test_an_expired_credential_is_asked_for_again(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    agents = Agents()
    given: list[str] = []

    def credential() -> str:
        given.append("alice:60" if given else "alice:0.5")
        return given[-1]

    async with (
        mounted(tmp_path, agents, options, identity=Tickets()) as url,
        ToxicProxy(int(url.split(":")[2].removesuffix("/ai"))) as proxy,
        Client(f"{proxy.url}/ai", credential, transport="websocket") as client,
    ):
        events = client.ask("Count.", model="wait")
        await anext(events)
        reading = asyncio.create_task(everything(events))
        await proxy.wait_connections(2)
        for _ in range(3):
            agents.more.release()
        assert text(await reading) == "One two three "
    assert given == ["alice:0.5", "alice:60"]


async def test_before_it_runs_it_says_so(tmp_path: Path) -> None:
    ai = Fairlead(data_dir=tmp_path, providers=Agents().all())
    app = FastAPI()
    app.mount("/ai", ai.asgi())
    async with served(app) as url:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url.replace("http", "ws") + "/ai/ws")
    response = refused.value.response
    assert response.status_code == 503
    assert "lifespan=fairlead.lifespan" in json.loads(bytes(response.body))["error"]
