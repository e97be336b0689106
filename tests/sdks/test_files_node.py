"""OpenAI's own SDK for Node, with files."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from fairlead.testing.upstream import ScriptedUpstream
from tests.sdks.serving import KEY, OTHER_KEY, serving
from tests.support.node import Script
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATA = bytes(range(256)) * 500


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    running: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ServerProcess]:
    upstream = {"name": "keeper", "base_url": running.base_url, "models": ["m-1"]}
    folder = tmp_path_factory.mktemp("files")
    async with serving(folder, upstream | {"api": "responses", "files": True}) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(server: ServerProcess) -> AsyncGenerator[Script]:
    async with Script("openai-files.mjs", url=f"{server.url}/v1", key=KEY) as script:
        yield script


async def act(node: Script, what: str, outcome: str = "done", /, **fields: Any) -> dict[str, Any]:
    await node.send(act=what, **fields)
    return await node.next(outcome, act=what)


async def test_a_file_from_upload_to_removal(node: Script, upstream: ScriptedUpstream) -> None:
    made = (await act(node, "upload", name="tea.bin", hex=DATA.hex()))["file"]
    assert (made["filename"], made["bytes"]) == ("tea.bin", len(DATA))
    id = made["id"]
    assert upstream.files[id].data == DATA
    assert (await act(node, "retrieve", id=id))["file"] == made
    assert bytes.fromhex((await act(node, "content", id=id))["hex"]) == DATA
    another = (await act(node, "upload", name="b", hex="00"))["file"]["id"]
    assert (await act(node, "list", limit=1))["ids"] == [another, id]
    assert (await act(node, "respond", id=id))["status"] == "completed"
    (item,) = upstream.requests[-1].json["input"]
    assert item["content"] == [{"type": "input_file", "file_id": id}]
    assert (await act(node, "remove", id=id))["deleted"]
    assert id not in upstream.files
    assert (await act(node, "retrieve", "failed", id=id))["status"] == 404


async def test_somebody_elses(
    node: Script, server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    id = (await act(node, "upload", name="a", hex="00"))["file"]["id"]
    async with Script("openai-files.mjs", url=f"{server.url}/v1", key=OTHER_KEY) as other:
        assert (await act(other, "list"))["ids"] == []
        for name in ("retrieve", "content", "remove", "respond"):
            refused = await act(other, name, "failed", id=id)
            assert (refused["status"], refused["code"]) == (404, "not_found")
    assert id in upstream.files
