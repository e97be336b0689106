"""The plugins of examples/, in real servers."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fairlead.plugins import Chunk
from fairlead.policy.caller import ANONYMOUS
from fairlead.testing.upstream import Answer, ScriptedUpstream
from tests.plugins.conftest import Serve
from tests.support.sse import Reader

EXAMPLES = Path(__file__).parents[2] / "examples" / "plugins"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: What is written, and what is shown of it.
TEXTS = {
    "Write to jo.hn+x@mail.example.org now.": "Write to [e-mail] now.",
    "Call +49 (170) 123-4567, or 030/123456!": "Call [phone], or [phone]!",
    "Card 4111 1111 1111 1111. Bye": "Card [card]. Bye",
    "Card 4111-1111-1111-1111": "Card [card]",
    "4111111111111111": "[card]",
    "No card 4111 1111 1111 1112, in 2026, at 12:30, 3.14159265": (
        "No card 4111 1111 1111 1112, in 2026, at 12:30, 3.14159265"
    ),
    "a@b is no address, @you neither, x1234567 no number": (
        "a@b is no address, @you neither, x1234567 no number"
    ),
    "1 2 3 and (4)": "1 2 3 and (4)",
}


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_masked_however_it_is_split(text: str) -> None:
    mask = example("pii").Mask()

    def shown(pieces: list[str]) -> str:
        one = mask.begin(ANONYMOUS)
        made: str = ""
        held: str = ""
        for piece in pieces:
            now, held = one.write(Chunk(held + piece, "text", 0, False))
            assert len(held) <= one.max_held
            made += now
        now, held = one.write(Chunk(held, "text", 0, True))
        assert held == ""
        return str(made + now)

    assert shown([text]) == TEXTS[text]
    assert shown(list(text)) == TEXTS[text]
    for first in range(1, len(text)):
        assert shown([text[:first], text[first:]]) == TEXTS[text]
        for second in range(first + 1, len(text), 3):
            pieces = [text[:first], text[first:second], text[second:]]
            assert shown(pieces) == TEXTS[text], pieces


async def test_personal_data_is_masked_in_questions_and_in_answers_over_tokens(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    said = "Write to jo.hn@mail.example.org or pay with 4111 1111 1111 1111. Bye"
    upstream.script(Answer(tokens=list(said)))  # one character in each
    config = f'knowledge = false\nplugins = ["{EXAMPLES}/pii.py:Mask"]'
    async with serve(config, upstream=upstream) as server:
        reader = Reader(session, server.url)
        await reader.ask({"message": "I am a@b.org, call +1 202 555 0123"})
        assert reader.text == "Write to [e-mail] or pay with [card]. Bye"
        request = await upstream.wait_request()
        assert request.json["messages"][-1]["content"] == "I am [e-mail], call [phone]"
        # Nor is it in what is kept.
        assert (await reader.document())["text"] == reader.text
        # What was written is charged for, and not what was shown.
        (usage,) = [data for name, data, _ in reader.events if name == "usage"]
        assert usage["output_tokens"] >= len(said)


async def test_request_in_a_vendors_words_is_masked_too(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    config = f'knowledge = false\nplugins = ["{EXAMPLES}/pii.py:Mask"]'
    async with serve(config, upstream=upstream) as server:
        body = {"model": "echo", "messages": [{"role": "user", "content": "I am a@b.org"}]}
        url = f"{server.url}/v1/chat/completions"
        async with session.post(url, json=body) as response:
            answer = await response.json()
        request = await upstream.wait_request()
        assert request.json["messages"][-1]["content"] == "I am [e-mail]"
        assert answer["choices"][0]["message"]["content"] == "I am [e-mail]"


async def test_the_web_is_searched_and_what_was_found_can_be_read_later(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    asked: list[dict[str, str]] = []

    async def search(request: web.Request) -> web.Response:
        asked.append({**request.query, "key": request.headers["Authorization"]})
        page = {"url": "https://tide.example/", "title": "Tides", "text": "High tide is at six."}
        return web.json_response({"results": [page]})

    app = web.Application()
    app.router.add_get("/search", search)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/search"
    config = f"""
knowledge = false
[[plugins]]
use = "{EXAMPLES}/web_search.py:WebSearch"
name = "web"
options = {{ url = "{url}" }}
"""
    server = serve(config, upstream=upstream)
    server.env["SEARCH_KEY"] = "k"
    try:
        async with server:
            reader = Reader(session, server.url)
            await reader.ask({"message": "When is high tide?"})
            assert asked == [{"q": "When is high tide?", "count": "5", "key": "Bearer k"}]
            (found,) = [data for name, data, _ in reader.events if name == "sources"]
            (source,) = found["sources"]
            assert source["title"] == "Tides"
            assert source["address"] == "https://tide.example/"
            request = await upstream.wait_request()
            assert "High tide is at six." in str(request.json["messages"])
            assert await passage(session, server.url, source["id"]) == "High tide is at six."
            await server.kill()
            await server.start()
            assert await passage(session, server.url, source["id"]) == "High tide is at six."
            # A source that does not answer fails the question, by name.
            await runner.cleanup()
            reader = Reader(session, server.url)
            await reader.ask({"message": "And low tide?"})
            assert reader.end["code"] == "plugin_failed"
            assert "'web'" in reader.end["error"]
    finally:
        await runner.cleanup()


async def passage(session: aiohttp.ClientSession, url: str, id: str) -> Any:
    async with session.get(f"{url}/passages/{id}") as response:
        return (await response.json())["text"]


async def test_answer_is_ended_and_question_refused_by_moderation(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    said = "First you take some Gunpowder, then"
    upstream.script(Answer(tokens=[said[n : n + 3] for n in range(0, len(said), 3)]))
    config = f"""
knowledge = false
plugins = [{{ use = "{EXAMPLES}/moderation.py:Moderation", options = {{ words = ["gunpowder"] }} }}]
"""
    async with serve(config, upstream=upstream) as server:
        reader = Reader(session, server.url)
        await reader.ask({"message": "How?"})
        assert reader.text
        assert said.startswith(reader.text)
        assert "g" not in reader.text.lower()
        assert reader.end == {
            "error": "the answer was ended: it came to what is not talked about here",
            "code": "moderated",
            "retryable": False,
        }
        assert (await reader.document())["text"] == reader.text
        await upstream.wait_request()
        reader = Reader(session, server.url)
        await reader.ask({"message": "How is gunpowder made?"})
        assert reader.end["code"] == "moderated"
        assert reader.end["error"] == "this is not talked about here"
        # The model was not asked.
        assert len(upstream.requests) == 1


async def test_small_plugins_know_callers_and_tenants(
    serve: Serve, session: aiohttp.ClientSession
) -> None:
    digest = hashlib.sha256(b"badge-7").hexdigest()
    config = f"""
knowledge = false
plugins = [
    {{ use = "{EXAMPLES}/small.py:Staff", options = {{ badges = {{ {digest} = "bob" }} }} }},
    "{EXAMPLES}/small.py:Tenants",
    "{EXAMPLES}/small.py:Tenant",
    "{EXAMPLES}/small.py:parrot",
]
budgets = [{{ name = "once", limit = 1, unit = "requests", keyed_by = ["plugin:Tenant"] }}]
"""
    async with serve(config) as server:

        async def ask(badge: str, tenant: str) -> tuple[int, dict[str, Any]]:
            headers = {"authorization": f"Bearer {badge}", "accept": "application/json"}
            headers |= {"x-tenant": tenant} if tenant else {}
            url = f"{server.url}/chat/stream"
            async with session.post(url, json={"message": "Hi"}, headers=headers) as response:
                return response.status, await response.json()

        reader = Reader(session, server.url)
        await reader.ask({"message": "Hi"}, authorization="Bearer badge-7", **{"x-tenant": "Acme"})
        assert reader.text == "You said: Hi"
        assert (await ask("badge-8", "Acme"))[0] == 401
        status, problem = await ask("badge-7", "")
        assert (status, problem["error"]) == (403, "name your tenant in the header X-Tenant")
        status, problem = await ask("badge-7", "ACME")
        assert (status, problem["code"]) == (429, "budget_exhausted")
