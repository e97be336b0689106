"""Documents that are sent to a running server, and a conversation that is searched for."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import aiohttp

from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.server import ServerProcess
from tests.support.sse import Reader

DOCUMENT = """# Skarvoy

Some words that come before it.

## The lighthouse

The lighthouse of Skarvoy was built in 1887 by the engineer Marit Lund.

## The ferry

The ferry leaves twice a day.
"""
KEYS = {"FAIRLEAD_API_KEYS": "ann=ann-key-0123456789012345678901234567"}
ANN = {"Authorization": "Bearer ann-key-0123456789012345678901234567"}


async def test_a_document_that_was_sent_is_cited_at_once(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with ServerProcess(tmp_path, "--extractive-pace", "0") as server:
        url = f"{server.url}/documents/skarvoy.md"
        async with session.put(url, data=DOCUMENT.encode()) as response:
            assert response.status == 201
            taken = await response.json()
        assert taken["address"] == "uploads/skarvoy.md"
        assert taken["outcome"] == "added"
        async with session.put(url, data=DOCUMENT.encode()) as response:
            assert (response.status, (await response.json())["outcome"]) == (200, "unchanged")
        reader = Reader(session, server.url)
        await reader.ask({"message": "When was the lighthouse of Skarvoy built?"})
        assert "1887" in reader.text
        sources = next(data["sources"] for name, data, _ in reader.events if name == "sources")
        assert {source["address"] for source in sources} == {"uploads/skarvoy.md"}

        passage = f"{server.url}/passages/{sources[0]['id']}"
        async with session.get(passage) as response:
            assert not {"before", "after"} & (await response.json()).keys()
        async with session.get(passage, params={"around": "20000"}) as response:
            found = await response.json()
        assert found["before"] + found["text"] + found["after"] == DOCUMENT
        async with session.get(passage, params={"around": "5"}) as response:
            near = await response.json()
        assert near["before"] == found["before"][-5:]
        assert near["after"] == found["after"][:5]

        async with session.get(f"{server.url}/documents") as response:
            listed = (await response.json())["documents"]
        assert [document["address"] for document in listed] == ["uploads/skarvoy.md"]
        async with session.delete(url) as response:
            assert response.status == 204
        async with session.get(f"{server.url}/documents") as response:
            assert (await response.json())["documents"] == []


async def test_what_is_no_document_is_refused_and_changes_nothing(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with ServerProcess(tmp_path) as server:

        async def refused(name: str, data: bytes) -> tuple[int, str]:
            async with session.put(
                f"{server.url}/documents/{name}", data=io.BytesIO(data)
            ) as response:
                return response.status, (await response.json())["error"]

        assert await refused("picture.png", b"\x89PNG") == (
            400,
            "'picture.png' is no document: unknown type .png; "
            "the types that are read are .md, .markdown, .txt, .rst",
        )
        status, error = await refused("binary.txt", b"a\0b")
        assert (status, "binary" in error) == (400, True)
        assert (await refused("empty.md", b" "))[0] == 400
        assert (await refused("large.txt", b"x" * 5_000_001))[0] == 413
        assert (await refused("n" * 300 + ".md", b"x"))[0] == 400
        async with session.get(f"{server.url}/documents") as response:
            addresses = {d["address"] for d in (await response.json())["documents"]}
        assert not any(address.startswith("uploads/") for address in addresses)


async def test_only_the_operator_sends_documents(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with ServerProcess(tmp_path, env=KEYS) as server:
        for method, path in (("PUT", "/documents/a.md"), ("GET", "/documents")):
            async with session.request(method, server.url + path, headers=ANN) as response:
                assert response.status == 404
            async with session.request(method, server.url + path) as response:
                assert response.status == 401
        async with session.get(f"{server.url}/info", headers=ANN) as response:
            info = await response.json()
        assert info["documents"] is None
        assert info["attachments"]["number"] == 8


async def test_conversations_are_found_by_title_and_text(
    serve: Serve, session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    upstream.script(Answer(text="A pear is a fruit."), Answer(text="100% of Äpfel_sind rot."))
    async with serve() as server:
        for question in ("About pears", "About apples"):
            await Reader(session, server.url).ask({"message": question})

        async def found(search: str) -> list[str]:
            url = f"{server.url}/conversations"
            async with session.get(url, params={"search": search}) as response:
                assert response.status == 200
                page = (await response.json())["conversations"]
            return [conversation["title"] for conversation in page]

        async with asyncio.timeout(90):
            while await found("fruit") != ["About pears"]:  # kept just after the last event
                pass
            while await found("100%") != ["About apples"]:
                pass
        assert await found("PEARS") == ["About pears"]
        assert await found("l_s") == ["About apples"]
        assert await found("A%s") == []
        assert await found("") == ["About apples", "About pears"]
        async with session.get(f"{server.url}/conversations") as response:
            assert [c["status"] for c in (await response.json())["conversations"]] == [
                "completed",
                "completed",
            ]
        async with session.get(
            f"{server.url}/conversations", params={"search": "x" * 201}
        ) as response:
            assert response.status == 400
