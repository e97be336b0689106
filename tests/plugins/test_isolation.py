"""A broken plugin is named, fails its request closed, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import ScriptedUpstream
from tests.plugins.conftest import Serve
from tests.support.server import ServerProcess
from tests.support.sse import Reader

BROKEN = (Path(__file__).parent / "broken.py").read_text()

CONFIG = """
knowledge = false
budgets = [{ name = "day", limit = 100000000, keyed_by = ["plugin:Purse"] }]
plugins = [
    { use = "./broken.py:Prompt", timeout = 0.3 },
    "./broken.py:Stream",
    { use = "./broken.py:AsyncStream", timeout = 0.3 },
    { use = "./broken.py:Search", timeout = 0.3 },
    { use = "./broken.py:Model", timeout = 0.3 },
    "./broken.py:Door",
    { use = "./broken.py:Purse", timeout = 0.3 },
]
"""

#: How each breaks, and how that is called.
IN_A_STREAM = {
    "Prompt": ("prompt", "raise exit block cancel wrong empty endless hang stubborn"),
    "Stream": ("stream", "raise exit spin cancel wrong endless hoard"),
    "AsyncStream": ("slow", "raise exit cancel wrong hang stubborn"),
    "Search": ("search", "raise exit cancel wrong empty hang"),
    "Model": ("model", "raise exit block cancel wrong hang"),
}
LATE = ("block", "spin", "hang", "stubborn")


async def ask(session: aiohttp.ClientSession, server: ServerProcess, text: str) -> Reader:
    reader = Reader(session, server.url)
    model = "Model" if text.startswith("model") else "echo"
    await reader.ask({"message": text, "model": model})
    return reader


async def test_whatever_breaks_ends_its_answer_and_no_other(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(CONFIG, upstream=upstream, broken=BROKEN) as server:
        for name, (where, ways) in IN_A_STREAM.items():
            for way in ways.split():
                bad, good = await asyncio.gather(
                    ask(session, server, f"{where} {way}"), ask(session, server, "this is fine")
                )
                said = f"{name} {way}"
                assert good.text == "this is fine", said
                assert good.end["status"] == "completed", said
                assert bad.end.get("code") == "plugin_failed", (said, bad.end)
                why = "took too long" if way in LATE else "failed; its log says why"
                assert bad.end["error"] == f"the plugin '{name}' of this server {why}", said
                assert not bad.end["retryable"]
                # Closed: of what a transform could not judge nothing is shown.
                assert f"{where} {way}" not in bad.text, said
                line = await server.wait_log(
                    lambda line, name=name: (  # type: ignore[misc]
                        line["event"] == "plugin_failed" and line["plugin"] == name
                    )
                )
                assert line["level"] == "error"
                server.logs.clear()
        assert await _secret_is_in_the_log_only(session, server)
        # Some cannot even be cancelled, and are there still.
        assert await server.stop() == 0


async def _secret_is_in_the_log_only(session: aiohttp.ClientSession, server: ServerProcess) -> bool:
    reader = await ask(session, server, "prompt raise")
    line = await server.wait_log(lambda line: line["event"] == "plugin_failed")
    assert "the secret of the inside" in str(line["exception"])
    assert "broken.py" in str(line["exception"])
    return "secret" not in str(reader.events)


async def test_requests_that_cannot_be_judged_do_not_come_in(
    serve: Serve, upstream: ScriptedUpstream, session: aiohttp.ClientSession
) -> None:
    async with serve(CONFIG, upstream=upstream, broken=BROKEN) as server:
        cases = [("Door", "rule", way) for way in ("raise", "exit", "block", "cancel", "wrong")]
        cases += [("Purse", "purse", way) for way in ("raise", "exit", "spin", "cancel", "wrong")]
        for name, where, way in cases:
            headers = {"x-break": f"{where} {way}"}
            url = f"{server.url}/chat/stream"
            async with session.post(url, json={"message": "Hi"}, headers=headers) as response:
                assert response.status == 500
                problem = await response.json()
            assert problem["code"] == "plugin_failed"
            assert problem["plugin"] == name
            assert name in problem["error"]
            assert "secret" not in str(problem)
        # Whether the process lives is not for a plugin to say.
        async with session.get(f"{server.url}/health/live", headers=headers) as response:
            assert response.status == 200
        assert (await ask(session, server, "Hi")).text == "Hi"


async def test_plugin_that_cannot_be_keeps_the_server_from_starting(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve('plugins = ["./mine.py:Mask"]', mine="class Mask(:")
    with pytest.raises(AssertionError) as caught:
        await server.start()
    assert server.process is not None
    assert await server.process.wait() != 0
    assert f"plugins: Mask ({tmp_path / 'mine.py'}:Mask): SyntaxError" in str(caught.value)
