"""The logs hold no secrets, not even those of a request that failed for an unforeseen reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, ScriptedUpstream, Status
from tests.support.server import ServerProcess
from tests.support.websocket import Client

_PROGRAM = """
import sys
import structlog
from fairlead.server.telemetry import configure_logs

configure_logs(sys.argv[1], "info")


def fail(authorization):
    raise RuntimeError("unforeseen")


try:
    fail("Bearer " + "sk-" + "very-secret")
except RuntimeError as error:
    structlog.get_logger("x").error("unforeseen_error", exc_info=error)
"""


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_shows_no_values(format: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, format], capture_output=True, text=True, check=True
    )
    assert "unforeseen" in done.stderr
    assert "fail" in done.stderr, "the traceback itself is there"
    assert "very-secret" not in done.stderr


async def test_no_secret_and_no_prompt_is_in_any_log(tmp_path: Path) -> None:
    """At the most talkative, with what goes well and what fails."""
    key, upstream_key, prompt, word = "k3y-0f-al1ce", "upstr3am-k3y", "pr0mpt-w0rds", "answ3r"
    secrets = {key, upstream_key, prompt, word, "c00kie", "t1cket", "wr0ng-key", "qu3ry"}
    async with ScriptedUpstream(api_key=upstream_key) as upstream:
        upstream.script(
            Answer(text=f"{word} one two."),
            Status(400, f"no: {prompt}"),
            Status(500, f"{prompt} {upstream_key}"),
            Answer(text=f"{word} one two."),
        )
        server = ServerProcess(
            tmp_path, "--no-knowledge", "--upstream", upstream.base_url, "--model", "m",
            "--log-level", "debug",
            env={"FAIRLEAD_API_KEYS": f"alice={key}", "FAIRLEAD_UPSTREAM_KEY": upstream_key},
        )  # fmt: skip
        mine = {"Authorization": f"Bearer {key}"}
        async with server, aiohttp.ClientSession() as http:

            async def ask(method: str, path: str, status: int, **more: object) -> bytes:
                async with http.request(method, server.url + path, **more) as response:  # type: ignore[arg-type]
                    assert response.status == status, await response.text()
                    return await response.read()

            for status in (200, 200, 200):  # an error after the first event is told in the stream
                body = {"message": prompt}
                await ask("POST", "/chat/stream", status, json=body, headers=mine)
            await ask("POST", "/chat/stream", 400, data=f"{{{prompt}", headers=mine)
            await ask("POST", "/chat/stream", 400, json={"what": prompt}, headers=mine)
            await ask("GET", f"/info?x=qu3ry&ticket=t1cket-{key}", 401)
            await ask("GET", "/info", 401, headers={"Authorization": "Bearer wr0ng-key"})
            await ask("GET", "/info", 401, headers={"Cookie": "fairlead=c00kie"})
            made = json.loads(await ask("POST", "/tickets", 200, headers=mine))["ticket"]
            path = f"/chat/stream?message={prompt}&ticket={made}"
            await ask("GET", path, 200)
            await ask("GET", path, 401)
            async with Client(
                server.url, subprotocols=["fairlead.v1", f"fairlead.key.{key}"]
            ) as socket:
                await socket.ask(prompt)
                await socket.send("authenticate", token=key)
                await socket.send(prompt)
                await socket.answer("error")
            assert await server.stop() == 0
        told = "".join(server._raw)
    assert told.count("generation_ended") == 5
    assert told.count("request_answered") >= 11
    for secret in (*secrets, made, made[4:]):
        assert secret not in told, secret
