"""Attachments on the real server: asked over HTTP, kept, asked on, fetched, refused."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from fairlead.events.attachment import Attachment
from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.attachments import NOTES, PICTURE, PNG, TEXT, wire
from tests.support.server import ServerProcess

JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def scripted(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer("I see."))


async def ask(
    session: aiohttp.ClientSession,
    server: ServerProcess,
    *attachments: Attachment,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The answer's first document, or the error."""
    body = {"message": "What is this?", **fields}
    if attachments:
        body["attachments"] = [wire(each) for each in attachments]
    async with session.post(
        f"{server.url}/chat/stream", json=body, headers=JSON | (headers or {})
    ) as response:
        found: dict[str, Any] = await response.json()
        assert response.status == status, found
        return found


async def attached(
    session: aiohttp.ClientSession, server: ServerProcess, conversation: str
) -> list[list[dict[str, Any]]]:
    """What each message of a conversation says of its attachments."""
    async with session.get(f"{server.url}/conversations/{conversation}") as response:
        messages = (await response.json())["messages"]
        return [message.get("attachments", []) for message in messages]


async def test_the_model_is_shown_them_and_they_are_kept(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve() as server:
        answer = await ask(session, server, PICTURE, TEXT, conversation_id="c")
        request = await upstream.wait_request()
        assert request.message_pictures() == [("image/png", PNG)]
        (shown,) = request.message_texts("user")
        assert shown.startswith("What is this?")
        assert f'<attachment name="notes.txt" type="text/plain">\n{NOTES.decode()}' in shown

    async with serve() as server:  # another process, the same files
        question, told = await attached(session, server, "c")
        assert told == []
        assert [(a["type"], a["name"], a["size"]) for a in question] == [
            ("image/png", "mole.png", len(PNG)),
            ("text/plain", "notes.txt", len(NOTES)),
        ]
        address = f"{server.url}/conversations/c/attachments/"
        async with session.get(address + question[0]["attachment_id"]) as response:
            assert await response.read() == PNG
            headers = response.headers
            assert headers["content-type"] == "image/png"
            assert headers["content-disposition"] == "inline; filename*=UTF-8''mole.png"
            assert headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in headers["content-security-policy"]
        async with session.get(address + question[1]["attachment_id"]) as response:
            assert await response.read() == NOTES
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            assert response.headers["content-disposition"].startswith("attachment;")
        async with session.get(address + answer["message_id"]) as response:
            assert response.status == 404

        # A question that follows is asked with what was shown before.
        await ask(session, server, message="And its colour?", conversation_id="c")
        request = await upstream.wait_request()
        assert request.message_pictures() == [("image/png", PNG)]
        first, second = request.message_texts("user")
        assert (first, second) == (shown, "And its colour?")

        # The same picture again is kept once; asking once more keeps the question's own.
        await ask(session, server, PICTURE, conversation_id="c")
        assert len((await upstream.wait_request()).message_pictures()) == 2
        messages = await attached(session, server, "c")
        assert messages[4][0]["attachment_id"] == question[0]["attachment_id"]
        await ask(session, server, message="", conversation_id="c", regenerate=answer["message_id"])
        assert (await upstream.wait_request()).message_pictures() == [("image/png", PNG)]

        async with session.delete(f"{server.url}/conversations/c") as response:
            assert response.status == 204
        async with session.get(address + question[0]["attachment_id"]) as response:
            assert response.status == 404


async def test_the_same_key_with_other_attachments_is_a_conflict(
    serve: Serve, session: aiohttp.ClientSession
) -> None:
    key = {"Idempotency-Key": "once"}
    async with serve() as server:
        first = await ask(session, server, PICTURE, headers=key)
        again = await ask(session, server, PICTURE, headers=key)
        assert again["stream"] == first["stream"]
        others = [
            (),
            (TEXT,),
            (PICTURE, PICTURE),
            (Attachment("image/png", PNG, "other.png"),),
            (Attachment("image/png", PNG[:-1], "mole.png"),),
        ]
        for other in others:
            error = await ask(session, server, *other, headers=key, status=409)
            assert error["code"] == "conflict"


async def test_others_cannot_fetch_them(serve: Serve, session: aiohttp.ClientSession) -> None:
    server = serve()
    server.env["FAIRLEAD_API_KEYS"] = "alice=aaaaaaaa,bob=bbbbbbbb"
    alice, bob = ({"Authorization": f"Bearer {key * 8}"} for key in "ab")
    async with server:
        await ask(session, server, PICTURE, conversation_id="c", headers=alice)
        async with session.get(f"{server.url}/conversations/c", headers=alice) as response:
            (kept,) = (await response.json())["messages"][0]["attachments"]
        address = f"{server.url}/conversations/c/attachments/{kept['attachment_id']}"
        for headers, status in ((alice, 200), (bob, 404), ({}, 401)):
            async with session.get(address, headers=headers) as response:
                assert response.status == status


@pytest.mark.parametrize(
    ("attachments", "status", "code", "words"),
    [
        ([PICTURE] * 9, 413, "too_large", "at most 8"),
        ([Attachment("image/png", PNG + bytes(60_000))], 413, "too_large", "at most 65536"),
        ([Attachment("image/jpeg", PNG)], 400, "bad_request", "is no image/jpeg"),
        ([Attachment("application/zip", b"PK")], 415, "unsupported_attachment", "taken: image/"),
    ],
)
async def test_what_is_not_taken_starts_nothing(
    serve: Serve,
    upstream: ScriptedUpstream,
    session: aiohttp.ClientSession,
    attachments: list[Attachment],
    status: int,
    code: str,
    words: str,
) -> None:
    async with serve("--max-attachment-bytes", "64 KiB") as server:
        error = await ask(session, server, *attachments, status=status, conversation_id="c")
        assert error["code"] == code
        assert words in error["error"]
        async with session.get(f"{server.url}/streams") as response:
            assert (await response.json())["streams"] == []
        async with session.get(f"{server.url}/conversations/c") as response:
            assert response.status == 404
        assert upstream.requests == []


async def test_bytes_that_are_no_base64_are_named(
    serve: Serve, session: aiohttp.ClientSession
) -> None:
    async with serve() as server:
        body = {"message": "?", "attachments": [{"type": "image/png", "data": "§"}]}
        async with session.post(f"{server.url}/chat/stream", json=body) as response:
            assert response.status == 400
            assert "attachments[0].data" in (await response.json())["error"]


async def test_only_questions_may_be_that_large(
    serve: Serve, session: aiohttp.ClientSession
) -> None:
    large = json.dumps({"message": "x" * 300_000, "title": "x" * 300_000}).encode()
    headers = {"Content-Type": "application/json"}
    async with serve("--max-body-bytes", "64 KiB", "--max-attached-bytes", "128 KiB") as server:
        await ask(session, server, Attachment("text/plain", b"x" * 120_000))
        async with session.post(
            f"{server.url}/chat/stream", data=large, headers=headers
        ) as response:
            assert (response.status, await code_of(response)) == (413, "too_large")
        # What is no attachment has the limit of every body.
        await ask(session, server, TEXT, parameters={"x": "x" * 60_000})
        error = await ask(session, server, TEXT, parameters={"x": "x" * 66_000}, status=413)
        assert "larger than 65536 bytes" in error["error"]
        async with session.patch(
            f"{server.url}/conversations/c", data=large[:70_000], headers=headers
        ) as response:
            assert (response.status, await code_of(response)) == (413, "too_large")


async def code_of(response: aiohttp.ClientResponse) -> str:
    code: str = (await response.json())["code"]
    return code


async def test_a_model_that_takes_none(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession, tmp_path: Any
) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text(
        "model = 'sees'\n"
        + "".join(
            f"[[upstreams]]\nname = '{name}'\nbase_url = '{upstream.base_url}'\n"
            f"models = ['{name}']\nattachments = {taken}\n"
            for name, taken in (("sees", "['image/*']"), ("blind", "[]"))
        )
    )
    server = ServerProcess(tmp_path / "data", "--config", str(file), "--no-knowledge")
    async with server:
        await ask(session, server, PICTURE, conversation_id="c")
        await upstream.wait_request()
        error = await ask(session, server, PICTURE, model="blind", status=415)
        assert error["code"] == "unsupported_attachment"
        assert "'blind', which is to answer, takes no image/png (mole.png)" in error["error"]
        error = await ask(session, server, TEXT, status=415)
        assert "it takes image/*" in error["error"]
        # What was shown before hinders nobody from going on with another model.
        await ask(session, server, model="blind", conversation_id="c")
        assert (await upstream.wait_request()).message_pictures() == []


async def test_the_embedded_answerer_quotes_texts_and_refuses_pictures(
    session: aiohttp.ClientSession, tmp_path: Any
) -> None:
    async with ServerProcess(tmp_path, "--extractive-pace", "0", "--no-knowledge") as server:
        question = "When does the harbour open?"
        asked = await ask(session, server, TEXT, message=question)
        async with session.get(f"{server.url}/streams/{asked['stream']}") as events:
            await events.read()
        async with session.get(f"{server.url}/streams/{asked['stream']}", headers=JSON) as response:
            text = (await response.json())["text"]
        assert "The harbour opens at seven. (notes.txt)" in text
        error = await ask(session, server, PICTURE, message=question, status=415)
        assert error["code"] == "unsupported_attachment"
