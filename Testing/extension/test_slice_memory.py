"""Digests of slices: the same for the same pixels at the same place, however they are cropped, and along every axis."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from MomentumSegLib.segment_voxels import Crop
from MomentumSegLib.slice_memory import Moment, SliceMask, digest, digests, read_marks, slice_mask

volumes = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=11), elements=st.integers(0, 1))


@given(volumes, st.tuples(*[st.integers(0, 20)] * 3), st.tuples(*[st.integers(0, 9)] * 6))
@settings(max_examples=60)
def test_digests_do_not_depend_on_the_crop(voxels, origin, margins) -> None:
    loose = np.pad(voxels, [margins[0:2], margins[2:4], margins[4:6]])
    before = (min(margins[axis * 2], origin[axis]) for axis in range(3))
    loose = loose[tuple(slice(margins[axis * 2] - b, None) for axis, b in enumerate(before))]
    start = tuple(origin[axis] - min(margins[axis * 2], origin[axis]) for axis in range(3))
    crop = Crop(voxels, origin)
    for axis in range(3):
        expected = digests(crop, axis)
        assert digests(Crop(loose, start), axis) == expected
        assert digests(crop.trimmed(), axis) == expected
        stack = np.moveaxis(voxels, axis, 0)
        assert set(expected) == {origin[axis] + s for s in range(len(stack)) if stack[s].any()}
        for s, value in expected.items():
            mask = slice_mask(crop, axis, s)
            assert digest(mask) == value
            whole = mask.whole(tuple(np.delete(np.add(origin, voxels.shape), axis)))
            row, column = np.delete(origin, axis)
            assert np.array_equal(whole[row:, column:], stack[s - origin[axis]])


@given(volumes, st.data())
@settings(max_examples=60)
def test_one_other_voxel_changes_the_digests_of_its_three_slices_only(voxels, data) -> None:
    place = tuple(data.draw(st.integers(0, count - 1)) for count in voxels.shape)
    other = voxels.copy()
    other[place] ^= 1
    for axis in range(3):
        first, second = digests(Crop(voxels, (0, 0, 0)), axis), digests(Crop(other, (0, 0, 0)), axis)
        assert {s for s in first.keys() | second.keys() if first.get(s) != second.get(s)} == {place[axis]}


def test_shifted_and_transposed_pixels_have_other_digests() -> None:
    pixels = np.ones((3, 8), np.uint8)
    seen = {digest(SliceMask(pixels, (row, column))) for row in range(20) for column in range(20)}
    assert len(seen) == 400
    assert digest(SliceMask(pixels.T.copy(), (0, 0))) not in seen


def test_digests_are_the_same_on_every_machine() -> None:
    pixels = (np.add.outer(np.arange(9), np.arange(13)) % 3 == 0).astype(np.uint8)
    assert digest(SliceMask(pixels, (5, 6))) == "94ceae59c7be1250"


def test_ten_thousand_random_slices_have_ten_thousand_digests() -> None:
    voxels = (np.random.default_rng(0).random((10000, 16, 16)) < 0.5).astype(np.uint8)
    assert len(set(digests(Crop(voxels, (0, 0, 0)), 0).values())) == 10000


def test_without_history_everything_is_drawn() -> None:
    marks = read_marks([], Crop(np.ones((2, 3, 3), np.uint8), (4, 0, 0)), 0)
    assert (list(marks.drawn), marks.corrected, marks.kept_empty) == ([4, 5], frozenset(), frozenset())
    empty: list[Moment] = []
    assert read_marks(empty, Crop.nothing(), 1).drawn == {}
