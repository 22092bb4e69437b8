"""The way back in layers is the way back at once; a box needs only a part."""

from __future__ import annotations

import numpy as np
import pytest

from momentumseg.geometry.canonical_grid import CanonicalGrid
from momentumseg.geometry.canonical_layers import GridPart

SHAPE = (9, 14, 11)


def a_matrix(directions: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = directions * (0.9, 1.3, 2.5)
    return matrix


def in_layers(values: np.ndarray, thickness: int) -> list[tuple[int, np.ndarray]]:
    return [(first, values[:, first : first + thickness]) for first in range(0, values.shape[1], thickness)]


def some_probabilities(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(3), shape).transpose(3, 0, 1, 2).astype(np.float32)


def put_together(part: GridPart, values: np.ndarray, thickness: int) -> np.ndarray:
    """(C, K, J, I) of layers; every voxel of the box must be written exactly once."""
    result = np.full((len(values), *part.grid.source_shape), np.nan, dtype=np.float32)
    expected = 0
    for first, probabilities in part.voxels_of(in_layers(values, thickness)):
        assert first == expected
        expected += probabilities.shape[1]
        for channel, target in zip(probabilities, result, strict=True):
            part.view(target)[first : first + len(channel)] = channel
    assert expected == part.shape[0]
    return result


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0), (4.0, 0.5, None), (0.6, 3.0, 1.7)])
@pytest.mark.parametrize("thickness", [1, 4, 100])
def test_layers_give_what_all_at_once_gives(an_axis_order: np.ndarray, spacing: tuple, thickness: int) -> None:
    grid = CanonicalGrid.of(SHAPE, a_matrix(an_axis_order), spacing=spacing)
    values = some_probabilities(grid.shape)
    found = put_together(GridPart.of(grid, None, (8, 8, 8)), values, thickness)
    np.testing.assert_allclose(found, grid.backward_probabilities(values), atol=1e-6)


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0), (4.0, 0.5, None)])
@pytest.mark.parametrize("sides", [(1, 1, 1), (4, 6, 2), (1, 50, 50)])
def test_box_needs_a_part_of_the_grid_only(an_axis_order: np.ndarray, spacing: tuple, sides: tuple) -> None:
    grid = CanonicalGrid.of(SHAPE, a_matrix(an_axis_order), spacing=spacing)
    values = some_probabilities(grid.shape)
    box = ((2, 7), (5, 6), (0, 4))
    part = GridPart.of(grid, box, sides)
    found = put_together(part, values[(slice(None), *part.pixels)], 3)
    inside = np.zeros(SHAPE, dtype=bool)
    inside[0:4, 5:6, 2:7] = True
    np.testing.assert_allclose(found[:, inside], grid.backward_probabilities(values)[:, inside], atol=1e-6)
    assert np.isnan(found[:, ~inside]).all()
    for span, size, side in zip(part.pixels, grid.shape, sides, strict=True):
        assert 0 <= span.start < span.stop <= size
        assert span.stop - span.start >= min(side, size)


def test_no_more_than_is_needed_is_asked_for() -> None:
    grid = CanonicalGrid.of((40, 5, 5), np.eye(4))
    taken: list[int] = []

    def layers() -> object:
        for first in range(40):
            taken.append(first)
            yield first, np.ones((2, 1, 5, 5), dtype=np.float32)

    steps = GridPart.of(grid, None, (1, 1, 1)).voxels_of(layers())
    assert next(steps)[0] == 0
    assert taken == [0]
