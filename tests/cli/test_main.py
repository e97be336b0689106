"""What the commands teach, how quickly, and how they refuse."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fairlead
from fairlead.server.config import SETTINGS
from tests.cli.command import COMMAND, run


async def test_help_names_the_commands_with_examples() -> None:
    result = await run("--help", program=COMMAND)
    assert result.status == 0
    for word in ("serve", "ask", "ingest", "config", "--version", 'fairlead ask "'):
        assert word in result.out


async def test_version() -> None:
    result = await run("--version", program=COMMAND)
    assert (result.status, result.out) == (0, f"fairlead {fairlead.__version__}\n")


@pytest.mark.parametrize("command", ["serve", "ask", "ingest", "config"])
async def test_each_command_has_examples(command: str) -> None:
    result = await run(command, "--help")
    assert result.status == 0
    assert "Examples:" in result.out
    assert f"fairlead {command}" in result.out


async def test_serve_shows_every_setting_in_one_table() -> None:
    help_text = (await run("serve", "--help")).out
    assert help_text.count("Default") == 1
    for setting in SETTINGS:
        assert (setting.flag or setting.env or f"[[{setting.name}]]") in help_text
        assert setting.env in help_text


@pytest.mark.parametrize("args", [["--help"], ["serve", "--help"], ["ask", "--help"], ["config"]])
async def test_no_server_is_imported_to_say_so(args: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from fairlead.cli.main import main\n"
        f"sys.argv = ['fairlead', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'fastapi', 'starlette', 'uvicorn', 'aiohttp', 'apsw', 'uvloop', 'structlog'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    result = await run("-c", code, cwd=tmp_path, program=sys.executable)
    assert result.out.endswith("HEAVY []\n"), result


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["serve", "--port", "eighty"], ["port (flag --port)", "65535"]),
        (["serve", "--host", "0.0.0.0"], ["--insecure", "FAIRLEAD_API_KEYS"]),
        (["serve", "--config", "none.toml"], ["none.toml", "--config"]),
        (["config", "--durability", "disk"], ["memory, process, power"]),
        (["ingest", "--config", "none.toml", "x"], ["none.toml"]),
        (["serve", "--prot", "1"], ["--prot"]),
        (["ask"], ["question", "--attach"]),
        (["ingest"], ["PATH"]),
        (["sevre"], ["sevre"]),
    ],
)
async def test_wrong_usage_is_said_in_words(
    args: list[str], words: list[str], tmp_path: Path
) -> None:
    result = await run(*args, cwd=tmp_path)
    assert result.status == 2
    assert result.out == ""
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err
