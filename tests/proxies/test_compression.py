"""Compressed streams on their way through the real nginx, and in a real browser behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fairlead.testing.toxic import ToxicProxy
from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.articles.conftest import Connect, Serve
from tests.proxies.nginx import Nginx
from tests.support.node import Script

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
ON = ("--compression", "on", "--base-path", "/api", "--heartbeat", "0.2")

#: Reads a response as it comes, and reports every whole event and every sign of life.
READ = """
(async () => {
  const response = await fetch("/api/chat/stream?message=Hi", { headers: HEADERS });
  const decoder = new TextDecoder();
  let text = "";
  report({ is: "open", type: response.headers.get("content-type") });
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    for (let end; (end = text.indexOf("\\n\\n")) >= 0; text = text.slice(end + 2)) {
      const block = Object.fromEntries(
        text.slice(0, end).split("\\n").filter((line) => !line.startsWith(":"))
          .map((line) => line.split(/: (.*)/s, 2)),
      );
      report({ is: block.event, data: JSON.parse(block.data) });
    }
    if (text.startsWith(": heartbeat")) report({ is: "alive" });
  }
  report({ is: "end" });
})().catch((error) => report({ is: "failed", error: String(error) })), null
"""


def answers(line: ToxicProxy) -> list[dict[str, str]]:
    """The headers of the requests for answers."""
    return [headers for _, target, headers in line.requests if "/chat/stream" in target]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_nginx_passes_each_event_on_before_the_next_one_is_made(
    serve: Serve, upstream: ScriptedUpstream, tmp_path: Path, coding: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    server = await serve(*ON)
    async with (
        Nginx(tmp_path, server.port) as nginx,
        aiohttp.ClientSession() as session,
        session.post(
            f"{nginx.url}/chat/stream", json={"message": "Hi"}, headers={"Accept-Encoding": coding}
        ) as response,
    ):
        assert response.headers["Content-Encoding"] == coding
        assert b"event: thinking" in await response.content.readuntil(b"\n\n")
        for token in TOKENS:
            upstream.release()
            block = await response.content.readuntil(b"\n\n")
            assert json.loads(block.partition(b"data: ")[2].partition(b"\n")[0]) == {"token": token}
        upstream.release()
        assert b"event: done" in await response.content.read()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_chromium_shows_each_event_before_the_next_one_is_made(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect, tmp_path: Path, coding: str
) -> None:
    """``fetch`` and its stream, through nginx; what Chromium itself asks for is gzip."""
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve(*ON))
    nginx = Nginx(tmp_path, line.port)
    if coding != "gzip":
        preferring(nginx, coding)
    async with nginx, Script("browser.mjs") as browser:
        await goto(browser, f"{nginx.url}/health/live")
        await run(browser, READ.replace("HEADERS", "{}"))
        assert (await browser.next("open"))["type"] == "text/event-stream"
        await browser.next("thinking")
        for token in TOKENS:
            upstream.release()
            assert (await browser.next("token"))["data"] == {"token": token}
        await browser.next("alive")
        upstream.release()
        await browser.next("done")
        await browser.next("end")
    assert coding in answers(line)[0]["accept-encoding"]
    assert f"content-encoding: {coding}".encode() in received(line)


async def test_eventsource_resumes_in_the_midst(
    serve: Serve, upstream: ScriptedUpstream, connect: Connect
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    line = await connect(await serve(*ON))
    async with Script("browser.mjs") as browser:
        await goto(browser, f"{line.url}/health/live")
        await run(browser, "listen('/api/chat/stream?message=Hi')")
        await browser.next("thinking")
        seen = ""
        for _ in TOKENS[:3]:
            upstream.release()
            seen += (await browser.next("token"))["data"]["token"]
            line.cut()
            await browser.next("broken", closed=False)
        upstream.release(len(TOKENS))
        done = await browser.next("done")
        await browser.next("broken", closed=True)
    tokens = [report["data"]["token"] for report in browser.all("token")]
    assert "".join(tokens) == "".join(TOKENS)
    assert answers(line)[-1]["last-event-id"] == done["id"]
    assert b"content-encoding: gzip" in received(line)


def preferring(nginx: Nginx, coding: str) -> None:
    """Have nginx ask for another coding than the browser does first."""
    file = nginx.folder / "nginx.conf"
    text = file.read_text()
    file.write_text(
        text.replace(
            "proxy_buffering off;",
            f'proxy_buffering off; proxy_set_header Accept-Encoding "{coding}";',
        )
    )


def received(line: ToxicProxy) -> bytes:
    """The heads of all that the server sent over the line."""
    return b"".join(bytes(link.received) for link in line.links).lower()


async def goto(browser: Script, url: str) -> None:
    await browser.send(goto=url)
    await browser.next("page")


async def run(browser: Script, expression: str) -> Any:
    await browser.send(run=expression)
    return (await browser.next("result"))["value"]
