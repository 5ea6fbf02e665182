"""Whether a search goes on, told by its files without touching them."""

from __future__ import annotations

import os
import time
from pathlib import Path


def being_written(path: Path) -> bool:
    """Whether a process holds the journal locked, from Linux' own list: asking would lock it."""
    try:
        inode = str(path.stat().st_ino)
        locks = Path("/proc/locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(f":{inode} " in line and "WRITE" in line for line in locks.splitlines())


def age_s(path: Path) -> float | None:
    """Seconds since the last write, None where there is no file."""
    try:
        return max(0.0, time.time() - os.stat(path).st_mtime)
    except OSError:
        return None
