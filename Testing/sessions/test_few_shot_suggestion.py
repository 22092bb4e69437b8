"""Which slice helps most when it is drawn next."""

from __future__ import annotations

import pytest

from momentumseg.sessions.few_shot_suggestion import help_of_drawing


def best(area: dict[int, float], known: set[int]) -> int:
    helps = help_of_drawing(area, known)
    return max(helps, key=lambda s: (helps[s], -s))


def test_a_known_slice_is_no_help() -> None:
    helps = help_of_drawing({0: 1.0, 1: 5.0, 2: 1.0}, {1})
    assert helps[1] == 0
    assert helps[0] == helps[2] == 1.0  # each only itself: the other lies behind the known one


def test_the_middle_of_a_long_uncertain_part_helps_most() -> None:
    assert best(dict.fromkeys(range(11), 1.0), {10}) in range(2, 6)
    assert best(dict.fromkeys(range(11), 1.0), {0, 10}) == 5


def test_a_small_end_is_not_preferred_however_uncertain_the_large_slices_beside_it_are() -> None:
    ellipsoid = {s: max(0.0, 25.0 - (s - 5) ** 2) for s in range(11)}
    for known in ({5}, {2, 8}):
        assert 1 < best(ellipsoid, known) < 9


def test_the_side_with_more_uncertain_area_wins() -> None:
    area = dict.fromkeys(range(11), 1.0) | dict.fromkeys(range(6, 11), 1.5)
    assert best(area, {5}) > 5


def test_neighbours_count_less_the_nearer_they_are_to_a_known_slice() -> None:
    helps = help_of_drawing({0: 0.0, 1: 8.0, 2: 0.0, 3: 0.0}, {0})
    assert helps[1] == 8.0
    assert helps[2] == 0.0  # slice 1 is as near to slice 0
    helps = help_of_drawing({0: 0.0, 1: 0.0, 2: 8.0, 3: 0.0}, {0})
    assert helps[3] == helps[1] == 4.0


def test_nothing_known_and_nothing_there() -> None:
    assert help_of_drawing({}, {1}) == {}
    assert best({3: 1.0, 4: 2.0, 5: 1.0}, set()) == 4
    assert help_of_drawing({7: 2.0}, set()) == pytest.approx({7: 2.0})
