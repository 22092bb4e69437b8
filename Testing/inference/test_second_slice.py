"""Drawing a second slice, wherever it lies, must not make the rest of the volume clearly worse.

Organs of several shapes, and a network as it is in life: right in the large, unsure at the border, and it takes a
neighbouring organ of the same brightness for the structure.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage

from momentumseg.inference.volume_consistency import ConsistencyConfig, make_consistent

SIZE, CELLS, SLICES = 64, 16, 20
PIXEL, SPACING = 3.0, 8.0  # mm


def a_ball() -> np.ndarray:
    return an_ellipsoid((10, 32, 32), (8.5, 22, 22))


def a_long_organ() -> np.ndarray:
    return an_ellipsoid((10, 30, 34), (9.0, 8, 10))


def a_wedge() -> np.ndarray:
    """Large at its upper end, with a long thin tip, like a liver."""
    rows, columns = np.ogrid[:SIZE, :SIZE]
    radii = [
        0 if not 2 <= s <= 17 else 22 * min(1.0, (s - 1) / 10) * min(1.0, (18 - s) / 3) ** 0.5 for s in range(SLICES)
    ]
    return np.stack([(rows - 32) ** 2 + (columns - 20 - 0.5 * r) ** 2 < r**2 for r in radii])


def an_ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    grid = np.ogrid[:SLICES, :SIZE, :SIZE]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)) < 1


SHAPES = {"ball": a_ball, "long": a_long_organ, "wedge": a_wedge}


@cache
def case(shape: str) -> tuple[np.ndarray, torch.Tensor]:
    """Truth ``(S, 64, 64)`` and the network's logits ``(1, S, 16, 16)``."""
    truth = SHAPES[shape]()
    neighbour = an_ellipsoid((6, 50, 50), (8, 9, 9)) & ~truth
    rng = np.random.default_rng(1)
    seen = (truth + 0.7 * neighbour).reshape(SLICES, CELLS, 4, CELLS, 4).mean(axis=(2, 4))
    noise = ndimage.gaussian_filter(rng.normal(0, 1, seen.shape), (0.5, 1, 1))
    return truth, torch.from_numpy(
        5 * (ndimage.gaussian_filter(seen, (0, 0.5, 0.5)) - 0.45) + noise / noise.std()
    ).float()[None]


def result_of(shape: str, *drawn: int) -> np.ndarray:
    truth, logits = case(shape)
    refined = make_consistent(
        logits,
        {(0, s): truth[s] for s in drawn},
        lambda s: truth[s].astype(np.float32),
        size=SIZE,
        pixel_spacing=PIXEL,
        slice_spacing=SPACING,
        parts=[1],
        config=ConsistencyConfig(edges=None),
    )
    return (refined[0] > 0).numpy()


def dice(found: np.ndarray, truth: np.ndarray, without: set[int]) -> float:
    rest = [s for s in range(SLICES) if s not in without]
    return 2 * (found[rest] & truth[rest]).sum() / (found[rest].sum() + truth[rest].sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_second_slice_anywhere_is_hardly_a_loss_for_the_rest(shape: str) -> None:
    truth, _ = case(shape)
    present = np.flatnonzero(truth.any(axis=(1, 2))).tolist()
    middle = present[len(present) // 2]
    alone = result_of(shape, middle)

    change = {
        s: dice(result_of(shape, middle, s), truth, {middle, s}) - dice(alone, truth, {middle, s})
        for s in present
        if s != middle
    }

    assert np.mean(list(change.values())) > -0.01, change
    assert min(change.values()) > -0.03, change


@pytest.mark.parametrize("shape", SHAPES)
def test_a_slice_drawn_at_an_end_first_is_mended_by_one_in_the_middle(shape: str) -> None:
    truth, _ = case(shape)
    present = np.flatnonzero(truth.any(axis=(1, 2))).tolist()
    for end in (present[0], present[-1]):
        middle = present[len(present) // 2]
        both, alone = result_of(shape, middle, end), result_of(shape, end)
        assert dice(both, truth, {middle, end}) > dice(alone, truth, {middle, end})
        assert dice(both, truth, {middle, end}) > 0.8
