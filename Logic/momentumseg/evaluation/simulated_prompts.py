"""Clicks as a careful user gives them, taken from the reference: each at the centre of the largest error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from momentumseg.sessions.prompt_decoder import SlicePrediction
from momentumseg.sessions.prompt_objects import PointPrompt, Prompt

Ask = Callable[[Prompt], SlicePrediction]
"""Adds a prompt and returns the answer to all of them."""


def next_click(prediction: np.ndarray | None, reference: np.ndarray) -> PointPrompt | None:
    """The click of a user who corrects the largest error; None when there is none.

    Args:
        prediction: boolean mask (rows, columns); None for nothing yet: the first click goes into the structure.
        reference: what is right.
    """
    missed = reference if prediction is None else reference & ~prediction
    wrong = np.zeros_like(reference) if prediction is None else prediction & ~reference
    inside, outside = _largest_part(missed), _largest_part(wrong)
    if not inside.any() and not outside.any():
        return None
    positive = bool(np.count_nonzero(inside) >= np.count_nonzero(outside))
    row, column = _centre(inside if positive else outside)
    return PointPrompt(float(column), float(row), positive)


def click_until(reference: np.ndarray, count: int, ask: Ask, first: np.ndarray | None = None) -> list[SlicePrediction]:
    """Answers after 1, 2 .. ``count`` clicks, each at the centre of the largest error of the answer before it.

    When no error is left the last answer is repeated.

    Args:
        first: mask before the first click, None for nothing yet.
    """
    answers: list[SlicePrediction] = []
    mask = first
    for _ in range(count):
        click = next_click(mask, reference)
        if click is not None:
            answers.append(ask(click))
        elif answers:
            answers.append(answers[-1])
        else:
            break
        mask = answers[-1].mask
    return answers


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """The connected part of a mask with most voxels."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())


def _centre(mask: np.ndarray) -> tuple[int, int]:
    """The voxel furthest from the border of a mask; the border of the slice is one."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(row), int(column)
