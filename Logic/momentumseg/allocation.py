"""How the C library hands out memory.

glibc returns blocks above 128 KiB to the system as soon as they are freed, and the system clears them page by page when
they are asked for again. A network on a CPU asks for the same megabytes at every slice: keeping them saves about a
third of the time of encoding one.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MAPPING_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_LARGEST_KEPT = 1 << 30
_SMALLEST_RETURNED, _SMALL_REST = 1 << 18, 1 << 23
_NEVER = 2**31 - 1


def keep_large_blocks() -> bool:
    """Let freed memory stay with this process, for its next request; False where the C library has no such setting."""
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(_MAPPING_THRESHOLD, _LARGEST_KEPT) and library.mallopt(_TRIM_THRESHOLD, _NEVER))


def return_large_blocks() -> bool:
    """Let freed memory go back to the system at once; False where the C library has no such setting.

    Kept blocks do not fit the next request exactly: what trains with them can need several times the memory of its
    tensors.
    """
    library = _glibc()
    if library is None:
        return False
    return bool(
        library.mallopt(_MAPPING_THRESHOLD, _SMALLEST_RETURNED) and library.mallopt(_TRIM_THRESHOLD, _SMALL_REST)
    )


def release_kept_blocks() -> bool:
    """Give what is kept and unused back to the system; False where there is nothing of this kind to do."""
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc (not macOS, Windows or musl)."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
