"""Appending whole lines to a file that a kill or a full disk may interrupt anywhere."""

from __future__ import annotations

import errno
import os


def cut_to_last_newline(descriptor: int) -> int:
    """Cut off a last line that was never finished; appending to it would spoil two records.

    Returns:
        How many bytes were cut.
    """
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 4096)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return size - end


def append(descriptor: int, data: bytes) -> None:
    """Write ``data`` whole or not at all, at the end.

    Raises:
        OSError: it did not fit; what was written of it has been cut off again.
    """
    before = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(descriptor, before)
        raise
