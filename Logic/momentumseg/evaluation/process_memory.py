"""How much memory a process has needed at most."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_KIB = 1024


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process so far; None where the system does not tell.

    On Linux it is read from ``/proc``: the number of ``getrusage`` includes what the parent process had when it started
    this one.
    """
    if sys.platform == "win32":
        return _peak_on_windows()
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KIB
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB


def _peak_on_windows() -> int | None:
    """PeakWorkingSetSize of GetProcessMemoryInfo."""

    class Counters(ctypes.Structure):
        _fields_ = [
            ("cb", ctypes.c_ulong),
            ("PageFaultCount", ctypes.c_ulong),
            ("PeakWorkingSetSize", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 7),
        ]

    windows = getattr(ctypes, "windll", None)
    if windows is None:
        return None
    counters = Counters()
    counters.cb = ctypes.sizeof(Counters)
    windows.kernel32.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(windows.kernel32.GetCurrentProcess())
    known = windows.psapi.GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
    return int(counters.PeakWorkingSetSize) if known else None
