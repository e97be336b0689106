"""A web page on an origin of its own, with the articles' client: a frontend as one deploys it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from tests.support.node import JS

_LIBRARY = JS / "node_modules/@microsoft/fetch-event-source/lib/esm"
_PAGE = """<!doctype html><meta charset="utf-8"><title>A frontend</title>
<script type="importmap">{"imports": {"@microsoft/fetch-event-source": "/library/index"}}</script>
"""


class Frontend(NamedTuple):
    """The two origins of one page. For a browser ``localhost`` and ``127.0.0.1`` are different
    sites; two ports of one host are different origins of one site."""

    cross_site: str
    same_site: str


@asynccontextmanager
async def frontend() -> AsyncGenerator[Frontend]:
    """Serves the page until the end of the block."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def client(_: web.Request) -> web.Response:
        return _script((JS / "chat-client.mjs").read_text())

    async def library(request: web.Request) -> web.Response:
        # The library's modules import each other without the suffix, as bundlers allow.
        return _script((_LIBRARY / f"{request.match_info['name']}.js").read_text())

    app = web.Application()
    app.add_routes(
        [
            web.get("/", page),
            web.get("/client.js", client),
            web.get("/library/{name:[a-z]+}", library),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield Frontend(f"http://localhost:{port}", f"http://127.0.0.1:{port}")
    finally:
        await runner.cleanup()


def _script(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/javascript")
