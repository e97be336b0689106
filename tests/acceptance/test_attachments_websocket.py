"""Attachments over WebSocket: uploaded in binary messages, named by questions, bounded."""

from __future__ import annotations

import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.attachments import NOTES, PICTURE, PNG, TEXT, wire
from tests.support.websocket import Client

ways = pytest.mark.parametrize("way", ["--direct", "--no-direct", "--websocket-deflate"])


@ways
async def test_uploaded_and_asked_with(serve: Serve, upstream: ScriptedUpstream, way: str) -> None:
    upstream.script(Answer("I see."))
    async with serve(way) as server, Client(server.url) as client:
        await client.upload("pic", "image/png", PNG, "mole.png")
        uploaded = await client.answer("uploaded")
        data = {"content_type": "image/png", "size": len(PNG)}
        assert uploaded == {"type": "uploaded", "id": "pic", "data": data}
        await client.upload("notes", "text/plain", NOTES)
        stream = await client.ask("?", attachments=["pic", "notes", wire(PICTURE)])
        request = await upstream.wait_request()
        assert request.message_pictures() == [("image/png", PNG)] * 2
        assert NOTES.decode() in request.message_texts("user")[0]
        await client.end(stream)

        # Each was good for one question.
        await client.send("chat", message="?", attachments=["pic"], id="2")
        error = await client.answer("error", id="2")
        assert error["data"]["code"] == "bad_request"
        assert "no attachment 'pic' on this socket" in error["data"]["error"]


async def test_interrupting_with_a_picture(serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script(Answer("one two three", pace=Pace(gated=True)), Answer("I see."))
    async with serve() as server, Client(server.url) as client:
        stream = await client.ask("Go on.")
        await upstream.wait_request()
        upstream.release(1)
        await client.events(stream, 2)
        shown = client.seen(stream).position
        await client.upload("pic", "image/png", PNG)
        await client.send(
            "interrupt", stream=stream, shown=shown, message="No, this", attachments=["pic"], id="i"
        )
        started = await client.answer("started", id="i")
        request = await upstream.wait_request()
        assert request.message_pictures() == [("image/png", PNG)]
        await client.end(started["stream"])
        assert client.seen(started["stream"]).text == "I see."


@ways
async def test_what_is_wrong_is_said_and_harms_nothing(
    serve: Serve, upstream: ScriptedUpstream, way: str
) -> None:
    upstream.script(Answer("I see."))
    async with serve(way, "--max-attachment-bytes", "2 MiB") as server:
        async with Client(server.url) as client:
            for malformed in (b"", b"\xff\xfe", b"{}\nx", b'{"type":"media","id":"x"}\n', b"\n"):
                await client.connection.send(malformed)
                assert (await client.answer("error"))["data"]["code"] == "bad_request"
            await client.upload("pic", "image/jpeg", PNG)
            error = await client.answer("error", id="pic")
            assert "attachment 'pic' is no image/jpeg" in error["data"]["error"]
            await client.upload("zip", "application/zip", b"PK")
            error = await client.answer("error", id="zip")
            assert error["data"]["code"] == "unsupported_attachment"
            for id in "12345678":
                await client.upload(id, "text/plain", NOTES)
            await client.upload("9", "text/plain", NOTES)
            assert (await client.answer("error", id="9"))["data"]["code"] == "too_large"
            # Larger than a text may be, and still held.
            await client.upload("1", "text/plain", b"x" * (2 << 20))
            assert (await client.answer("uploaded", id="1"))["data"]["size"] == 2 << 20
            stream = await client.ask("?", attachments=list("12345678"))
            await client.end(stream)
            assert client.seen(stream).text == "I see."

            await client.connection.send(json.dumps({"type": "chat", "message": "x" * (1 << 20)}))
            assert await client.closed() == 1009

        async with Client(server.url) as client:  # what the other socket held is not here
            await client.send("chat", message="?", attachments=["2"])
            assert (await client.answer("error"))["data"]["code"] == "bad_request"
            with contextlib.suppress(ConnectionClosed):
                await client.upload("1", "text/plain", b"x" * (4 << 20))
            assert await client.closed() == 1009


async def test_a_question_that_was_not_begun_has_used_them_too(serve: Serve) -> None:
    async with serve() as server, Client(server.url) as client:
        await client.upload("t", TEXT.type, TEXT.data)
        await client.send("chat", message="", attachments=["t"], id="1")
        assert "'message' is missing" in (await client.answer("error", id="1"))["data"]["error"]
        await client.send("chat", message="?", attachments=["t"], id="2")
        assert "no attachment 't'" in (await client.answer("error", id="2"))["data"]["error"]
