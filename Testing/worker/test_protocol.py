"""Frames: what goes in comes out, and whatever else comes in is refused in one sentence."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from momentumseg.worker import protocol
from momentumseg.worker.protocol import PREFIX, TO_CLIENT, TO_WORKER, ProtocolError, frame_buffers, read_frame

NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(), st.booleans(), st.none())
TABLES = st.recursive(NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10).filter(
    lambda value: not _has_number_keys(value)
)
ARRAYS = st.sampled_from(sorted(protocol.DTYPE_SIZES)).flatmap(
    lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def _has_number_keys(value: object) -> bool:
    """Tables whose keys look like numbers come back with numbers: a test of its own."""
    if isinstance(value, dict):
        return any(key.isdigit() for key in value) or any(map(_has_number_keys, value.values()))
    return isinstance(value, list) and any(map(_has_number_keys, value))


def _bytes(header: dict, arrays: dict | None = None) -> bytes:
    return b"".join(bytes(buffer) for buffer in frame_buffers(header, arrays))


def _read(data: bytes, kinds: dict = TO_CLIENT, **options: object) -> protocol.Frame | None:
    return read_frame(io.BytesIO(data).readinto, kinds, **options)


def _frame_of(text: bytes, payload: bytes = b"") -> bytes:
    return PREFIX.pack(b"MSEG", len(text), len(payload)) + text + payload


@given(st.dictionaries(st.text(), TABLES), st.dictionaries(st.text(), ARRAYS, max_size=3))
def test_what_is_written_is_read(values: dict, arrays: dict) -> None:
    frame = _read(_bytes({"kind": "result", "id": 7, "values": values}, arrays))
    assert frame is not None
    assert frame.header == {"kind": "result", "id": 7, "values": values}
    assert [view.name for view in frame.arrays] == list(arrays)
    for view, array in zip(frame.arrays, arrays.values(), strict=True):
        back = np.frombuffer(view.data, view.dtype).reshape(view.shape)
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)


def test_numbers_stay_numbers_as_keys() -> None:
    values = {"volume_ml": {1: 2.5, 12: 3.0}, "mixed": {"1": 1, "a": 2}, "zeros": {"01": 1}}
    frame = _read(_bytes({"kind": "result", "id": 0, "values": values}))
    assert frame is not None and frame.header["values"] == values


def test_frames_follow_each_other_and_the_end_is_no_error() -> None:
    stream = io.BytesIO(_bytes({"kind": "cancel", "id": 1}) + _bytes({"kind": "cancel", "id": 2}))
    assert [read_frame(stream.readinto, TO_WORKER).header["id"] for _ in range(2)] == [1, 2]
    assert read_frame(stream.readinto, TO_WORKER) is None


def test_bytes_that_come_one_at_a_time_make_a_frame() -> None:
    stream = io.BytesIO(_bytes({"kind": "partial", "id": 1, "values": {}}, {"a": np.arange(5)}))
    frame = read_frame(lambda buffer: stream.readinto(buffer[:1]), TO_CLIENT)
    assert frame is not None and frame.arrays[0].shape == (5,)


def test_large_arrays_are_neither_copied_nor_cut() -> None:
    array = np.zeros((300, 300), np.uint8)
    *_, content = frame_buffers({"kind": "partial", "id": 1, "values": {}}, {"a": array})
    assert np.shares_memory(np.frombuffer(content, np.uint8), array)
    written = io.BytesIO()
    protocol.write_frame(
        lambda data: written.write(data[:1000]), {"kind": "partial", "id": 1, "values": {}}, {"a": array}
    )
    assert written.getvalue().endswith(bytes(array.nbytes)) and _read(written.getvalue()) is not None


@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    _is_refused_or_read(data)


@given(st.data())
def test_changed_frames_are_refused_or_read(data: st.DataObject) -> None:
    """Bytes changed, inserted, removed: the answer is a frame or a sentence, never another error."""
    arrays = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.zeros(3, np.float32)}
    frame = bytearray(_bytes({"kind": "result", "id": 7, "values": {"origin": [1, 2, 3]}}, arrays))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(frame) - 1))
        frame[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _is_refused_or_read(bytes(frame))


HEADERS = st.recursive(
    st.one_of(NUMBERS, st.sampled_from(["result", "a", "uint8", "arrays", 2**70])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "id", "values", "arrays", "name", "dtype", "shape", "1"]), inner)
    ),
    max_leaves=12,
)


@given(HEADERS, st.binary(max_size=12))
def test_any_json_is_refused_or_read(header: object, payload: bytes) -> None:
    _is_refused_or_read(_frame_of(json.dumps(header).encode(), payload))


def _cancelled_with(array: bytes, payload: bytes = b"") -> bytes:
    return _frame_of(b'{"kind":"cancelled","id":1,"arrays":[%s]}' % array, payload)


def _is_refused_or_read(data: bytes) -> None:
    try:
        frame = _read(data, allocate=lambda length: bytearray(_at_most(length, len(data))))
    except ProtocolError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert frame is None or frame.kind in TO_CLIENT


def _at_most(length: int, available: int) -> int:
    """A changed length may ask for much; the test itself must not allocate it."""
    if length > available:
        raise MemoryError
    return length


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "begins with b'HTTP'"),
        (PREFIX.pack(b"MSEG", 1 << 31, 0), "at most"),
        (PREFIX.pack(b"MSEG", 2, 1 << 63) + b"{}", "at most"),
        (_frame_of(b"[]"), "list instead of an object"),
        (_frame_of(b"\xff\xfe"), "not JSON"),
        (_frame_of(b"[" * 100_000), "not JSON"),
        (_frame_of(b'{"kind":"shutdown"}'), "kind 'shutdown'"),
        (_frame_of(b'{"kind":["result"]}'), "expected one of"),
        (_frame_of(b'{"kind":"result","id":-1,"values":{}}'), "id -1"),
        (_frame_of(b'{"kind":"result","id":true,"values":{}}'), "id = 'True'"),
        (_frame_of(b'{"kind":"result","id":1}'), "values"),
        (_frame_of(b'{"kind":"result","id":1,"values":{},"arrays":{}}'), "instead of a list"),
        (
            _cancelled_with(b'{"name":"a","dtype":"object","shape":[1]}'),
            "type 'object'",
        ),
        (_cancelled_with(b'{"name":"a","dtype":"int8","shape":[-1]}'), "shape"),
        (
            _cancelled_with(b'{"name":"a","dtype":"int8","shape":[2]}', b"1"),
            "announced",
        ),
        (_bytes({"kind": "cancelled", "id": 1})[:-1], "ends after"),
    ],
)
def test_the_sentence_says_what_was_wrong(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words.replace("'", ".")):
        _read(data)


def test_nothing_is_allocated_for_a_header_that_does_not_fit() -> None:
    header = b'{"kind":"cancelled","id":1,"arrays":[{"name":"a","dtype":"int8","shape":[4]}]}'
    with pytest.raises(ProtocolError, match="announced"):
        _read(PREFIX.pack(b"MSEG", len(header), 1 << 35) + header, allocate=pytest.fail)


def test_a_payload_without_memory_is_a_sentence() -> None:
    def none_left(length: int) -> bytearray:
        raise MemoryError

    data = _bytes({"kind": "cancelled", "id": 1}, {"a": np.zeros(4)})
    with pytest.raises(ProtocolError, match="no memory for the 32 bytes"):
        _read(data, allocate=none_left)


@pytest.mark.parametrize(
    ("header", "arrays", "words"),
    [
        ({"kind": "result", "values": {"a": object()}}, {}, "cannot be written as JSON"),
        ({"kind": "result"}, {"a": np.array(["text"])}, "array 'a' has the type"),
        ({"kind": "result"}, {"a": np.zeros(3, ">i2")}, "little endian"),
        ({"kind": "result"}, {"a": np.zeros((3, 3)).T[::2]}, "C order"),
    ],
)
def test_what_no_frame_can_hold_is_refused_before_anything_is_written(header: dict, arrays: dict, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        protocol.write_frame(pytest.fail, header, arrays)


def test_the_protocol_needs_the_standard_library_only() -> None:
    program = (
        "import sys; before = set(sys.modules); import momentumseg.worker.protocol;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "assert new <= {'momentumseg'}, new"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(protocol.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
