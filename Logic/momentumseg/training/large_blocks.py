"""Whether memory that a training step frees stays with the process: faster, but it then needs several times more."""

from __future__ import annotations

from pathlib import Path

from momentumseg.allocation import keep_large_blocks, release_kept_blocks, return_large_blocks
from momentumseg.training.available_memory import available_bytes

_KNOWN_AFTER = 3  # steps; the optimiser's state is complete after the first
_KEPT_NEEDS = 5  # times the tensors' own memory: 2.4 to 4 were measured


class LargeBlocks:
    """Freed blocks go back to the system until some steps have shown that there is room for keeping them.

    On a system other than Linux with glibc it does nothing.

    Args:
        device: of the training; a GPU's memory is managed by torch.
    """

    def __init__(self, device: str) -> None:
        self._steps = 0
        self._is_decided = device != "cpu" or not return_large_blocks()
        if self._is_decided:
            keep_large_blocks()
            return
        release_kept_blocks()
        self._free = available_bytes()
        self._before = _status("VmRSS")

    def after_step(self) -> None:
        """Decide, once enough is known."""
        self._steps += 1
        if self._is_decided or self._steps < _KNOWN_AFTER:
            return
        self._is_decided = True
        most = _status("VmHWM")
        if self._free is None or self._before is None or most is None:
            return
        if _KEPT_NEEDS * max(0, most - self._before) <= self._free:
            keep_large_blocks()


def _status(name: str) -> int | None:
    """A size of this process in bytes, as Linux tells it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith(f"{name}:")]
    return int(found[0].split()[1]) << 10 if found else None
