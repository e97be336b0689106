"""Servers for other people's clients: two consumers, their keys, and upstreams."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.support.server import ServerProcess

KEY = "the-key-of-a-test-0123456789abcdef"
OTHER_KEY = "the-key-of-another-0123456789abcdef"
UPSTREAM_KEY = "upstream-secret"

_ENVIRONMENT = {"TESTER_KEY": KEY, "OTHER_KEY": OTHER_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}
_KEYS = [
    {"consumer": "tester", "key_env": "TESTER_KEY"},
    {"consumer": "another", "key_env": "OTHER_KEY"},
]
#: Of an upstream that is asked once, at once, and again next time.
AT_ONCE: dict[str, Any] = {"max_retries": 0, "max_wait": 0, "breaker_failures": 0}


def serving(
    folder: Path,
    *upstreams: Mapping[str, Any],
    flags: Iterable[str] = (),
    keys: Iterable[Mapping[str, Any]] = _KEYS,
    **settings: Any,
) -> ServerProcess:
    """A server in ``folder`` that knows two consumers and has these ``upstreams``; ``settings`` by
    their names in the file, and ``flags`` on the command line."""
    file = folder / "fairlead.toml"
    tables = {"keys": keys, "upstreams": upstreams}
    tables |= {name: value for name, value in settings.items() if _are_tables(value)}
    lines = [f"{name} = {_toml(settings[name])}" for name in settings if name not in tables]
    for name, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{name}]]", *(f"{key} = {_toml(row[key])}" for key in row)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ServerProcess(folder / "data", "--config", str(file), *flags, env=_ENVIRONMENT)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _toml(value: Any) -> str:
    """Texts, numbers and lists are written as in JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(value[key])}" for key in value) + " }"
    return json.dumps(value)
