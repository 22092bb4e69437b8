"""Which drawn slice serves which slice of the volume."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.sessions.supports import Support, assign_supports, make_support

COUNT = 12


@pytest.fixture
def a_space() -> NetworkSpace:
    """Twelve axial slices whose index grows towards the head, like that of network slices."""
    return NetworkSpace.of((COUNT, 8, 8), np.eye(4), size=8)


def drawn(space: NetworkSpace, *indices: int, volume: str = "own", first_id: int = 1) -> list[Support]:
    mask = np.ones(space.slice_shape, bool)
    return [make_support(first_id + n, mask, index, 1, volume, space) for n, index in enumerate(indices)]


def assigned(supports: list[Support], space: NetworkSpace, queries=range(COUNT), **options) -> list[list[int]]:
    chosen = assign_supports(supports, queries, space, "own", **options)
    return [[support.slice_index for support in chosen[query]] for query in queries]


def test_the_nearest_slice_of_the_volume_itself(a_space):
    supports = drawn(a_space, 9, 2)
    expected = [[2]] * 6 + [[9]] * 6
    assert assigned(supports, a_space) == expected
    assert assigned(supports, a_space, assignment="nearest") == expected


def test_a_tip_serves_fewer_slices_than_a_large_outline(a_space):
    tip = np.zeros(a_space.slice_shape, bool)
    tip[3, 3] = True
    supports = [*drawn(a_space, 2), make_support(2, tip, 9, 1, "own", a_space)]
    # one of 64 pixels against one: 64 to the power of 1/4 is 2.8 times as far
    assert assigned(supports, a_space) == [[2]] * 8 + [[9]] * 4


def test_a_tie_does_not_depend_on_the_order_of_drawing(a_space):
    assert assigned(drawn(a_space, 4, 6), a_space)[5] == assigned(drawn(a_space, 6, 4), a_space)[5] == [4]


def test_the_relative_position_in_another_volume(a_space):
    taller = NetworkSpace.of((23, 8, 8), np.eye(4), size=8)
    supports = drawn(taller, 2, 20, volume="other")
    # slice q of 12 lies where slice 2 q of 23 does
    assert assigned(supports, a_space) == [[2]] * 6 + [[20]] * 6
    assert assigned(drawn(taller, 0, 4, volume="other"), a_space)[:3] == [[0], [0], [4]]


def test_chunks_when_the_extent_is_known(a_space):
    supports = drawn(a_space, 7, 5, 6, volume="other")
    queries = range(2, 9)
    # np.linspace(0, 7, 4).astype(int) = 0, 2, 4, 7
    expected = [[5], [5], [6], [6], [7], [7], [7]]
    assert assigned(supports, a_space, queries, extent_is_known=True) == expected
    assert assigned(supports, a_space, queries, assignment="chunks") == expected


def test_more_chunks_than_slices(a_space):
    supports = drawn(a_space, 1, 2, 3, 4, 5, volume="other")
    assert all(len(chosen) == 1 for chosen in assigned(supports, a_space, range(3, 6), assignment="chunks"))


def test_all(a_space):
    supports = [*drawn(a_space, 9, 2), *drawn(a_space, 5, volume="other", first_id=7)]
    assert all(sorted(chosen) == [2, 5, 9] for chosen in assigned(supports, a_space, assignment="all"))


def test_each_volume_that_was_drawn_on_contributes(a_space):
    others = [*drawn(a_space, 5, volume="b", first_id=7), *drawn(a_space, 0, volume="c", first_id=9)]
    supports = [*drawn(a_space, 9, 2), *others]
    assert sorted(assigned(supports, a_space)[3]) == [0, 2, 5]


def test_nearest_needs_a_slice_of_the_volume_itself(a_space):
    with pytest.raises(InputError, match="No slice of this volume"):
        assigned(drawn(a_space, 3, volume="other"), a_space, assignment="nearest")


def test_the_drawn_mask_is_not_shared_with_its_author(a_space):
    mask = np.ones(a_space.slice_shape, np.uint8)
    support = make_support(1, mask, 3, 1, "own", a_space)
    mask[...] = 0
    assert support.mask.all()
    boolean = np.ones(a_space.slice_shape, bool)
    support = make_support(1, boolean, 3, 1, "own", a_space)
    boolean[...] = False
    assert support.mask.all()
