"""OpenAI's own SDK for Python, with files: kept by an upstream, each caller's apart."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from fairlead.testing.upstream import ScriptedUpstream
from tests.sdks.serving import AT_ONCE, KEY, OTHER_KEY, UPSTREAM_KEY, serving
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: All bytes that there are, and what looks like the end of a part.
DATA = bytes(range(256)) * 100 + b"\r\n--x--\r\n"
LARGEST = 100_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def elsewhere() -> AsyncGenerator[ScriptedUpstream]:
    """Another upstream of the same model, which keeps no files."""
    async with ScriptedUpstream() as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["chat", "responses"])
async def server(
    request: pytest.FixtureRequest,
    running: ScriptedUpstream,
    elsewhere: ScriptedUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[ServerProcess]:
    running.files.clear()
    api = {"api": request.param, **AT_ONCE}
    elsewhere_too = {"name": "elsewhere", "base_url": elsewhere.base_url, **api}
    async with serving(
        tmp_path_factory.mktemp("files"),
        {**elsewhere_too, "models": ["m-1", "m-2"], "weight": 1000},
        {
            "name": "keeper",
            "base_url": running.base_url,
            "models": ["m-1"],
            "api_key_env": "UPSTREAM_KEY",
            "files": True,
            **api,
        },
        rules=[{"name": "none", "act": "deny", "paths": ["/v1/files"], "query": {"x": "*"}}],
        max_attachment_bytes=LARGEST,
    ) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def other(server: ServerProcess) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=OTHER_KEY, max_retries=0) as client:
        yield client


async def upload(client: AsyncOpenAI, name: str = "tea.bin", data: bytes = DATA) -> str:
    made = await client.files.create(file=(name, data), purpose="user_data")
    return made.id


async def name(
    client: AsyncOpenAI, request: pytest.FixtureRequest, id: str, model: str = "m-1"
) -> None:
    """Ask about a file, in the dialect that the upstreams speak."""
    if "responses" in request.node.name:
        item: Any = {"role": "user", "content": [{"type": "input_file", "file_id": id}]}
        await client.responses.create(model=model, input=[item])
    else:
        part: Any = {"type": "file", "file": {"file_id": id}}
        await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": [part]}]
        )


async def test_a_file_from_upload_to_removal(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    made = await client.files.create(file=("tée.bin", DATA), purpose="user_data")
    sent = upstream.requests[-1]
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert KEY not in str(sent.headers)
    assert (made.bytes, made.purpose, made.status) == (len(DATA), "user_data", "processed")
    assert upstream.files[made.id].data == DATA
    assert (await client.files.retrieve(made.id)).to_dict() == made.to_dict()
    read = await client.files.content(made.id)
    assert read.content == DATA
    assert read.response.headers["content-type"] == "application/octet-stream"
    assert read.response.headers["content-disposition"] == "attachment"
    assert made.id in [file.id async for file in client.files.list()]
    gone = await client.files.delete(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    assert made.id not in upstream.files
    asked = len(upstream.requests)
    for verb in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await verb(made.id)
    assert made.id not in [file.id async for file in client.files.list()]
    assert len(upstream.requests) == asked


async def test_the_list_in_pages(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    async for file in client.files.list():
        await client.files.delete(file.id)
    ids = [await upload(client, f"{number}.txt") for number in range(5)]
    vision = (await client.files.create(file=("v.png", b"x"), purpose="vision")).id
    assert [file.id async for file in client.files.list(limit=2)] == [vision, *reversed(ids)]
    oldest = client.files.list(limit=4, order="asc")
    assert [file.id async for file in oldest] == [*ids, vision]
    assert [file.id async for file in client.files.list(purpose="vision")] == [vision]
    page = await client.files.list(limit=2, after=ids[4])
    assert [file.id for file in page.data] == [ids[3], ids[2]]
    assert page.has_more
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.files.list(after="file-none")
    assert wrong.value.param == "after"
    with pytest.raises(openai.BadRequestError):
        await client.files.list(limit=0)


async def test_a_file_is_its_uploaders_alone(
    client: AsyncOpenAI, other: AsyncOpenAI, upstream: ScriptedUpstream, server: ServerProcess
) -> None:
    id = await upload(client)
    asked = len(upstream.requests)
    assert id not in [file.id async for file in other.files.list()]
    for verb in (other.files.retrieve, other.files.content, other.files.delete):
        with pytest.raises(openai.NotFoundError) as refused:
            await verb(id)
        assert refused.value.code == "not_found"
    with pytest.raises(openai.BadRequestError):
        await other.files.list(after=id)
    part: Any = {"type": "file", "file": {"file_id": id}}
    with pytest.raises(openai.NotFoundError):
        await other.chat.completions.create(
            model="m-1", messages=[{"role": "user", "content": [part]}]
        )
    item: Any = {"role": "user", "content": [{"type": "input_file", "file_id": id}]}
    with pytest.raises(openai.NotFoundError):
        await other.responses.create(model="m-1", input=[item])
    tool: Any = {
        "type": "code_interpreter",
        "container": {"type": "auto", "file_ids": [id]},
    }
    with pytest.raises(openai.NotFoundError):
        await other.responses.create(model="m-1", input="Hi", tools=[tool])
    # A name may be written in another way.
    body = json.dumps({"model": "m-1", "input": [item]}).replace("file_id", "file\\u005fid")
    async with httpx.AsyncClient() as http:
        answered = await http.post(
            f"{server.url}/v1/responses",
            content=body,
            headers={"Authorization": f"Bearer {OTHER_KEY}", "Content-Type": "application/json"},
        )
    assert answered.status_code == 404, answered.text
    async with other.responses.connect() as connection:
        await connection.response.create(model="m-1", input=[item])
        event = await connection.recv()
        assert event.type == "error"
        assert event.code == "not_found"
    assert len(upstream.requests) == asked
    assert id in upstream.files


async def test_a_question_that_names_a_file_goes_to_who_keeps_it(
    client: AsyncOpenAI, upstream: ScriptedUpstream, elsewhere: ScriptedUpstream,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    id = await upload(client)
    before, beside = len(upstream.requests), len(elsewhere.requests)
    for _ in range(10):
        await name(client, request, id)
    sent = upstream.requests[before:]
    assert len(sent) == 10
    assert all(id in json.dumps(each.json) for each in sent)
    assert len(elsewhere.requests) == beside
    # Any other question goes to the one that is to have nearly all of them.
    await client.responses.create(model="m-1", input="Hi")
    assert len(elsewhere.requests) + len(upstream.requests) == before + beside + 11
    with pytest.raises(openai.BadRequestError, match="'keeper', which has no model 'm-2'"):
        await name(client, request, id, model="m-2")


async def test_one_that_was_not_uploaded_here_is_the_upstreams_to_judge(
    client: AsyncOpenAI, upstream: ScriptedUpstream, elsewhere: ScriptedUpstream,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    before = len(upstream.requests) + len(elsewhere.requests)
    await name(client, request, "file-far")
    assert len(upstream.requests) + len(elsewhere.requests) == before + 1


async def test_what_cannot_be_uploaded(
    client: AsyncOpenAI, upstream: ScriptedUpstream, server: ServerProcess
) -> None:
    kept = dict(upstream.files)
    with pytest.raises(openai.APIStatusError) as large:
        await upload(client, data=b"x" * 2 * LARGEST)
    assert large.value.status_code == 413
    assert large.value.code == "too_large"
    url = f"{server.url}/v1/files"
    headers = {"Authorization": f"Bearer {KEY}"}
    form = {"Content-Type": "multipart/form-data; boundary=b"}

    async def endless() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 10_000

    async with httpx.AsyncClient(headers=headers) as http:
        # How large it is, nobody says beforehand.
        answered = await http.post(url, content=endless(), headers=form)
        assert answered.status_code == 413, answered.text
        assert answered.json()["error"]["code"] == "too_large"
        answered = await http.post(url, json={"purpose": "user_data"})
        assert answered.status_code == 400
        assert "multipart/form-data" in answered.json()["error"]["message"]
        # What is wrong with a form, the upstream says.
        answered = await http.post(url, content=b"--b--\r\n", headers=form)
        assert answered.status_code == 400
        error = answered.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert "'file' and 'purpose' are required." in error["message"]
        answered = await http.post(url, content=b"--b--\r\n", headers={**form, "Authorization": ""})
        assert answered.status_code == 401
        assert answered.json()["error"]["code"] == "invalid_api_key"
        foreign = {**form, "Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
        answered = await http.post(url, content=b"--b--\r\n", headers=foreign)
        assert answered.status_code == 403
    assert upstream.files == kept


async def test_the_rules_hold(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        await client.files.list(extra_query={"x": "1"})


async def test_one_that_the_upstream_has_no_more(
    client: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    for read in (client.files.retrieve, client.files.content, client.files.delete):
        id = await upload(client)
        del upstream.files[id]
        with pytest.raises(openai.NotFoundError, match="no such file any more"):
            await read(id)
        assert id not in [file.id async for file in client.files.list()]


async def test_where_no_upstream_keeps_files(tmp_path: Path, running: ScriptedUpstream) -> None:
    upstream = {"name": "plain", "base_url": running.base_url, "models": ["m-1"]}
    async with (
        serving(tmp_path, upstream) as server,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        with pytest.raises(openai.NotFoundError, match="'files = true'") as absent:
            await upload(client)
        assert absent.value.code == "not_found"
        assert absent.value.type == "invalid_request_error"
        with pytest.raises(openai.NotFoundError, match="'file_data'"):
            await client.files.list()


async def test_it_is_known_whose_a_file_is_after_a_restart(
    tmp_path: Path, running: ScriptedUpstream
) -> None:
    """And what another upstream keeps is not looked for at this one."""
    id = ""
    for name in ("first", "second", "first"):
        upstream = {"name": name, "base_url": running.base_url, "models": ["m-1"], "files": True}
        async with serving(tmp_path, upstream) as server:
            url = f"{server.url}/v1"
            async with (
                AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client,
                AsyncOpenAI(base_url=url, api_key=OTHER_KEY, max_retries=0) as other,
            ):
                id = id or await upload(client)
                listed = [file.id async for file in client.files.list()]
                if name == "first":
                    assert listed == [id]
                    assert (await client.files.content(id)).content == DATA
                else:
                    assert listed == []
                    with pytest.raises(openai.NotFoundError, match="'first', which is gone"):
                        await client.files.retrieve(id)
                with pytest.raises(openai.NotFoundError):
                    await other.files.retrieve(id)


async def test_upstreams_that_fail(tmp_path: Path) -> None:
    """Refuse the key, are not there, or have no files after all."""
    async with ScriptedUpstream(api_key="another") as refusing:
        gone = {"name": "k", "base_url": refusing.base_url, "models": ["m-1"], "files": True}
        async with (
            serving(tmp_path, gone) as server,
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client,
        ):
            with pytest.raises(openai.InternalServerError) as refused:
                await upload(client)
            assert refused.value.code == "upstream_refused_key"
            await refusing.stop()
            with pytest.raises(openai.InternalServerError) as absent:
                await upload(client)
            assert absent.value.code == "upstream_unavailable"
            assert [file.id async for file in client.files.list()] == []


class Wire:
    """An upstream in slow motion: shows what has come of a request, and answers piece by piece."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(90):
            return await self.reader.readuntil(mark)


@contextlib.asynccontextmanager
async def slow(tmp_path: Path) -> AsyncIterator[tuple[ServerProcess, asyncio.Queue[Wire]]]:
    wires: asyncio.Queue[Wire] = asyncio.Queue()
    listening = await asyncio.start_server(
        lambda reader, writer: wires.put_nowait(Wire(reader, writer)), "127.0.0.1", 0
    )
    port = listening.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    upstream = {"name": "k", "base_url": url, "models": ["m-1"], "files": True}
    async with listening, serving(tmp_path, upstream) as server:
        yield server, wires
        listening.close()
        while not wires.empty():
            wires.get_nowait().writer.close()


async def test_bytes_pass_as_they_come(tmp_path: Path) -> None:
    """What a form begins with is there before its sender has gone on; and so with a file."""
    told = json.dumps({"id": "file-1", "object": "file", "purpose": "user_data"}).encode()
    more = asyncio.Event()

    async def form() -> AsyncIterator[bytes]:
        yield b"the first half"
        await more.wait()
        yield b"the second half"

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=b"}
    async with slow(tmp_path) as (server, wires), httpx.AsyncClient(timeout=90) as http:
        url = f"{server.url}/v1/files"
        sending = asyncio.create_task(http.post(url, content=form(), headers=headers))
        wire = await wires.get()
        await wire.until(b"the first half")
        more.set()
        await wire.until(b"the second half")
        wire.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
        assert (await sending).json()["id"] == "file-1"
        wire.writer.close()
        async with asyncio.TaskGroup() as group:
            reading = http.stream("GET", f"{url}/file-1/content", headers=headers)
            begun = group.create_task(reading.__aenter__())
            wire = await wires.get()
            assert b"GET /v1/files/file-1/content " in await wire.until(b"\r\n\r\n")
            wire.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
            response = await begun
        assert response.headers["content-length"] == "6"
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"one"
        wire.writer.write(b"two")
        assert await anext(pieces) == b"two"
        await response.aclose()
        wire.writer.close()


async def test_who_leaves_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async with slow(tmp_path) as (server, wires):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Authorization: Bearer %b\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
            b"the first half" % KEY.encode()
        )
        wire = await wires.get()
        await wire.until(b"the first half")
        writer.close()
        # The upstream learns it at once.
        async with asyncio.timeout(90):
            assert await wire.reader.read() == b""
        wire.writer.close()
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY) as client:
            assert [file.id async for file in client.files.list()] == []
