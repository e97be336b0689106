"""What the client attaches to questions, on every path."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

import pytest

from fairlead.client.attachments import attached
from fairlead.client.client import Client
from fairlead.client.sync import SyncClient
from fairlead.errors import BadRequest, FairleadError
from fairlead.events.attachment import Attachment
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.support.attachments import GIF, JPEG, NOTES, PICTURE, PNG, WEBP
from tests.support.server import ServerProcess

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (NOTES, "text/plain"),
    ],
)
def test_bytes_say_what_they_are(given: bytes, type: str) -> None:
    assert attached(given) == Attachment(type, given)


def test_names_say_what_files_are(tmp_path: Path) -> None:
    path = tmp_path / "Mole.PNG"
    path.write_bytes(PNG)
    for given in (path, str(path)):
        assert attached(given) == Attachment("image/png", PNG, "Mole.PNG")
    assert attached(PICTURE) is PICTURE
    with pytest.raises(BadRequest, match="cannot be read: No such file"):
        attached(tmp_path / "absent.txt")
    with pytest.raises(BadRequest, match="tells no type"):
        attached(tmp_path / "program.exe")


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream, None]:
    async with ScriptedUpstream() as upstream:
        upstream.script(Answer("I see."))
        yield upstream


@pytest.fixture
async def server(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncGenerator[ServerProcess, None]:
    args = ("--upstream", upstream.base_url, "--model", "scripted", "--no-knowledge")
    async with ServerProcess(tmp_path / "data", *args) as process:
        yield process


@pytest.mark.parametrize("transport", ["sse", "poll", "websocket"])
async def test_every_byte_arrives(
    server: ServerProcess,
    upstream: ScriptedUpstream,
    tmp_path: Path,
    transport: Literal["sse", "poll", "websocket"],
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(NOTES)
    large = PNG + bytes(2 << 20)
    async with Client(server.url, transport=transport) as client:
        asked = client.ask("?", attachments=[large, path])
        assert "".join([event.text async for event in asked]) == "I see."
        request = await upstream.wait_request()
        assert request.message_pictures() == [("image/png", large)]
        assert (
            f'name="notes.txt" type="text/plain">\n{NOTES.decode()}'
            in (request.message_texts("user")[0])
        )
        with pytest.raises(FairleadError, match="is no image/gif") as error:
            async for _ in client.ask("?", attachments=[Attachment("image/gif", PNG)]):
                pass
        assert error.value.code == "bad_request"


async def test_an_answer_is_interrupted_with_a_picture(
    server: ServerProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer("one two three", pace=Pace(gated=True)), Answer("I see."))
    async with Client(server.url) as client:
        first = client.ask("Go on.")
        event = await anext(first)
        await upstream.wait_request()
        second = await client.interrupt(event.stream, "No, this", attachments=[PICTURE])
        assert "".join([event.text async for event in second]) == "I see."
        request = await upstream.wait_request()
        assert request.message_pictures() == [("image/png", PNG)]
        await first.aclose()


async def test_without_asyncio(server: ServerProcess, upstream: ScriptedUpstream) -> None:
    with SyncClient(server.url) as client:
        stream = client.start("?", attachments=[PICTURE], background=True)
        assert stream
    request = await upstream.wait_request()
    assert request.message_pictures() == [("image/png", PNG)]


async def test_the_example(
    server: ServerProcess, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(NOTES)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "examples/attach.py"), "When?", str(path), server.url,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"I see.")
    assert NOTES.decode() in (await upstream.wait_request()).message_texts("user")[0]
