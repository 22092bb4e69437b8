"""The reference without a network."""

from __future__ import annotations

import numpy as np

from momentumseg.evaluation.interpolation import interpolate_drawn_slices


def a_cone(radii: list[float]) -> np.ndarray:
    rows, columns = np.mgrid[:41, :41] - 20
    return np.stack([np.hypot(rows, columns) <= radius for radius in radii])


def test_a_cone_comes_back_from_its_ends() -> None:
    cone = a_cone([4.5, 6.5, 8.5, 10.5, 12.5])
    found = interpolate_drawn_slices(cone, [0, 4], (1.0, 1.0))
    for index in range(5):
        assert abs(int(found[index].sum()) - int(cone[index].sum())) < 0.08 * cone[index].sum()
    assert (found[[0, 4]] == cone[[0, 4]]).all()


def test_nothing_beyond_the_drawn_slices_and_undrawn_ones_are_not_looked_at() -> None:
    cone = a_cone([4.5, 6.5, 8.5, 10.5, 12.5])
    found = interpolate_drawn_slices(cone, [1, 3], (1.0, 1.0))
    assert not found[[0, 4]].any()
    spoiled = cone.copy()
    spoiled[[0, 2, 4]] = False
    assert (interpolate_drawn_slices(spoiled, [3, 1, 3], (1.0, 1.0)) == found).all()


def test_one_drawn_slice_gives_only_itself() -> None:
    cone = a_cone([4.5, 6.5, 8.5])
    found = interpolate_drawn_slices(cone, [1], (2.0, 1.0))
    assert found.any(axis=(1, 2)).tolist() == [False, True, False]


def test_distances_are_in_mm() -> None:
    """Half way between a bar and a bar shifted by 8 mm along rows: shifted by 4 mm, whatever the pixel size."""
    bars = np.zeros((3, 40, 40), bool)
    bars[0, 10:22], bars[2, 18:30] = True, True
    found = interpolate_drawn_slices(bars, [0, 2], (1.0, 3.0))
    assert np.flatnonzero(found[1].all(axis=1)).tolist() == list(range(14, 26))
