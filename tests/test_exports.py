"""What `import fairlead` gives: the names, their types, and no more work than needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fairlead

STUB = Path(fairlead.__file__).with_suffix(".pyi")
NAMES = [
    "Client",
    "Fairlead",
    "SyncClient",
    "media",
    "progress",
    "reasoning",
    "sources",
    "thinking",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_the_stub_says(name: str) -> None:
    imports = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(STUB.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert getattr(fairlead, name).__module__ == imports[name]
    assert sorted(imports, key=str) == NAMES
    assert name in dir(fairlead)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'fairlead' has no attribute 'Fairleed'"):
        fairlead.Fairleed  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_imports_nothing_else() -> None:
    program = "import sys, fairlead; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert not {"aiohttp", "fastapi", "msgspec", "uvicorn", "asyncio"} & set(loaded)
