"""What is passed to an upstream as it is, answers apart."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from fairlead.engine.models import Model, Models
from fairlead.errors import BadRequest, Busy, Draining, NotFound, UnknownModel, UpstreamError
from fairlead.policy.admission import Room
from fairlead.policy.caller import READ, Caller
from fairlead.ports.passing import Passed
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import ALICE, Bench

FIELDS = {"input": msgspec.Raw(b'"text"'), "unknown": msgspec.Raw(b"[1]")}


class Embedder(ScriptedProvider):
    """Passes on what it is given when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, dict[str, msgspec.Raw], str]] = []
        self.answer: asyncio.Future[Passed] = asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()

    async def pass_on(self, path: str, fields: dict[str, msgspec.Raw], model: str) -> Passed:
        self.asked.append((path, fields, model))
        self.begun.set()
        return await asyncio.shield(self.answer)


@pytest.fixture
async def embedder(bench: Bench) -> Embedder:
    made = Embedder()
    plain = Model("plain", bench.provider)
    bench.engine.models = Models([plain, Model("embed", made, "embed-upstream")])
    return made


async def test_it_reaches_the_models_provider_and_comes_back(
    bench: Bench, embedder: Embedder
) -> None:
    embedder.answer.set_result(Passed(b'{"data":[]}', 3))
    passed = await bench.engine.pass_on(ALICE, "embed", "/embeddings", FIELDS, "text")
    assert passed.body == b'{"data":[]}'
    assert embedder.asked == [("/embeddings", FIELDS, "embed-upstream")]


async def test_who_cannot_pass_it_on_says_so(bench: Bench, embedder: Embedder) -> None:
    with pytest.raises(BadRequest, match="'plain' has no upstream"):
        await bench.engine.pass_on(ALICE, "plain", "/embeddings", FIELDS, "text")
    with pytest.raises(UnknownModel):
        await bench.engine.pass_on(ALICE, "none", "/embeddings", FIELDS, "text")


async def test_it_needs_the_right_to_ask(bench: Bench, embedder: Embedder) -> None:
    reader = Caller("alice", scopes=frozenset({READ}))
    with pytest.raises(NotFound):
        await bench.engine.pass_on(reader, "embed", "/embeddings", FIELDS, "text")
    assert embedder.asked == []


async def test_it_takes_room_and_gives_it_back(bench: Bench, embedder: Embedder) -> None:
    bench.engine.turns.change(Room(running=1, running_each=1, waiting=0), {}, 1.0)
    first = asyncio.create_task(bench.engine.pass_on(ALICE, "embed", "/embeddings", FIELDS, "text"))
    await embedder.begun.wait()
    with pytest.raises(Busy):
        await bench.ask()
    embedder.answer.set_exception(UpstreamError("it failed"))
    with pytest.raises(UpstreamError):
        await first
    await bench.ask()


async def test_nothing_new_is_begun_while_the_server_shuts_down(
    bench: Bench, embedder: Embedder
) -> None:
    bench.engine.draining = True
    with pytest.raises(Draining):
        await bench.engine.pass_on(ALICE, "embed", "/embeddings", FIELDS, "text")
