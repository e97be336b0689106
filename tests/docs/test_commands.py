"""Commands and configuration that the documentation shows: the server must take them."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fairlead.cli.main import app
from fairlead.server.config import Config
from fairlead.server.sources import load
from tests.docs.blocks import ROOT, Block, documents, marked, without_blocks

_INLINE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


def served(line: str, exported: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """The flags of ``fairlead serve`` in a line of a shell, and the variables it sets."""
    words = shlex.split(line, comments=True)
    env = dict(exported)
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    assert Path(words[0]).name == "fairlead", line
    assert words[1] == "serve", line
    return words[2:], env


def check_taken(flags: list[str], env: dict[str, str], folder: Path) -> None:
    """``fairlead config`` takes the same flags and says what ``serve`` would refuse."""
    env = {"FAIRLEAD_CONFIG": None, "HOME": str(folder), **env}  # type: ignore[dict-item]
    result = CliRunner().invoke(app, ["config", "--json", *flags], env=env)
    assert result.exit_code == 0, result.output
    assert "would refuse" not in result.output


@pytest.mark.parametrize("block", marked("serve"), ids=str)
def test_server_takes_flags_and_variables(block: Block, tmp_path: Path) -> None:
    exported: dict[str, str] = {}
    for line in block.text.splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            exported[name] = value
        else:
            check_taken(*served(line, exported), tmp_path)


@pytest.mark.parametrize("file", documents(), ids=lambda file: file.name)
def test_commands_within_sentences_are_taken(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    for match in _INLINE.finditer(without_blocks(file.read_text(encoding="utf-8"))):
        command = match[1]
        if command.startswith("fairlead serve ") and "…" not in command:
            check_taken(*served(command, {}), tmp_path)


@pytest.mark.parametrize("block", marked("config", "toml"), ids=str)
def test_configuration_file_is_taken(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text(block.text, encoding="utf-8")
    named = re.findall(r'\w+_env = "(\w+)"', block.text)
    load({}, dict.fromkeys(named, "a-key") | {"HOME": str(tmp_path)}, file).check_serving()


def test_keys_are_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    made, changed = marked("keys")
    env = {"FAIRLEAD_DATA_DIR": str(tmp_path), "FAIRLEAD_CONFIG": None, "HOME": str(tmp_path)}

    def fairlead(line: str) -> str:
        result = CliRunner().invoke(app, shlex.split(line)[1:], env=env)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    keys = [fairlead(line) for line in made.text.splitlines()]
    id = keys[0].split("_")[1]
    shown = re.search(r"rotate (\w+)", changed.text)
    assert shown is not None
    assert len(shown[1]) == len(id)
    for line in changed.text.splitlines():
        fairlead(line.replace(shown[1], id))
    listed = fairlead("fairlead keys list")
    assert re.search(rf"{id}.*revoked", listed), listed
    assert len(listed.splitlines()) >= 4


def test_unit_of_systemd_leaves_time_to_drain(tmp_path: Path) -> None:
    (block,) = marked("systemd")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    service = unit["Service"]
    flags, _ = served(service["ExecStart"], {})
    check_taken(flags, environment_file(), tmp_path)
    grace = float(flags[flags.index("--drain-grace") + 1])
    assert float(service["TimeoutStopSec"]) >= grace + 20
    assert Path(flags[flags.index("--data-dir") + 1]).name == service["StateDirectory"]


def environment_file() -> dict[str, str]:
    """The variables of the environment file beside it."""
    (block,) = marked("env")
    return dict(line.split("=", 1) for line in block.text.splitlines())


def test_environment_file_opens_a_public_server(tmp_path: Path) -> None:
    config: Config = load({"host": "0.0.0.0"}, environment_file() | {"HOME": str(tmp_path)})
    config.check_serving()
    assert config.answerers[0].api_key
    assert config.keys[0].consumer == "alice"


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    texts = [file.read_text(encoding="utf-8") for file in documents()]
    shown = {name for text in texts for name in re.findall(r"(?:^|`)make ([a-z]+)", text, re.M)}
    assert {"serve", "test", "check"} <= shown
    assert shown <= set(targets)


def test_reference_is_the_table_of_settings() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts/configuration-reference"],
        capture_output=True, check=True, text=True, encoding="utf-8",
    ).stdout  # fmt: skip
    written = (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8")
    assert written == made, (
        "run: .venv/bin/python scripts/configuration-reference > docs/reference/configuration.md"
    )
