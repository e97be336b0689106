"""The TypeScript client behind a real nginx that somebody has set up badly."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.clients.lines import TOKENS, as_recorded, exact, reader
from tests.proxies.nginx import Nginx
from tests.proxies.process import replace

GATED = Pace(gated=True)


def spoil(nginx: Nginx, *, sockets: bool) -> str:
    """Have nginx hold back all that streams, and (unless ``sockets``) know no WebSockets. The
    configuration as it was.

    It is the compressor that holds back, when no buffering was to be turned off for it: nginx
    passes on each chunk of a body that it only buffers.
    """
    file = nginx.folder / "nginx.conf"
    shipped = file.read_text()
    buffering = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
    compressing = "gzip on; gzip_proxied any; gzip_types text/event-stream;"
    text = replace(shipped, r"^ +proxy_buffering off;", buffering)
    text = replace(text, r"^ +gzip off;", compressing)
    if not sockets:
        text, found = re.subn(r"^ +location ~ \^/api/\(ws\|.*?^ +\}\n", "", text, flags=re.M | re.S)
        assert found == 1
    file.write_text(text)
    return shipped


async def repair(nginx: Nginx, shipped: str) -> None:
    """The configuration as it was; from the next connection on it holds."""
    (nginx.folder / "nginx.conf").write_text(shipped)
    since = len(nginx.logs.encode())
    nginx.reload()
    await nginx.wait_for("exited with code 0", since)


@pytest.mark.parametrize("sockets", [True, False], ids=["WebSocket", "polling"])
async def test_what_buffers_is_left_and_come_back_to(
    serve: Serve,
    upstream: ScriptedUpstream,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    sockets: bool,
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=GATED))
    async with serve("--base-path", "/api") as server:
        nginx = Nginx(tmp_path, server.port)
        shipped = spoil(nginx, sockets=sockets)
        async with nginx, reader(nginx.url, firstSign=2500, maxDelay=0) as client:
            await client.send(ask="Go on.")
            await client.next("begun")
            upstream.release(len(TOKENS) + 1)
            answer = await client.next("answer")
            exact(answer)
            await as_recorded(session, server, answer)
            used = list(dict.fromkeys(answer["transports"]))
            assert used == ["sse", "websocket"] + ([] if sockets else ["poll"])

            await repair(nginx, shipped)
            await client.send(later=61_000)
            upstream.release(len(TOKENS) + 1)
            await client.send(ask="And on.")
            answer = await client.next("answer")
            exact(answer)
            await as_recorded(session, server, answer)
            assert answer["transports"] == ["sse"]
    assert len(upstream.requests) == 2
