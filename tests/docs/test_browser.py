"""The documentation's snippets for browsers, and the example page, in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, marked
from tests.support.server import ServerProcess

_LIBRARY = ROOT / "tests/js/node_modules/@microsoft/fetch-event-source/lib/esm"
_SCRIPT = ROOT / "tests/js/docs.mjs"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def pages(folder: Path) -> Generator[str]:
    """Serves a folder's pages, as ``python -m http.server`` does; their origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def chromium(options: dict[str, Any]) -> dict[str, Any]:
    """What the script saw."""
    node = await asyncio.create_subprocess_exec(
        "node", str(_SCRIPT), json.dumps(options),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(240):
        out, err = await node.communicate()
    assert node.returncode == 0, err.decode()
    seen: dict[str, Any] = json.loads(out)
    return seen


async def test_snippets_and_the_example_page_work(tmp_path: Path) -> None:
    blocks = marked("browser")
    options = {
        "blocks": [{"name": str(b), "kind": b.value, "code": b.text} for b in blocks],
        "library": str(_LIBRARY),
    }
    with pages(ROOT / "examples") as origin:
        cors = ("--cors-origins", origin)
        async with (
            ServerProcess(tmp_path / "quick", *cors, "--extractive-pace", "0.01") as quick,
            ServerProcess(tmp_path / "slow", *cors, "--extractive-pace", "3") as slow,
        ):
            options |= {"url": quick.url, "slow": slow.url, "page": f"{origin}/chat.html"}
            seen = await chromium(options)
    for block in blocks:
        got = seen[str(block)]
        match block.value:
            case "source":
                assert got["text"], block
                assert got["closed"], block
            case "await":
                assert "Last-Event-ID" in got["text"], block
            case "stop":
                assert got["status"] in ("stopped", "completed"), block
            case other:
                raise AssertionError(f"{block}: browser={other} means nothing here")
    assert "Last-Event-ID" in seen["page"]["text"]
    assert seen["page"]["stopped"]
