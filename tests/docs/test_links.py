"""Links between documents lead somewhere."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks_of, documents, without_blocks

_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)

#: Documents whose blocks need no mark: nothing in them is to be typed, or other tests run them.
UNMARKED = {
    "PROTOCOL.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "performance.md",
}  # fmt: skip


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower()
    kept = [c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM"]
    return "".join(kept).replace(" ", "-")


def anchors(file: Path) -> set[str]:
    text = without_blocks(file.read_text(encoding="utf-8"))
    return {anchor(match[1]) for match in _HEADING.finditer(text)}


@pytest.mark.parametrize("file", documents(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(file: Path) -> None:
    for match in _LINK.finditer(without_blocks(file.read_text(encoding="utf-8"))):
        address, _, fragment = match[1].partition("#")
        if "://" in address or "…" in address:
            continue
        target = (file.parent / address).resolve() if address else file
        assert target.exists(), f"{match[0]} leads nowhere"
        assert target.is_relative_to(ROOT)
        if fragment:
            assert fragment in anchors(target), f"{match[0]}: there is no such heading"


@pytest.mark.parametrize("file", documents(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_example_is_marked(file: Path) -> None:
    if file.name in UNMARKED or file.parent.name == "decisions":
        return
    known = {
        "run", "output", "serve", "ingest", "backup", "systemd", "env", "config", "example",
        "browser", "shown", "keys", "look", "log", "sdk",
    }  # fmt: skip
    for block in blocks_of(file):
        if block.language in ("sh", "python", "js", "json", "toml", "ini"):
            assert block.mark in known, f"{block}: say in a mark how it is tested"


def test_every_guide_is_reachable_from_a_readme() -> None:
    linked = {
        (file.parent / match[1].partition("#")[0]).resolve()
        for file in documents()
        for match in _LINK.finditer(file.read_text(encoding="utf-8"))
    }
    docs = {file for file in documents() if file.is_relative_to(ROOT / "docs")}
    assert docs <= linked
