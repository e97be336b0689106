"""The short way to the routes that begin answers: it leads where the framework would."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from fairlead.engine.models import Model
from fairlead.events.pieces import Piece
from fairlead.ports.provider import GenerationRequest
from fairlead.providers.generator import GeneratorProvider
from fairlead.server.app import build_app
from fairlead.server.composition import compose
from fairlead.server.config import Config
from fairlead.server.system import System

QUESTION = {"message": "Hello?"}
COMPLETION = {"messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async def echo(request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        yield request.turns[-1].text

    config = Config(data_dir=tmp_path, durability="memory", knowledge=False, base_path="/base")
    model = Model("echo", GeneratorProvider("echo", echo, clock=lambda: 0))
    async with compose(config, own=[model]) as system:
        yield system


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that have come to the framework."""
    came: list[str] = []
    through = FastAPI.__call__

    async def call(self: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
        came.append(scope["method"])
        await through(self, scope, receive, send)

    monkeypatch.setattr(FastAPI, "__call__", call)
    return came


@pytest.fixture
async def http(system: System, framework: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(system), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/base") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/stream", QUESTION),
        ("/v1/chat/completions", COMPLETION),
        ("/v1/responses", {"input": "Hello?"}),
    ],
)
async def test_questions_go_straight_and_their_refusals_are_as_ever(
    http: httpx.AsyncClient, framework: list[str], path: str, body: dict[str, Any]
) -> None:
    answered = await http.post(path, json=body)
    assert answered.status_code == 200
    assert "Hello?" in answered.text
    refused = await http.post(path, json={"model": "nobody's", **body})
    assert refused.status_code in (400, 404)
    assert "nobody's" in refused.text
    unsaid = await http.post(path, content=b"{}")
    assert unsaid.status_code == 400
    assert "Content-Type: application/json" in unsaid.text
    assert framework == []


async def test_all_others_go_through_the_framework(
    http: httpx.AsyncClient, framework: list[str]
) -> None:
    asked = await http.get("/chat/stream", params=QUESTION)
    assert asked.status_code == 200
    # What they say of it depends on whether there is a page.
    for refused in (
        await http.put("/chat/stream", json=QUESTION),
        await http.post("/chat/stream/", json=QUESTION),
    ):
        assert refused.status_code in (404, 405)
    assert framework == ["GET", "PUT", "POST"]


async def test_an_error_that_nobody_foresaw_is_told_and_goes_on(
    http: httpx.AsyncClient,
    framework: list[str],
    system: System,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError("of this nobody thought")

    monkeypatch.setattr(system.engine, "start_and_attach", fail)
    told = await http.post("/chat/stream", json=QUESTION)
    assert told.status_code == 500
    assert told.json()["code"] == "internal"
    assert "nobody thought" not in told.text
    assert framework == []
    raising = httpx.ASGITransport(build_app(system))
    async with httpx.AsyncClient(transport=raising, base_url="http://localhost/base") as client:
        with pytest.raises(LookupError):
            await client.post("/chat/stream", json=QUESTION)
