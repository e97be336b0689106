"""``fairlead config``."""

from __future__ import annotations

import json
from pathlib import Path

from fairlead.server.config import SETTINGS
from tests.cli.command import run

SECRET = "s3cret-that-nobody-may-see"


async def test_it_shows_values_and_their_origins(tmp_path: Path) -> None:
    (tmp_path / "fairlead.toml").write_text("port = 9000\nretry = 1")
    result = await run("config", "--json", "--port", "9001", cwd=tmp_path, FAIRLEAD_HEARTBEAT="20")
    assert result.status == 0
    rows = {row["name"]: (row["value"], row["origin"]) for row in json.loads(result.out)}
    assert list(rows) == [setting.name for setting in SETTINGS]
    assert rows["port"] == ("9001", "flag --port")
    assert rows["heartbeat"] == ("20", "variable FAIRLEAD_HEARTBEAT")
    assert rows["retry"] == ("1", "fairlead.toml: retry")
    assert rows["deadline"] == ("3600", "default")


async def test_people_get_a_table(tmp_path: Path) -> None:
    result = await run("config", cwd=tmp_path)
    assert result.status == 0
    # A long value goes on in the lines below.
    names = [line.split(" ")[0] for line in result.out.splitlines() if not line.startswith(" ")]
    assert names == ["Setting", *(setting.name for setting in SETTINGS)]
    assert result.err == ""


async def test_secrets_are_masked(tmp_path: Path) -> None:
    for args in (["config"], ["config", "--json"]):
        result = await run(
            *args,
            "--upstream",
            f"http://h/v1?key={SECRET}",
            "--model",
            "m",
            cwd=tmp_path,
            FAIRLEAD_UPSTREAM_KEY=SECRET,
            FAIRLEAD_API_KEYS=f"alice={SECRET}",
        )
        assert result.status == 0
        assert "alice" in result.out
        assert "(set)" in result.out
        assert SECRET not in result.out + result.err


async def test_it_says_what_serve_would_refuse(tmp_path: Path) -> None:
    result = await run("config", "--host", "0.0.0.0", cwd=tmp_path)
    assert result.status == 0
    assert "serve would refuse this: host" in result.err
