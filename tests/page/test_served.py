"""How the page is served, what it weighs, and its own tests of its logic."""

from __future__ import annotations

import asyncio
import gzip
import re
from pathlib import Path

import aiohttp
import pytest

from fairlead.server.page import page

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture
async def session(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(url)


async def test_files_are_guarded_kept_and_light(session: aiohttp.ClientSession) -> None:
    async with session:
        async with session.get("/") as response:
            index = await response.text()
            assert response.status == 200
            assert response.headers["cache-control"] == "no-cache"
            policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        # Nothing in the page itself would need an exception.
        assert "<style" not in index
        assert " style=" not in index
        assert not re.search(r"<script(?![^>]*\ssrc=)", index)

        scripts = re.findall(r'src="\./(assets/[^"]+\.js)"', index)
        preloaded = re.findall(r'rel="modulepreload"[^>]*href="\./([^"]+)"', index)
        total = 0
        for path in {*scripts, *preloaded}:
            assert re.search(r"-[\w-]{8}\.js$", path)
            async with session.get(f"/{path}") as response:
                assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
                assert response.headers["x-content-type-options"] == "nosniff"
                total += len(gzip.compress(await response.read()))
        assert 0 < total <= 200_000

        async with session.get("/assets/nothing.js") as response:
            assert response.status == 404
            assert (await response.json())["code"] == "not_found"


async def test_a_server_without_its_page_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fairlead.server.page._PACKED", tmp_path)
    monkeypatch.setattr("fairlead.server.page._BUILT", tmp_path)
    said: list[dict[str, object]] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        said.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    await page()({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    assert said[0]["status"] == 404
    assert b"make page" in said[1]["body"]  # type: ignore[operator]


async def test_the_logic_of_the_page() -> None:
    process = await asyncio.create_subprocess_exec(
        "node_modules/.bin/vitest", "run", "--silent=passed-only",
        cwd=WEB, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
