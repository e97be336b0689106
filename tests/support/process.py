"""What the system says of a process."""

from __future__ import annotations

import re
from pathlib import Path


def memory(pid: int, name: str) -> int:
    """``VmRSS`` or ``VmHWM`` (the peak) of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.M)
    assert found is not None
    return int(found[1]) * 1024
