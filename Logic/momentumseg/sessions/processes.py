"""Which processes of this computer are still running."""

from __future__ import annotations

import os
import platform
import re
import sys


def host_name() -> str:
    """Name of this computer, usable in a file name and without ``-``."""
    return re.sub(r"[^A-Za-z0-9]", "_", platform.node()) or "localhost"


def process_is_alive(process: int) -> bool:
    """Whether a process with this number exists; True when that cannot be told."""
    if sys.platform == "win32":
        return _windows_process_is_alive(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _windows_process_is_alive(process: int) -> bool:
    """``os.kill`` would end the process on Windows, so it is opened for a question instead."""
    import ctypes

    synchronize, wait_timeout = 0x00100000, 0x102
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 (the attribute exists on Windows only)
    handle = kernel.OpenProcess(synchronize, False, process)
    if not handle:
        return bool(kernel.GetLastError() == 5)  # access denied: it runs, as somebody else
    alive = kernel.WaitForSingleObject(handle, 0) == wait_timeout
    kernel.CloseHandle(handle)
    return bool(alive)
