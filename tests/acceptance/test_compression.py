"""Compressed streams: each event on time, nothing compressed that nobody asked for."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from backports import zstd

from fairlead.framing.event_stream import Parser
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.ports import free_port
from tests.support.sse import Reader

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
ON = ("--compression", "on")
#: A session that shows what came as it came.
RAW: dict[str, Any] = {"auto_decompress": False}


def unchunked(body: bytes) -> bytes:
    """The body of an HTTP/1.1 response in chunks, as far as it has come."""
    out = b""
    while (match := re.match(rb"([0-9a-f]+)\r\n", body)) is not None:
        size = int(match[1], 16)
        out += body[match.end() : match.end() + size]
        body = body[match.end() + size + 2 :]
    return out


def decoder(coding: str) -> Any:
    """What decodes a body piece by piece."""
    if coding == "zstd":
        return zstd.ZstdDecompressor()
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


class Body:
    """A compressed body, decoded as it comes."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._decoder = decoder(response.headers["Content-Encoding"])
        self._response = response
        self.coded = 0
        self.plain = b""

    async def until(self, mark: bytes) -> bytes:
        """All that there is decoded once ``mark`` has come."""
        async with asyncio.timeout(90):
            while mark not in self.plain:
                await self._more()
        return self.plain

    async def end(self) -> bytes:
        """The whole body, which has a proper end."""
        while await self._more():
            pass
        assert self._decoder.eof
        assert not self._decoder.unused_data
        return self.plain

    async def _more(self) -> bytes:
        data = await self._response.content.readany()
        self.coded += len(data)
        if data:
            self.plain += self._decoder.decompress(data)
        return data


def asked(coding: str, accept: str = "text/event-stream") -> dict[str, str]:
    return {"Accept-Encoding": coding, "Accept": accept}


@pytest.mark.parametrize("way", ["--direct", "--no-direct"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
async def test_each_event_is_there_before_the_next_one_is_made(
    serve: Serve, upstream: ScriptedUpstream, way: str, coding: str, accept: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with (
        serve(*ON, way, "--heartbeat", "0.2") as server,
        aiohttp.ClientSession(**RAW) as session,
        session.post(
            f"{server.url}/chat/stream", json={"message": "Hi"}, headers=asked(coding, accept)
        ) as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Encoding"] == coding
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
        body = Body(response)
        await body.until(b"thinking")
        for token in TOKENS:
            upstream.release()
            await body.until(b'"token":%b' % json.dumps(token, ensure_ascii=False).encode())
        # So are signs of life, while nothing else comes.
        body.plain = b""
        await body.until(b"\n" if "ndjson" in accept else b": heartbeat\n")
        upstream.release()
        assert b'"completed"' in await body.end()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_most_of_a_long_answer_is_saved(
    serve: Serve, upstream: ScriptedUpstream, coding: str
) -> None:
    upstream.script(Answer(tokens=tuple(f"{n} words " for n in range(200)), pace=Pace(gated=True)))
    async with (
        serve(*ON) as server,
        aiohttp.ClientSession(**RAW) as session,
        session.post(
            f"{server.url}/chat/stream", json={"message": "Hi"}, headers=asked(coding)
        ) as response,
    ):
        body = Body(response)
        for number in range(200):
            # One by one: together they would be merged before they are compressed.
            upstream.release()
            await body.until(b'"%d words "' % number)
        upstream.release()
        plain = await body.end()
        assert body.coded < len(plain) / 3


async def test_only_who_asks_and_only_where_it_is_on(
    serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with serve(*ON) as server, aiohttp.ClientSession(**RAW) as session:
        for accepted in ("identity", "br", "*", "gzip;q=0", "identity, gzip;q=0.5"):
            async with session.post(
                f"{server.url}/chat/stream", json={"message": "Hi"}, headers=asked(accepted)
            ) as response:
                assert "Content-Encoding" not in response.headers
                # A cache must know all the same that it might have been.
                assert response.headers["Vary"] == "Accept-Encoding"
                assert b"event: done" in await response.read()
                stream = response.headers["Fairlead-Stream"]
        # What ends at once: errors, documents, lists, a poll with little to tell.
        gzip = {"Accept-Encoding": "gzip"}
        for method, path, status in (
            ("GET", f"/streams/{'0' * 26}", 404),
            ("GET", "/streams", 200),
            ("GET", "/health/ready", 200),
            ("POST", "/tickets", None),
            ("GET", f"/streams/{stream}?after=nonsense", 400),
        ):
            async with session.request(method, server.url + path, headers=gzip) as response:
                assert status in (None, response.status), path
                assert "Content-Encoding" not in response.headers, path
        async with session.get(
            f"{server.url}/streams/{stream}", headers=asked("gzip", "application/json")
        ) as response:
            assert "Content-Encoding" not in response.headers
            position = (await response.json())["position"]
        url = f"{server.url}/streams/{stream}?wait=0"
        async with session.get(f"{url}&after={position}", headers=gzip) as response:
            assert "Content-Encoding" not in response.headers
            assert response.headers["Vary"] == "Accept-Encoding"
        async with session.get(url, headers=gzip) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert (await Body(response).end()).endswith(b'"closed":true}')
        await server.stop()
        server.args = tuple(each for each in server.args if each not in ON)
        await server.start()
        async with session.get(url, headers=gzip) as response:
            assert "Content-Encoding" not in response.headers
            assert "Vary" not in response.headers


async def test_what_an_application_behind_it_says_is_left_as_it_is(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    async with serve(*ON, "--drain-grace", "0") as inner:
        file = inner.data_dir / "outer.toml"
        file.write_text(f'[[apps]]\nname = "inner"\npath = "/inner"\ntarget = "{inner.url}"\n')
        arguments = (*ON, "--config", str(file))
        async with (
            serve(*arguments, data_dir=inner.data_dir / "outer") as outer,
            session.post(
                f"{outer.url}/inner/chat/stream", json={"message": "Hi"}, headers=asked("gzip")
            ) as response,
        ):
            assert response.status == 200
            assert "Content-Encoding" not in response.headers
            assert "event: done" in await response.text()
            request = json.dumps({"stream": response.headers["Fairlead-Stream"]}).encode()
            async with session.post(
                f"{outer.url}/fairlead.v1.Answers/Attach",
                data=b"\0" + len(request).to_bytes(4, "big") + request,
                headers={**asked("gzip", "*/*"), "Content-Type": "application/connect+json"},
            ) as call:
                assert call.status == 200
                assert "Content-Encoding" not in call.headers
                assert b"completed" in await call.read()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_call_of_connect(serve: Serve, upstream: ScriptedUpstream, coding: str) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    request = json.dumps({"message": "Hi"}).encode()
    headers = {
        "Accept-Encoding": coding,
        "Content-Type": "application/connect+json",
        "Connect-Protocol-Version": "1",
    }
    async with (
        serve(*ON, "--grpc-port", str(free_port())) as server,
        aiohttp.ClientSession(**RAW) as session,
        session.post(
            f"{server.url}/fairlead.v1.Answers/Ask",
            data=b"\0" + len(request).to_bytes(4, "big") + request,
            headers=headers,
        ) as response,
    ):
        assert response.headers["Content-Encoding"] == coding
        assert response.headers["Vary"] == "Accept-Encoding"
        body = Body(response)
        for token in TOKENS:
            upstream.release()
            await body.until(json.dumps(token, ensure_ascii=False).encode())
        upstream.release()
        assert b'"completed"' in await body.end()


@pytest.mark.parametrize("installed", [True, False])
async def test_without_zstd_it_says_so_and_gzip_serves(
    serve: Serve, upstream: ScriptedUpstream, tmp_path: Path, installed: bool
) -> None:
    upstream.script(Answer(tokens=TOKENS))
    server = serve(*ON)
    if not installed:
        # A package of the same name that does not have it.
        package = tmp_path / "path" / "backports"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        server.env["PYTHONPATH"] = str(package.parent)
    async with server, aiohttp.ClientSession(**RAW) as session:
        said = [line["notice"] for line in server.logs if line["event"] == "zstd_absent"]
        assert bool(said) is not installed
        assert all("fairlead[zstd]" in notice for notice in said)
        for accepted in ("zstd", "zstd, gzip;q=0.5"):
            async with session.post(
                f"{server.url}/chat/stream", json={"message": "Hi"}, headers=asked(accepted)
            ) as response:
                found = response.headers.get("Content-Encoding", "")
                assert found == ("zstd" if installed else "gzip" if "gzip" in accepted else "")
                await response.read()


async def test_chunks_in_a_vendor_s_dialect(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    question = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
    async with (
        serve(*ON) as server,
        aiohttp.ClientSession(**RAW) as session,
        session.post(
            f"{server.url}/v1/chat/completions",
            json=question | {"stream": True},
            headers=asked("gzip"),
        ) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        body = Body(response)
        for token in TOKENS:
            upstream.release()
            await body.until(json.dumps(token, ensure_ascii=False).encode())
        upstream.release()
        assert (await body.end()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_reader_that_stalls_is_cut_and_goes_on_exactly(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, coding: str
) -> None:
    """Nothing is compressed ahead of a socket that is full: what came before the cut ends in the
    midst, and the last event that came whole is where the reader goes on."""
    chance = random.Random(coding)
    # Nothing that compression makes much smaller: it has to fill the sockets' buffers.
    tokens = tuple(f"{n} {chance.randbytes(20_000).hex()}" for n in range(400))
    upstream.script(Answer(tokens=tokens))
    async with serve(*ON, "--stall-timeout", "1") as server:
        async with session.post(
            f"{server.url}/chat/stream", json={"message": "Hi", "background": True}
        ) as response:
            stream = response.headers["Fairlead-Stream"]
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", server.port))
            headers = f"Host: localhost\r\nAccept-Encoding: {coding}\r\n"
            stalled.sendall(f"GET /streams/{stream} HTTP/1.1\r\n{headers}\r\n".encode())
            await server.wait_log(lambda line: line["event"] == "reader_cut")
            received = await asyncio.to_thread(all_of, stalled)
        head, _, body = received.partition(b"\r\n\r\n")
        assert f"content-encoding: {coding}".encode() in head
        frames = list(
            Parser(max_event_bytes=1 << 22).feed(decoder(coding).decompress(unchunked(body)))
        )
        text = "".join(json.loads(f.data)["token"] for f in frames if f.event == "token")
        assert 0 < len(text) < len("".join(tokens))
        again = Reader(session, server.url)
        again.stream, again.last_id = stream, frames[-1].id or ""
        await again.attach()
        assert text + again.text == "".join(tokens)


def all_of(stalled: socket.socket) -> bytes:
    """What still stands in a socket after the cut."""
    received = b""
    try:
        while data := stalled.recv(1 << 20):
            received += data
    except ConnectionError:
        pass
    return received
