"""A WebSocket behind the real nginx, with the configuration in ``deploy/nginx.conf``."""

from __future__ import annotations

from pathlib import Path

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.articles.conftest import Serve
from tests.proxies.nginx import Nginx
from tests.support.websocket import Client

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
TEXT = "".join(TOKENS)


async def test_each_event_arrives_at_once_and_a_killed_nginx_loses_nothing(
    serve: Serve, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve("--base-path", "/api")
    async with Nginx(tmp_path, server.port) as nginx:
        # As a page on nginx's own origin does.
        client = Client(nginx.url, "/ws/me", origin=f"http://127.0.0.1:{nginx.port}")
        async with client:
            stream = await client.ask("Hi")
            for n in range(3):
                upstream.release()
                await client.events(stream, n + 2)
            await nginx.kill()
            await client.closed()
            upstream.release(len(TOKENS))
            await nginx.start()
            await client.connect()
            await client.send("attach", stream=stream, after=client.streams[stream].position)
            await client.end(stream)
        assert client.streams[stream].text == TEXT
    assert len(upstream.requests) == 1
