"""How much memory a device has left for a training run."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(device: str = "cpu") -> int | None:
    """Memory that a run may still use; None where the system does not tell.

    Of a GPU what no process has, and what this process holds without using it; of the processor what the system can
    give without swapping, at most what is left of a container's limit.
    """
    where = torch.device(device)
    if where.type == "cuda" and torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info(where)
        return int(free + torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where))
    if where.type == "mps" and torch.backends.mps.is_available():
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    known = [value for value in (system_memory()[1], _left_of_container()) if value is not None]
    return min(known) if known else None


def system_memory() -> tuple[int | None, int | None]:
    """(all, free) bytes of this computer; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_memory()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
        return sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (OSError, ValueError):
        return None, None


def _left_of_container(folder: Path = _CGROUP) -> int | None:
    """Limit minus use of this process's control group, where it has a limit."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used) if limit.isdigit() else None


def _windows_memory() -> tuple[int | None, int | None]:
    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong), ("numbers", ctypes.c_ulonglong * 7)]

    status = Status(length=ctypes.sizeof(Status))
    if not getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # noqa: B009 (Windows only)
        return None, None
    return int(status.numbers[0]), int(status.numbers[1])
