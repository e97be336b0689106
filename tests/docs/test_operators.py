"""What the documentation shows to operators: text in the terminal, and lines of the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.blocks import Block, marked
from tests.docs.conftest import Servers
from tests.docs.test_shell import output_of, run
from tests.support.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ENVIRONMENT: dict[str, Any] = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}


async def answered(servers: Servers) -> ServerProcess:
    """The server, which has answered a question with an id of the request."""
    server = await servers("")
    ask = f"curl -s '{server.url}/chat/stream?message=position' -H 'X-Request-Id: order-1042'"
    await run(ask, server)
    await server.wait_log(lambda line: line["event"] == "generation_ended")
    return server


@pytest.mark.parametrize("block", marked("look"), ids=str)
async def test_the_output_has_the_lines_that_are_shown(block: Block, servers: Servers) -> None:
    server = await answered(servers)
    # A command finds its server by this variable, as another example's reader would set it.
    script = f"export FAIRLEAD_SERVER={server.url}\n{block.text}"
    shown = output_of(block)
    assert shown is not None, "say what it puts out"
    lines = (await run(script, server, **_ENVIRONMENT)).replace("\r", "").split("\n")
    for line in shown.text.splitlines():
        begins, _, _ = line.partition("…")
        assert any(real.startswith(begins.rstrip()) for real in lines), f"{line}\n{lines}"


@pytest.mark.parametrize("block", marked("log"), ids=str)
async def test_a_line_of_the_log_has_the_keys_that_are_shown(
    block: Block, servers: Servers
) -> None:
    server = await answered(servers)
    real = await server.wait_log(lambda line: line["event"] == block.value)
    shown = json.loads(block.text)
    assert list(shown) == list(real)
    assert {name: type(value) for name, value in shown.items()} == {
        name: type(value) for name, value in real.items()
    }
