"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.testing.upstream import ScriptedUpstream
from tests.page.driving import serving


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
async def url(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[str]:
    async with serving(tmp_path / "data", upstream) as server:
        yield server.url
