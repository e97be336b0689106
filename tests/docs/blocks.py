"""The fenced blocks of the documentation, and what their marks say.

The words after a block's language say how the tests treat it; readers never see them:

- ``sh run``: run against a server, whose address stands in for ``http://127.0.0.1:8000``
  (``run=keys``, ``run=cors``, ``run=budgets``, ``run=tokens``, ``run=renew``, ``run=plugins``: one
  with such a setting; ``run=resume``: with the ids of the answer shown before; ``run=rest``: its
  output begins after the fifth event; ``run=text``: its output is the text of the answer)
- ``sh look``: run against a server that has answered once; each line of the output that is shown
  begins one of its output, up to ``…``
- ``json log=EVENT``: a line of the log, with these keys
- ``… output``: what the block before puts out, compared in shape; ``…`` stands for anything
- ``sh serve``: commands that start servers; their flags and variables must be taken
- ``sh keys``: run one after the other, with the id of a key that was made
- ``sh ingest``, ``sh backup``, ``ini systemd``, ``ini env``, ``toml config``: as they say
- ``python run``: run as a program; ``python example=FILE``: the same as that file
- ``python sdk``, ``sh sdk``: run against a server that is asked in a vendor's dialect
  (``tests/sdks``)
- ``js browser=…``: run in Chromium
- ``ts run``: run in Node; every ``ts`` and ``tsx`` is compiled (``tests/clients``)
- ``sh shown``: commands for people; a ``make`` target must exist
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
#: Where the documentation's examples expect the server.
ADDRESS = "http://127.0.0.1:8000"

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>\w*)[ \t]*(?P<marks>[^\n]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One fenced block; ``before`` is the one before it in its file."""

    file: str
    line: int
    language: str
    mark: str
    value: str
    text: str
    before: Block | None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def documents() -> list[Path]:
    """Every document of the project for its users and contributors."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted(ROOT.glob("docs/**/*.md")),
        ROOT / "examples/README.md",
    ]


def blocks_of(file: Path) -> list[Block]:
    """The blocks of a document, in order."""
    text = file.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        mark, _, value = match["marks"].strip().partition("=")
        line = text.count("\n", 0, match.start()) + 1
        name = file.relative_to(ROOT).as_posix()
        before = found[-1] if found else None
        found.append(Block(name, line, match["language"], mark, value, match["text"], before))
    return found


def marked(mark: str, language: str = "") -> list[Block]:
    """All blocks with this mark."""
    return [
        block
        for file in documents()
        for block in blocks_of(file)
        if block.mark == mark and block.language == (language or block.language)
    ]


def without_blocks(text: str) -> str:
    """A document's prose alone."""
    return _FENCE.sub("", text)
