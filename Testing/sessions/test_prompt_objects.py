"""Prompts that can be used, and the sentence for each that cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from momentumseg.errors import EmptySupportError, GeometryError, InputError
from momentumseg.sessions.prompt_objects import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    ScribblePrompt,
    check_no_contradiction,
    checked_prompt,
)

SHAPE = (40, 48)  # rows, columns


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (PointPrompt(48, 10), "outside slice 3, which has 48 columns and 40 rows"),
        (PointPrompt(10, -1), "point at (10, -1)"),
        (PointPrompt(math.nan, 10), "outside slice 3"),
        (ScribblePrompt(((5, 5), (5, 40))), "scribble at (5, 40)"),
        (BoxPrompt(10, 10, 10, 20), "no area"),
        (BoxPrompt(10, 20, 30, 20), "no area"),
        (BoxPrompt(50, 10, 60, 20), "lies outside slice 3"),
        (BoxPrompt(math.inf, 10, 60, 20), "no numbers"),
        (ScribblePrompt(()), "no points"),
        (MaskPrompt(np.zeros(SHAPE)), "empty"),
        (MaskPrompt(np.ones((48, 40))), "slice 3 has (40, 48)"),
        (MaskPrompt(np.full(SHAPE, np.nan)), "not numbers"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(prompt, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        checked_prompt(prompt, 3, SHAPE)
    assert words in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_kinds_of_refusal() -> None:
    with pytest.raises(GeometryError):
        checked_prompt(MaskPrompt(np.ones((3, 3))), 0, SHAPE)
    with pytest.raises(EmptySupportError):
        checked_prompt(MaskPrompt(np.zeros(SHAPE)), 0, SHAPE)


def test_corners_of_a_box_come_in_any_order_and_are_cut_to_the_slice() -> None:
    assert checked_prompt(BoxPrompt(60, 30, 10, -4), 0, SHAPE) == BoxPrompt(10, -0.5, 47.5, 30)


def test_a_voxel_is_not_inside_and_outside() -> None:
    check_no_contradiction([PointPrompt(5, 5), PointPrompt(6, 5, False)], 2)
    with pytest.raises(InputError, match=r"\(5, 5\) on slice 2 is marked as inside and as outside"):
        check_no_contradiction([PointPrompt(5.2, 4.8), ScribblePrompt(((4.9, 5.1),), False)], 2)


def test_a_box_around_a_mask_goes_through_its_outermost_voxels() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10:21, 5:9] = True
    assert BoxPrompt.around(mask) == BoxPrompt(5, 10, 8, 20)
    assert BoxPrompt.around(mask, (2.0, 1.0)) == BoxPrompt(3, 9, 10, 21)
    with pytest.raises(EmptySupportError):
        BoxPrompt.around(np.zeros(SHAPE, dtype=bool))


def test_a_long_stroke_becomes_few_points_at_equal_distances() -> None:
    stroke = ScribblePrompt(tuple((float(x), 7.0) for x in (0, 1, 2, 3, 4, 5, 6, 7, 8, 20)), positive=False)
    points = stroke.points(5)
    assert [point.x for point in points] == [0, 5, 10, 15, 20]
    assert all(not point.positive and point.y == 7 for point in points)
    assert ScribblePrompt(((1.0, 2.0), (3.0, 4.0))).points() == [PointPrompt(1, 2), PointPrompt(3, 4)]


def test_paint_becomes_voxels_of_the_paint_that_are_far_from_each_other() -> None:
    paint = np.zeros(SHAPE, dtype=bool)
    paint[20, 4:44] = True
    places = ScribblePrompt.from_mask(paint, count=3).path
    assert {y for _, y in places} == {20}
    assert {4.0, 43.0} < {x for x, _ in places}
    with pytest.raises(EmptySupportError):
        ScribblePrompt.from_mask(np.zeros(SHAPE, dtype=bool))
    assert len(ScribblePrompt.from_mask(np.eye(2, dtype=bool)).path) == 2


def test_masks_are_equal_by_their_voxels() -> None:
    mask = np.eye(4, dtype=bool)
    assert MaskPrompt(mask) == MaskPrompt(mask.copy())
    assert MaskPrompt(mask) != MaskPrompt(~mask)
    assert MaskPrompt(mask) != PointPrompt(0, 0)
    assert hash(MaskPrompt(mask)) == hash(MaskPrompt(mask.copy()))
