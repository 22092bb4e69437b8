"""Frames between a host program and its worker; standard library only.

A frame is

    4 bytes   magic ``MSEG``
    4 bytes   length of the header in bytes, unsigned, little endian
    8 bytes   length of the payload in bytes, unsigned, little endian
    header    a JSON object in UTF-8; "kind" says what it is, "arrays" lists [{"name", "dtype", "shape"}, ...]
    payload   the bytes of these arrays one after the other, C order, little endian

``TO_WORKER`` and ``TO_CLIENT`` list the kinds and their fields. JSON has only texts as keys: a table whose keys are all
whole numbers, such as ``{1: 20.5}``, arrives with numbers as keys again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

VERSION = 1
MAGIC = b"MSEG"
PREFIX = struct.Struct("<4sIQ")
LARGEST_HEADER = 16 << 20
LARGEST_PAYLOAD = 64 << 30
DTYPE_SIZES = {
    **dict.fromkeys(("bool", "int8", "uint8"), 1),
    **dict.fromkeys(("int16", "uint16", "float16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64"), 8),
}
_MOST_DIMENSIONS = 8
_LARGEST_ID = 2**53
_JOINED = 1 << 16  # smaller arrays are written together with the header: one system call a frame
_NUMBER = (int, float)

# Kind -> its fields besides "kind" and "arrays", with their types.
TO_WORKER: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "request": {"id": int, "method": str, "parameters": dict},
    "cancel": {"id": int},
}
TO_CLIENT: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "hello": {"protocol": int, "version": str, "pid": int, "python": str},
    "ready": {"devices": list, "capabilities": list},
    "failed": {"reason": str, "sentence": str, "log": str},
    "started": {"id": int},
    "progress": {"id": int, "fraction": _NUMBER, "message": str, "remaining_seconds": (int, float, type(None))},
    "partial": {"id": int, "values": dict},
    "result": {"id": int, "values": dict},
    "error": {"id": int, "error": str, "sentence": str, "log": str},
    "cancelled": {"id": int},
}

Allocate = Callable[[int], Any]
"""Returns a writable buffer of so many bytes: ``bytearray``, or ``numpy.empty(n, "u1")``, which is not cleared."""
Read = Callable[[memoryview], "int | None"]
"""``readinto`` of an unbuffered binary file."""
Write = Callable[[Any], "int | None"]
"""``write`` of an unbuffered binary file; may write less than it is given."""


class ProtocolError(Exception):
    """Bytes that are no frame; the message is one sentence."""


class ArrayView(NamedTuple):
    """One array of a received frame: ``data`` holds its bytes, C order, little endian."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True)
class Frame:
    """A received frame.

    Attributes:
        header: without "arrays".
        arrays: views of one buffer.
    """

    header: dict[str, Any]
    arrays: Sequence[ArrayView]

    @property
    def kind(self) -> str:
        return str(self.header["kind"])


# Writing


def write_frame(write: Write, header: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> None:
    """Write a frame without copying its arrays.

    Args:
        write: see :data:`Write`.
        header: the fields; numbers as keys are allowed.
        arrays: by name; C-contiguous little-endian objects with ``dtype.name``, ``shape`` and the buffer protocol,
            as numpy's.

    Raises:
        ProtocolError: a header or array that no frame can hold.
        OSError: the other end is gone.
    """
    for buffer in frame_buffers(header, arrays):
        rest = memoryview(buffer)
        while rest.nbytes:
            rest = rest[write(rest) or 0 :]


def frame_buffers(header: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> list[Any]:
    """The bytes of a frame as buffers that are to be written one after the other. Raises `ProtocolError`."""
    arrays = arrays or {}
    described = [_described(name, array) for name, array in arrays.items()]
    try:
        text = json.dumps({**header, "arrays": described} if described else dict(header), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"The message '{header.get('kind')}' cannot be written as JSON ({error}).") from error
    encoded = text.encode("ascii")
    contents = [_bytes_of(array) for array in arrays.values()]
    payload = sum(content.nbytes for content in contents)
    if len(encoded) > LARGEST_HEADER or payload > LARGEST_PAYLOAD:
        raise ProtocolError(
            f"The message '{header.get('kind')}' is too large: {len(encoded)} + {payload} bytes, at most "
            f"{LARGEST_HEADER} + {LARGEST_PAYLOAD}."
        )
    first = PREFIX.pack(MAGIC, len(encoded), payload) + encoded
    if payload <= _JOINED:
        return [b"".join([first, *contents])]
    return [first, *contents]


def _described(name: str, array: Any) -> dict[str, Any]:
    dtype = array.dtype.name
    if dtype not in DTYPE_SIZES:
        raise ProtocolError(f"The array '{name}' has the type {dtype}, which no message can hold.")
    return {"name": name, "dtype": dtype, "shape": [int(count) for count in array.shape]}


def _bytes_of(array: Any) -> memoryview:
    view = memoryview(array)
    if not view.c_contiguous or view.format[:1] == ">":
        raise ProtocolError("An array of a message must be in C order and little endian.")
    return view.cast("B") if view.nbytes else memoryview(b"")


# Reading


def read_frame(
    read: Read,
    kinds: Mapping[str, Mapping[str, type | tuple[type, ...]]],
    allocate: Allocate = bytearray,
    largest_payload: int = LARGEST_PAYLOAD,
) -> Frame | None:
    """The next frame, or None when the other end closed the pipe between two frames.

    Nothing is allocated before the header is checked.

    Args:
        read: see :data:`Read`.
        kinds: `TO_WORKER` or `TO_CLIENT`.
        allocate: makes the memory of the payload.
        largest_payload: in bytes.

    Raises:
        ProtocolError: anything else than a frame of these kinds.
    """
    prefix = memoryview(bytearray(PREFIX.size))
    if not _fill(read, prefix, may_end=True):
        return None
    magic, header_length, payload_length = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ProtocolError(f"The message begins with {bytes(magic)!r} instead of {MAGIC!r}.")
    if header_length > LARGEST_HEADER or payload_length > largest_payload:
        raise ProtocolError(
            f"The message announces {header_length} + {payload_length} bytes, at most {LARGEST_HEADER} + "
            f"{largest_payload} are allowed."
        )
    encoded = bytearray(header_length)
    _fill(read, memoryview(encoded))
    header = _parsed(encoded)
    _check_fields(header, kinds)
    heads = [_checked_head(head) for head in _listed_arrays(header)]
    _check_sizes(heads, payload_length)
    payload = _allocated(allocate, payload_length)
    _fill(read, payload)
    return Frame(header, list(_views(heads, payload)))


def _fill(read: Read, buffer: memoryview, may_end: bool = False) -> bool:
    """Fill the buffer; False when the pipe ended before its first byte and that is allowed."""
    done = 0
    while done < buffer.nbytes:
        count = read(buffer[done:])
        if not count:
            if may_end and done == 0:
                return False
            raise ProtocolError(f"The message ends after {done} of {buffer.nbytes} bytes.")
        done += count
    return True


def _parsed(encoded: bytearray) -> dict[str, Any]:
    try:
        header = json.loads(encoded.decode("utf-8"), object_hook=_with_number_keys)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"The header of the message is not JSON in UTF-8 ({str(error)[:200]}).") from error
    if not isinstance(header, dict):
        raise ProtocolError(f"The header of the message is a {type(header).__name__} instead of an object.")
    return header


def _with_number_keys(table: dict[str, Any]) -> dict[Any, Any]:
    if table and all(_is_number(key) for key in table):
        return {int(key): value for key, value in table.items()}
    return table


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 16 and (key == "0" or key[0] != "0")


def _check_fields(header: Mapping[str, Any], kinds: Mapping[str, Mapping[str, type | tuple[type, ...]]]) -> None:
    kind = header.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise ProtocolError(f"The message has the kind {str(kind)[:80]!r}, expected one of {', '.join(kinds)}.")
    for name, wanted in kinds[kind].items():
        value = header.get(name)
        if name not in header or not isinstance(value, wanted) or isinstance(value, bool):
            raise ProtocolError(f"The message '{kind}' has {name} = {str(value)[:80]!r}, which cannot be used.")
    if "id" in kinds[kind] and not 0 <= header["id"] < _LARGEST_ID:
        raise ProtocolError(f"The message '{kind}' has the id {str(header['id'])[:80]}.")


def _listed_arrays(header: dict[str, Any]) -> list[Any]:
    arrays = header.pop("arrays", [])
    if not isinstance(arrays, list):
        raise ProtocolError(f"The arrays of the message are a {type(arrays).__name__} instead of a list.")
    return arrays


def _checked_head(head: Any) -> tuple[str, str, tuple[int, ...], int]:
    """(name, dtype, shape, bytes) of an entry of "arrays"."""
    if not isinstance(head, dict):
        raise ProtocolError(f"The message describes an array by a {type(head).__name__} instead of an object.")
    name, dtype, shape = head.get("name"), head.get("dtype"), head.get("shape")
    if not isinstance(name, str) or not isinstance(dtype, str) or dtype not in DTYPE_SIZES:
        raise ProtocolError(f"The message describes an array {str(name)[:80]!r} of type {str(dtype)[:80]!r}.")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(_is_count(count) for count in shape):
        raise ProtocolError(f"The array {name[:80]!r} of the message has the shape {str(shape)[:80]}.")
    return name, dtype, tuple(shape), prod(shape) * DTYPE_SIZES[dtype]


def _is_count(count: Any) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= LARGEST_PAYLOAD


def _check_sizes(heads: Sequence[tuple[str, str, tuple[int, ...], int]], payload_length: int) -> None:
    described = sum(size for *_, size in heads)
    if described != payload_length:
        raise ProtocolError(f"The arrays of the message have {described} bytes but {payload_length} are announced.")
    if len({name for name, *_ in heads}) != len(heads):
        raise ProtocolError("Two arrays of the message have the same name.")


def _allocated(allocate: Allocate, length: int) -> memoryview:
    try:
        return memoryview(allocate(length)).cast("B") if length else memoryview(bytearray())
    except MemoryError as error:
        raise ProtocolError(f"There is no memory for the {length} bytes of the message.") from error


def _views(heads: Sequence[tuple[str, str, tuple[int, ...], int]], payload: memoryview) -> Iterator[ArrayView]:
    start = 0
    for name, dtype, shape, size in heads:
        yield ArrayView(name, dtype, shape, payload[start : start + size])
        start += size
