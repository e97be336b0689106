"""Plugins are found, made and refused, with a reason, before anything changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.errors import Misconfigured
from fairlead.plugins import Provider, Rule
from fairlead.server.plugins import Plugins
from fairlead.server.tables.plugin import PluginTable
from fairlead.stores.memory_passages import MemoryPassages


async def load(folder: Path, use: str, before: Plugins | None = None) -> Plugins:
    table = PluginTable(use=use)
    if wrong := PluginTable.check((table,)):
        raise Misconfigured(wrong)
    return await Plugins.load([table.within(folder)], MemoryPassages(), before)


REFUSED = {
    "no such file": ("./gone.py:Mask", "", "there is no file"),
    "no such name": ("./mine.py:Mask", "class Other: pass", "there is no Mask in it"),
    "syntax": ("./mine.py:Mask", "class Mask(:", "SyntaxError"),
    "import": ("./mine.py:Mask", "import no_such_module", "ModuleNotFoundError"),
    "exit": ("./mine.py:Mask", "import sys; sys.exit(0)", "SystemExit"),
    "no plugin": ("./mine.py:Mask", "class Mask: pass", "Mask is no plugin"),
    "a number": ("./mine.py:Mask", "Mask = 5", "int is no plugin"),
    "not whole": (
        "./mine.py:Mask",
        "from fairlead.plugins import Rule\nclass Mask(Rule): pass",
        "judge",
    ),
    "arguments": (
        "./mine.py:Mask",
        "from fairlead.plugins import Rule\nclass Mask(Rule):\n"
        "    def __init__(self, url): pass\n    def judge(self, facts, caller): pass",
        "url",
    ),
    "no generator": (
        "./mine.py:Mask",
        "from fairlead.plugins import Provider\nclass Mask(Provider):\n"
        "    async def answer(self, request): return 5",
        "must be an asynchronous generator",
    ),
    "open": (
        "./mine.py:Mask",
        "from fairlead.plugins import Rule\nclass Mask(Rule):\n"
        "    async def open(self): raise OSError('no way')\n"
        "    def judge(self, facts, caller): pass",
        "it cannot be opened",
    ),
    "entry point": ("no-such-entry", "", "no installed package has an entry point of this name"),
    "module": ("no_such_package.module:Mask", "", "No module named 'no_such_package'"),
    "what": ("./mine.py:", "", "after the colon must come the name of a class"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_a_plugin_is_refused_with_its_name(tmp_path: Path, case: str) -> None:
    use, text, why = REFUSED[case]
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(Misconfigured) as caught:
        await load(tmp_path, use)
    assert why in caught.value.message
    assert use.lstrip("./") in caught.value.message


def test_names_must_differ() -> None:
    tables = (PluginTable(use="./a.py:agent"), PluginTable(use="./b.py:agent"))
    assert "the name agent is used twice" in PluginTable.check(tables)


RULE = """
from fairlead.plugins import Rule
closed = []
class Mask(Rule):
    number = {number}
    def judge(self, facts, caller): pass
    async def close(self): closed.append(self)
"""


async def test_file_that_has_changed_is_loaded_anew_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(RULE.format(number=1))
    first = await load(tmp_path, "./mine.py:Mask")
    same = await load(tmp_path, "./mine.py:Mask", first)
    assert _only(same) is _only(first)
    file.write_text(RULE.format(number=2) + "\n")
    second = await load(tmp_path, "./mine.py:Mask", same)
    old, new = _only(first), _only(second)
    assert (vars(type(old))["number"], vars(type(new))["number"]) == (1, 2)
    # Requests under way may still ask the old one.
    closed = type(old).close.__globals__["closed"]
    assert closed == []
    await second.close()
    await first.close()
    assert closed == [old]
    assert type(new).close.__globals__["closed"] == [new]


def _only(plugins: Plugins) -> Rule:
    ((rule, _),) = plugins.of(Rule)
    return rule


async def test_generator_function_is_a_model_and_modules_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_package").mkdir()
    (tmp_path / "some_package" / "agents.py").write_text("async def agent(q):\n    yield 'Hi'\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = await load(tmp_path, "some_package.agents:agent")
    ((plugin, guard),) = plugins.of(Provider)
    assert guard.name == "agent"
    assert [model.name for model in plugins.models] == ["agent"]
    assert guard.seconds == plugin.timeout == 120
