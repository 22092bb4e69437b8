"""Where networks can run on this computer, and how much memory there is."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from momentumseg.errors import InputError
from momentumseg.training.available_memory import system_memory

AUTOMATIC = "auto"
_SMALLEST_BUDGET, _LARGEST_BUDGET = 128 << 20, 1 << 30


def devices() -> list[dict[str, Any]]:
    """Each device as {"id", "name", "total_bytes", "free_bytes"}; a number is None where the system does not tell."""
    total, free = system_memory()
    found: list[dict[str, Any]] = [{"id": "cpu", "name": _processor(), "total_bytes": total, "free_bytes": free}]
    if torch.cuda.is_available():
        found += [_cuda_device(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append({"id": "mps", "name": "Apple GPU", "total_bytes": total, "free_bytes": free})
    return found


def chosen_device(name: str) -> str:
    """The device of a request; "auto" is the first GPU that works, else the processor.

    Raises:
        InputError: it does not exist here, or does not work.
    """
    if name != AUTOMATIC:
        return _checked(name)
    for candidate in ("cuda:0", "mps"):
        try:
            return _checked(candidate)
        except InputError:
            continue
    return "cpu"


def process_memory_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * int(os.sysconf("SC_PAGE_SIZE"))


def cache_budget_bytes() -> int:
    """Memory for features of slices where the user did not choose: a quarter of what is free, at most 1 GiB."""
    _, free = system_memory()
    return _LARGEST_BUDGET if free is None else max(_SMALLEST_BUDGET, min(free // 4, _LARGEST_BUDGET))


def _checked(name: str) -> str:
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"The device '{name}' cannot be used on this computer; choose another one.") from error
    return name


def _cuda_device(index: int) -> dict[str, Any]:
    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError:  # in use by somebody else alone, or out of memory
        free, total = None, torch.cuda.get_device_properties(index).total_memory  # type: ignore[assignment]
    return {
        "id": f"cuda:{index}",
        "name": torch.cuda.get_device_name(index),
        "total_bytes": total,
        "free_bytes": free,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "CPU"
