"""The files of a folder that may be documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Folders that hold no documents of the user's own; besides them, those whose name begins with a
#: full stop. They are passed over without a word.
IGNORED = frozenset({"node_modules", "__pycache__"})


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below ``folder`` in a stable order, with the reason why it is not to be read
    (empty: it is). Symbolic links are never followed, so nothing outside the folder is read."""
    for directory, folders, files in os.walk(folder):
        here = Path(directory)
        for name in sorted(folders):
            if (here / name).is_symlink():
                yield here / name, _reason(here / name, folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in IGNORED)
        for name in sorted(files):
            if not name.startswith("."):
                file = here / name
                yield file, _reason(file, folder) if file.is_symlink() else ""


def _reason(link: Path, folder: Path) -> str:
    try:
        inside = link.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return "a symbolic link that leads nowhere"
    # What it names inside is read under its own name.
    return "a symbolic link" if inside else "a symbolic link out of the folder"
