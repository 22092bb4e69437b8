from __future__ import annotations

import numpy as np
import pytest

from momentumseg.inference.edge_refinement import guided_filter, refine_edges


def naive_guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, smoothness: float) -> np.ndarray:
    """Straight from the paper: one linear model a window, averaged over the windows that cover a pixel."""
    padded_guide, padded_values = (
        np.pad(array, 2 * radius, mode="edge").astype(np.float64) for array in (guide, values)
    )
    rows, columns = (extent + 2 * radius for extent in guide.shape)
    slope, offset = np.empty((rows, columns)), np.empty((rows, columns))
    for row in range(rows):
        for column in range(columns):
            window = (slice(row, row + 2 * radius + 1), slice(column, column + 2 * radius + 1))
            i, p = padded_guide[window], padded_values[window]
            slope[row, column] = ((i * p).mean() - i.mean() * p.mean()) / (i.var() + smoothness)
            offset[row, column] = p.mean() - slope[row, column] * i.mean()
    result = np.empty(guide.shape)
    for row in range(guide.shape[0]):
        for column in range(guide.shape[1]):
            window = (slice(row, row + 2 * radius + 1), slice(column, column + 2 * radius + 1))
            result[row, column] = slope[window].mean() * guide[row, column] + offset[window].mean()
    return result


def test_guided_filter_agrees_with_a_naive_one_inside() -> None:
    rng = np.random.default_rng(0)
    guide, values = rng.normal(size=(24, 20)), rng.random((24, 20))

    result = guided_filter(guide, values, 2, 0.1)

    # at the border the naive one pads the image where the fast one pads the windows' means
    inside = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(result[inside], naive_guided_filter(guide, values, 2, 0.1)[inside], rtol=1e-6)


def test_constant_values_stay() -> None:
    guide = np.random.default_rng(1).normal(size=(16, 16))

    np.testing.assert_allclose(guided_filter(guide, np.full((16, 16), 0.3), 3, 0.01), 0.3, atol=1e-6)


def test_an_edge_moves_to_that_of_the_image() -> None:
    image = np.zeros((32, 32), dtype=np.float32)
    image[:, 16:] = 1.0
    logit = np.where(np.arange(32)[None, :] >= 14, 2.0, -2.0) * np.ones((32, 1))

    refined = refine_edges(logit.astype(np.float32), image, radius=4, smoothness=0.01)

    before, after = ((values > 0) != (image > 0.5) for values in (logit, refined))
    assert before.sum() == 2 * 32
    assert after.sum() <= before.sum() / 2


def test_a_slice_without_foreground_is_untouched() -> None:
    logit = np.full((8, 8), -3.0, dtype=np.float32)

    np.testing.assert_array_equal(refine_edges(logit, np.zeros((8, 8)), 2, 0.01), logit)


@pytest.mark.parametrize("radius", [0, 3])
def test_the_input_is_not_changed(radius: int) -> None:
    logit = np.zeros((16, 16), dtype=np.float32)
    logit[4:8, 4:8] = 4.0
    before = logit.copy()

    refine_edges(logit, np.random.default_rng(2).normal(size=(16, 16)), radius, 0.01)

    np.testing.assert_array_equal(logit, before)
