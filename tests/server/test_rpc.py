"""What a server says whose installation lacks the extra ``rpc``."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import Misconfigured, NotFound
from fairlead.server import rpc
from fairlead.server.composition import compose
from fairlead.server.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path, durability="memory", knowledge=False)


async def test_without_the_extra_callers_and_operators_are_told_what_to_install(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "AVAILABLE", False)
    with pytest.raises(Misconfigured, match=r"grpc_port.*fairlead\[rpc\]"):
        rpc.check_available()
    async with compose(config) as system:
        route = rpc.route(system)
        with pytest.raises(NotFound, match=r"fairlead\[rpc\]"):
            await route.app({"type": "http"}, _unread, _unsent)


async def _unread() -> MutableMapping[str, Any]:
    raise AssertionError("nothing is read")


async def _unsent(_: MutableMapping[str, Any]) -> None:
    raise AssertionError("nothing is sent")


def test_the_two_ports_differ(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="grpc_port: 8000 is the main port"):
        Config(data_dir=tmp_path, grpc_port=8000)
