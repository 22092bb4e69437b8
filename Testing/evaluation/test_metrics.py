"""Dice, IoU, surface Dice and volumes against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from momentumseg.errors import GeometryError
from momentumseg.evaluation.metrics import (
    Confusion,
    MeanAndDeviation,
    hausdorff_95,
    mask_score,
    surface_dice,
    volume_ml,
)


def a_box(shape: tuple[int, int, int], corner: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(start, start + length) for start, length in zip(corner, size, strict=True))] = 1
    return mask


def expected_surface_dice(sides: tuple[float, float, float], shift: float, tolerance: float) -> float:
    """Of two equal boxes, one shifted along its first side: what of a surface is within the tolerance of the other."""
    along, width, height = sides
    total = 2 * (along * width + along * height + width * height)
    if tolerance >= shift:
        return 1.0
    lateral = (along - shift + tolerance) * 2 * (width + height)
    # the end face inside the other box is near to its lateral faces along its border only
    border = width * height - (width - 2 * tolerance) * (height - 2 * tolerance)
    return (lateral + border) / total


def test_dice_and_iou_from_counts() -> None:
    counts = Confusion.of(np.array([1, 1, 1, 0, 0]), np.array([0, 1, 1, 1, 0]))
    assert counts == Confusion(2, 1, 1)
    assert counts.dice == pytest.approx(2 / 3)
    assert counts.iou == pytest.approx(1 / 2)


def test_two_empty_masks_agree_and_one_empty_mask_does_not() -> None:
    empty, full = np.zeros((2, 3, 4)), np.ones((2, 3, 4))
    both, one = mask_score(empty, empty, (1, 1, 1)), mask_score(full, empty, (1, 1, 1))
    assert (both.dice, both.iou, both.surface_dice) == (1, 1, 1)
    assert (one.dice, one.iou, one.surface_dice) == (0, 0, 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.integers(0, 40))
def test_counts_of_slices_add_up_to_the_volume(voxels: list[tuple[bool, bool]], cut: int) -> None:
    prediction, reference = np.array(voxels).T
    parts = Confusion.of(prediction[:cut], reference[:cut]) + Confusion.of(prediction[cut:], reference[cut:])
    assert parts == Confusion.of(prediction, reference)


def test_masks_on_different_grids_are_refused() -> None:
    with pytest.raises(GeometryError, match="same grid"):
        mask_score(np.ones((2, 2, 2)), np.ones((2, 2, 3)), (1, 1, 1))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (7.7, 1.25, 1.25), (1.0, 4.0, 0.5)])
def test_surface_dice_of_shifted_boxes_is_the_analytic_one(spacing: tuple[float, float, float], axis: int) -> None:
    size = [24, 24, 24]
    size[axis] = 30
    corner = [5, 5, 5]
    first = a_box((50, 50, 50), (5, 5, 5), (size[0], size[1], size[2]))
    corner[axis] += 8
    second = a_box((50, 50, 50), (corner[0], corner[1], corner[2]), (size[0], size[1], size[2]))
    lengths = [count * step for count, step in zip(size, spacing, strict=True)]
    sides = (lengths.pop(axis), *lengths)
    shift = 8 * spacing[axis]
    for tolerance in (0.4 * shift, 1.01 * shift):
        expected = expected_surface_dice((sides[0], sides[1], sides[2]), shift, tolerance)
        found = surface_dice(first, second, spacing, tolerance)
        # one voxel of discretisation along the shifted edges
        assert found == pytest.approx(expected, abs=0.05)


def test_surface_dice_knows_which_axis_is_thick() -> None:
    """The same shift of one voxel is 5 mm along the slices and 1 mm in the plane."""
    box = a_box((20, 40, 40), (5, 10, 10), (8, 20, 20))
    spacing = (5.0, 1.0, 1.0)
    assert surface_dice(box, np.roll(box, 1, axis=1), spacing, 3.0) == pytest.approx(1.0)
    assert surface_dice(box, np.roll(box, 1, axis=0), spacing, 3.0) < 0.9


def test_surface_dice_does_not_change_where_the_mask_lies_in_the_volume() -> None:
    first, second = a_box((9, 20, 20), (0, 0, 0), (4, 9, 9)), a_box((9, 20, 20), (1, 2, 0), (4, 9, 9))
    moved = [np.pad(mask, ((3, 2), (4, 0), (1, 6))) for mask in (first, second)]
    assert surface_dice(first, second, (3, 1, 1), 2.0) == pytest.approx(surface_dice(*moved, (3, 1, 1), 2.0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hausdorff_distance_is_in_mm(axis: int) -> None:
    """A box that is 4 voxels longer on one side: the far face, more than 5 % of the surface, is 4 voxels away."""
    spacing = (5.0, 1.0, 0.5)
    size = [12, 12, 12]
    longer = [*size]
    longer[axis] += 4
    first, second = a_box((24, 24, 24), (3, 3, 3), tuple(size)), a_box((24, 24, 24), (3, 3, 3), tuple(longer))
    assert hausdorff_95(first, second, spacing) == pytest.approx(4 * spacing[axis])
    assert hausdorff_95(second, first, spacing) == pytest.approx(4 * spacing[axis])
    assert hausdorff_95(first, first, spacing) == 0.0


@pytest.mark.filterwarnings("ignore::FutureWarning")  # raised by MONAI about a call inside MONAI
def test_hausdorff_distance_is_that_of_monai() -> None:
    rng = np.random.default_rng(0)
    from monai.metrics import compute_hausdorff_distance

    for _ in range(3):
        first, second = (rng.normal(size=(9, 14, 12)) > 1.0 for _ in range(2))
        tensors = [torch.from_numpy(mask)[None, None] for mask in (first, second)]
        expected = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=[3.0, 1.0, 1.5])
        assert hausdorff_95(first, second, (3.0, 1.0, 1.5)) == pytest.approx(float(expected[0, 0]), abs=1e-4)


def test_there_is_no_distance_to_an_empty_mask() -> None:
    empty = np.zeros((4, 4, 4), dtype=bool)
    assert hausdorff_95(empty, ~empty, (1, 1, 1)) is None


def test_volume_in_ml() -> None:
    assert volume_ml(a_box((5, 5, 5), (0, 0, 0), (2, 5, 5)), (4.0, 2.0, 2.5)) == pytest.approx(1.0)


def test_mean_and_sample_deviation() -> None:
    assert str(MeanAndDeviation.of([0.7, 0.9])) == "0.800 ± 0.141"
    assert MeanAndDeviation.of([0.5]) == MeanAndDeviation(0.5, None, 1)
    assert str(MeanAndDeviation.of([])) == "-"
