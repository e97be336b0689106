"""Reading files."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from fairlead.knowledge.reading import MAX_BYTES, Unsuitable, read


def test_a_small_file_takes_little_memory_however_large_files_may_be(tmp_path: Path) -> None:
    file = tmp_path / "tea.md"
    file.write_bytes(b"Tea." * 100)
    tracemalloc.start()
    try:
        data, _ = read(file, "tea.md", MAX_BYTES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert data == b"Tea." * 100
    assert peak < 1_000_000


@pytest.mark.parametrize(("size", "fits"), [(0, True), (999, True), (1000, True), (1001, False)])
def test_the_limit_is_exact(tmp_path: Path, size: int, fits: bool) -> None:
    file = tmp_path / "tea.md"
    file.write_bytes(b"t" * size)
    if fits:
        assert len(read(file, "tea.md", 1000)[0]) == size
    else:
        with pytest.raises(Unsuitable, match="larger than 1,000 bytes"):
            read(file, "tea.md", 1000)
