"""A folder that one process works in at a time; the lock is the system's and ends with the process, however it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCK_FILE = ".lock"


@contextmanager
def lock_folder(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock inside the block; gives whether it was free. The folder must exist.

    On a disk that knows no locks every process may work: gives True.
    """
    try:
        file = open(folder / LOCK_FILE, "a+b")  # noqa: SIM115  # open as long as the lock is held
    except OSError:
        yield True
        return
    with file:
        yield _is_taken_now(file)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock at this moment."""
    if not (folder / LOCK_FILE).is_file():
        return False
    with lock_folder(folder) as was_free:
        return not was_free


def _is_taken_now(file: IO[bytes]) -> bool:
    """Take the lock; False when another process has it. It is given back when the file is closed."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a disk without locks
        return True
    return True
