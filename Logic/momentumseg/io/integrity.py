"""Whether a file can hold what its header promises, before anything is allocated or believed.

The readers of NIfTI and JPEG fill the missing part of a truncated file with something, and every reader
allocates what the header asks for: both are found here.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from momentumseg.errors import InputError
from momentumseg.io.formats import JPEG, NIFTI

_CHUNK = 1 << 20
_HEADER_BYTES = 540  # of NIfTI-2, the longer one
# Deflate cannot compress better than 1032 : 1.
_LARGEST_COMPRESSION = 1100
_SMALLEST_PROMISE = 1 << 28  # bytes: below it a false promise does no harm
_DETACHED_SUFFIXES = (".nhdr", ".mhd")
_JPEG_END = b"\xff\xd9"
_TAIL_BYTES = 4096  # some programs add a few bytes after the end mark


@dataclass(frozen=True)
class _NiftiLayout:
    """Type and place of the header's fields, as `struct` names them."""

    header_bytes: int
    dimensions: tuple[str, int]
    bits: tuple[str, int]
    start: tuple[str, int]


_NIFTI_LAYOUTS = (
    _NiftiLayout(348, dimensions=("8h", 40), bits=("h", 72), start=("f", 108)),
    _NiftiLayout(540, dimensions=("8q", 16), bits=("h", 14), start=("q", 168)),
)


def check_promised_size(path: Path, promised: int) -> None:
    """Raise `InputError` when a header promises more bytes of voxels than the file could hold, however compressed."""
    if promised <= _SMALLEST_PROMISE:
        return
    files = path.parent.iterdir() if path.suffix.lower() in _DETACHED_SUFFIXES else [path]
    if promised > _LARGEST_COMPRESSION * sum(file.stat().st_size for file in files if file.is_file()):
        raise InputError(
            f"{path} promises {promised / 1e9:.1f} GB of voxels, which it cannot hold; it is damaged, export it again."
        )


def check_complete(path: Path, file_format: str) -> None:
    """Raise `InputError` when the file ends before its last voxel or its compressed data is damaged.

    Covers the formats whose readers would not say so: NIfTI and JPEG.
    """
    is_complete = {NIFTI: _is_nifti_complete, JPEG: _is_jpeg_complete}.get(file_format)
    try:
        complete = is_complete is None or is_complete(path)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        complete = False
    if not complete:
        raise InputError(f"{path} is truncated or damaged: voxels are missing; copy or export it again.")


def _is_jpeg_complete(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
        return _JPEG_END in file.read()


def _is_nifti_complete(path: Path) -> bool:
    compressed = path.name.lower().endswith(".gz")
    with gzip.open(path, "rb") if compressed else path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        expected = _nifti_bytes(header)
        if expected is None:
            raise InputError(f"{path} is not a NIfTI file; check its name or export it again.")
        if not compressed:
            return path.stat().st_size >= expected
        read = len(header)
        # To the end, because only there the checksum is compared; but not through an endless file.
        while read <= expected + _CHUNK:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            read += len(chunk)
        return read >= expected


def _nifti_bytes(header: bytes) -> int | None:
    """Bytes of a whole NIfTI-1 or NIfTI-2 file with this header; None when it is no NIfTI header."""
    for order in "<>":
        for layout in _NIFTI_LAYOUTS:
            if len(header) < layout.header_bytes or struct.unpack_from(order + "i", header)[0] != layout.header_bytes:
                continue
            dimensions = struct.unpack_from(order + layout.dimensions[0], header, layout.dimensions[1])
            (bits,) = struct.unpack_from(order + layout.bits[0], header, layout.bits[1])
            (start,) = struct.unpack_from(order + layout.start[0], header, layout.start[1])
            return _promised_bytes(dimensions, bits, start)
    return None


def _promised_bytes(dimensions: tuple[int, ...], bits: int, start: float) -> int | None:
    if not 1 <= dimensions[0] <= 7 or bits <= 0 or not 0 <= start < 2**40:
        return None
    voxels = 1
    for count in dimensions[1 : dimensions[0] + 1]:
        voxels *= max(count, 1)
    return int(start) + voxels * bits // 8
