"""``fairlead serve``: what it says at the start, and how it ends."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from fairlead.cli.serve import banner
from fairlead.server.config import ADD_A_MODEL, Config
from fairlead.server.settings import Secret
from fairlead.server.tables.key import Key, sha256
from fairlead.server.tables.upstream import Upstream
from tests.cli.command import run
from tests.support.server import ServerProcess

SECRET = "s3cret-that-nobody-may-see"


def said(config: Config) -> str:
    written = io.StringIO()
    banner(config, Console(file=written, width=200))
    return written.getvalue()


def test_the_banner_says_where_and_who_answers(tmp_path: Path) -> None:
    text = said(Config(data_dir=tmp_path, base_path="/api"))
    assert "http://127.0.0.1:8000/api/" in text
    assert str(tmp_path) in text
    assert "quotes the documents" in text
    assert ADD_A_MODEL in text


def test_the_banner_names_models_and_no_secret(tmp_path: Path) -> None:
    text = said(
        Config(
            data_dir=tmp_path,
            host="::",
            keys=(Key(consumer="alice", sha256=sha256(SECRET)),),
            upstream=f"https://h/v1?key={SECRET}",
            model="large",
            upstream_key=Secret(SECRET),
            upstreams=(Upstream(name="b", base_url="http://b/v1", models=("x", "y")),),
        )
    )
    assert "http://[::]:8000/" in text
    assert "large at https://h/v1?…" in text
    assert "x, y at http://b/v1" in text
    assert ADD_A_MODEL not in text
    assert SECRET not in text


def test_the_banner_warns_of_an_open_door(tmp_path: Path) -> None:
    assert "Anybody" in said(Config(data_dir=tmp_path, host="0.0.0.0", insecure=True))
    assert "Anybody" not in said(Config(data_dir=tmp_path, insecure=True))


def test_the_line_that_adds_a_model_is_right(tmp_path: Path) -> None:
    flags = ADD_A_MODEL.split()[2:]
    assert flags[::2] == ["--upstream", "--model"]
    config = Config(data_dir=tmp_path, upstream=flags[1], model=flags[3])
    assert [upstream.models for upstream in config.answerers] == [(flags[3],)]


async def test_it_serves_what_file_and_environment_say_and_ends_with_0(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text('base_path = "/from-file"\nknowledge = false')
    env = {"FAIRLEAD_CONFIG": str(file), "FAIRLEAD_DURABILITY": "memory"}
    async with ServerProcess(tmp_path / "data", env=env, executable=True) as server:
        assert server.base_path == "/from-file"
        assert await server.stop() == 0
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["secret"]


@pytest.mark.parametrize("args", [["--host", "0.0.0.0"], ["--host", "::"]])
async def test_a_public_address_without_a_key_is_refused_before_anything(
    args: list[str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    result = await run("serve", *args, "--data-dir", str(data))
    assert result.status == 2
    assert "--insecure" in result.err
    assert not data.exists()


async def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = await run("serve", "--port", port, "--data-dir", str(tmp_path))
    assert result.status == 2
    assert f"127.0.0.1:{port}" in result.err
    assert "Traceback" not in result.err


async def test_a_data_folder_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "data")
    result = await run("serve", "--port", "0", "--data-dir", folder)
    assert result.status == 2
    assert "--data-dir" in result.err
    assert "Traceback" not in result.err
