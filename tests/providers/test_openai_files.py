"""Files at an upstream that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fairlead.errors import (
    BadRequest,
    FairleadError,
    Misconfigured,
    NotFound,
    UpstreamCut,
    UpstreamError,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRefusedKey,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_files import UpstreamFiles

SECRET = "sk-a-secret-of-the-upstream"
FILE = b'{"id": "file-1", "object": "file", "purpose": "vision", "expires_at": 7, "new": [1]}'


def response(body: bytes, status: int = 200, *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


@contextlib.asynccontextmanager
async def upstream(
    answer: bytes, *, closes: bool = False, **settings: Any
) -> AsyncIterator[tuple[UpstreamFiles, list[bytes]]]:
    """Files of an upstream that answers each request with these bytes, and then says no more, or
    closes; and the heads of what it was asked."""
    heads: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if not closes:
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    config = OpenAICompatibleConfig(
        name="up",
        base_url=f"http://127.0.0.1:{port}/v1?region=x",
        model="m",
        api_key=SECRET,
        **settings,
    )
    async with listening:
        yield UpstreamFiles(config), heads
        listening.close()
        for writer in writers:
            writer.close()


async def form(*pieces: bytes, failure: FairleadError | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if failure is not None:
        raise failure


async def test_a_file_as_it_is_told() -> None:
    async with upstream(response(FILE), headers={"X-Org": "o", "Content-Type": "x"}) as (
        files,
        heads,
    ):
        told = await files.upload(form(b"abc", b"def"), "multipart/form-data; boundary=b", 6)
        assert (told.id, told.purpose, told.expires_at) == ("file-1", "vision", 7)
        assert bytes(told.words) == FILE
        assert (await files.retrieve("a/b?c")).id == "file-1"
    head = heads[0].lower()
    assert head.startswith(b"post /v1/files?region=x http/1.1\r\n")
    for line in (
        b"content-length: 6",
        b"x-org: o",
        b"content-type: multipart/form-data; boundary=b",
    ):
        assert b"\r\n%b\r\n" % line in head
    assert b"authorization: bearer %b" % SECRET.encode() in head
    assert heads[1].startswith(b"GET /v1/files/a%2Fb%3Fc?region=x ")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(b"{}", 401), UpstreamRefusedKey),
        (response(b"{}", 403), UpstreamRefusedKey),
        (response(b"{}", 404), NotFound),
        (response(b'{"error": {"message": "%b"}}' % SECRET.encode(), 400), UpstreamRejected),
        (response(b"{}", 429, "Retry-After: 3"), UpstreamRateLimited),
        (response(b"<html>" * 100_000, 502), UpstreamUnavailable),
        (response(b"", 302, "Location: http://elsewhere.example/"), Misconfigured),
        (response(b"no JSON"), UpstreamProtocol),
        (response(b"{}"), UpstreamProtocol),
        (response(b'{"id": ""}'), UpstreamProtocol),
        (response(b'{"id": 7}'), UpstreamProtocol),
        (response(b'{"id": "a\\nb"}'), UpstreamProtocol),
        (response(b'{"id": "%b"}' % (b"x" * 1000)), UpstreamProtocol),
        (response(b'{"id": "a", "x": "%b"}' % (b"x" * 100_000)), UpstreamProtocol),
        (b"no HTTP\r\n\r\n", UpstreamUnavailable),
    ],
)
async def test_what_is_no_file(answer: bytes, kind: type[FairleadError]) -> None:
    async with upstream(answer) as (files, _):
        with pytest.raises(kind) as raised:
            await files.retrieve("file-1")
    assert SECRET not in str(raised.value)
    if kind is UpstreamRateLimited:
        assert raised.value.retry_after == 3


async def test_an_upstream_without_files() -> None:
    async with upstream(response(b"{}", 404)) as (files, _):
        with pytest.raises(UpstreamProtocol, match="has no /files"):
            await files.upload(form(b"a"), "multipart/form-data", None)


async def test_what_ends_a_body_is_what_is_raised() -> None:
    async with upstream(b"") as (files, _):
        with pytest.raises(BadRequest, match="the sender's fault"):
            await files.upload(
                form(b"a", failure=BadRequest("the sender's fault")), "multipart/form-data", None
            )


async def test_silence() -> None:
    async with upstream(b"", first_token_timeout=0.2) as (files, _):
        with pytest.raises(UpstreamTimeout, match=r"first_token_timeout, 0\.2 s"):
            await files.retrieve("file-1")
        with pytest.raises(UpstreamTimeout, match="first_token_timeout"):
            await files.upload(form(b"a"), "multipart/form-data", None)
    half = response(FILE)[:-10]
    async with upstream(half, silence_timeout=0.2) as (files, _):
        with pytest.raises(UpstreamTimeout, match=r"silence_timeout, 0\.2 s"):
            await files.retrieve("file-1")


async def test_a_file_that_is_cut() -> None:
    """What came is not taken for all."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    async with upstream(half, closes=True) as (files, _), files.content("file-1") as content:
        assert content.length == 9
        with pytest.raises(UpstreamCut):
            b"".join([piece async for piece in content.chunks()])


async def test_an_upstream_that_is_not_there() -> None:
    config = OpenAICompatibleConfig(name="up", base_url="http://127.0.0.1:9/v1", model="m")
    for verb in (UpstreamFiles(config).retrieve, UpstreamFiles(config).remove):
        with pytest.raises(UpstreamError):
            await verb("file-1")
