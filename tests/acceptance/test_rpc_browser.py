"""connect-web in Chromium, on a page of another origin."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from aiohttp import web

from fairlead.testing.upstream import Answer, Pace, ScriptedUpstream
from tests.acceptance.conftest import Serve
from tests.support.node import JS, Script

TOKENS = ("断线", "之后\n", " goes on", "\u2028", "👩‍👩‍👧", " end。")
TEXT = "".join(TOKENS)
ROOT = Path(__file__).parents[2]
NOT_FOUND = 5

_MODULES = {
    "@bufbuild/protobuf": ("codegenv2", "wire", "wkt"),
    "@connectrpc/connect": ("protocol", "protocol-connect", "protocol-grpc-web"),
    "@connectrpc/connect-web": (),
}
_IMPORTS = {
    f"{name}{part and '/'}{part}": f"/modules/{name}/dist/esm/{part}{part and '/'}index.js"
    for name, parts in _MODULES.items()
    for part in ("", *parts)
}
_PAGE = f"""<!doctype html><meta charset="utf-8"><title>A frontend</title>
<script type="importmap">{json.dumps({"imports": _IMPORTS})}</script>
"""


@pytest.fixture
async def page(tmp_path: Path) -> AsyncGenerator[str, None]:
    """The origin of a page that has connect-web."""
    described = tmp_path / "descriptors.binpb"
    buf = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "buf", "build", ROOT / "proto", "-o", described
    )
    assert await buf.wait() == 0

    async def html(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def client(_: web.Request) -> web.Response:
        script = (JS / "connect-web.mjs").read_text()
        return web.Response(text=script, content_type="text/javascript")

    async def descriptors(_: web.Request) -> web.Response:
        return web.Response(body=described.read_bytes())

    app = web.Application()
    app.add_routes(
        [
            web.get("/", html),
            web.get("/client.js", client),
            web.get("/descriptors.bin", descriptors),
            web.static("/modules", JS / "node_modules"),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("kind", ["connect", "connect-binary", "grpc-web"])
async def test_a_page_asks_leaves_and_reads_on(
    serve: Serve, upstream: ScriptedUpstream, page: str, kind: str
) -> None:
    upstream.script(Answer(tokens=TOKENS, pace=Pace(gated=True)))
    async with serve("--cors-origins", page) as server, Script("browser.mjs") as browser:
        await browser.send(goto=page)
        await browser.next("page")
        how = f"'{server.url}', '{kind}'"
        await browser.send(
            run=f"import('/client.js').then((client) => client.read({how}, 'Hello?', 2))"
        )
        upstream.release(2)
        await browser.next("left")
        assert [report["text"] for report in browser.all("token")] == list(TOKENS[:2])
        upstream.release(len(TOKENS))
        assert (await browser.next("result"))["value"] == TEXT
        assert "".join(report["text"] for report in browser.all("token")) == TEXT
        assert len(browser.all("done")) == 1

        await browser.send(
            run=f"import('/client.js').then((client) => client.fails({how}, 'none'))"
        )
        assert (await browser.next("result"))["value"] == NOT_FOUND
