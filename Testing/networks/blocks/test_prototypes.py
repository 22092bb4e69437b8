from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import EmptySupportError
from momentumseg.networks.blocks.prototypes import (
    cosine_map,
    foreground_cells,
    masked_average,
    regional_prototypes,
    soft_average,
)


def disc(size: int = 32, radius: float = 9, centre: tuple[float, float] = (14.0, 17.0)) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).to(torch.uint8)


@pytest.mark.parametrize("sizes", [((8, 8), (32, 32)), ((5, 4), (13, 10)), ((6, 6), (6, 6))])
def test_masked_average_is_the_average_over_up_sampled_features(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Equation 15 as it is written: up-sample, multiply, sum, divide."""
    small, large = sizes
    rng = np.random.default_rng(0)
    features, mask = rng.normal(size=(2, 3, *small)), rng.random((2, *large)) > 0.7
    expected = [naive_masked_average(*pair) for pair in zip(features, mask, strict=True)]
    found = masked_average(torch.from_numpy(features), torch.from_numpy(mask))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_masked_average_accepts_soft_masks_of_any_type() -> None:
    features, mask = torch.randn(1, 2, 8, 8), disc()[None]
    reference = masked_average(features, mask.float())
    for same in (mask, mask.bool(), mask.double(), mask.to(torch.int64)):
        torch.testing.assert_close(masked_average(features, same), reference)
    torch.testing.assert_close(masked_average(features, mask * 0.5), reference, atol=1e-6, rtol=1e-5)


def test_masked_average_of_an_empty_mask_is_zero() -> None:
    assert torch.equal(masked_average(torch.randn(1, 2, 8, 8), torch.zeros(1, 32, 32)), torch.zeros(1, 2))


def test_masked_average_can_be_differentiated_after_its_first_use_in_inference_mode() -> None:
    """The interpolation matrix is kept: it must not remember under which circumstances it was made."""
    sizes = (9, 37)  # of no other test
    with torch.inference_mode(), torch.device("meta"):
        masked_average(torch.ones(1, 2, sizes[0], sizes[0], device="cpu"), torch.ones(1, 37, 37, device="cpu"))
    features = torch.randn(1, 2, sizes[0], sizes[0], requires_grad=True)
    masked_average(features, torch.ones(1, 37, 37)).sum().backward()
    assert features.grad is not None and features.grad.isfinite().all()


def test_soft_average_weighs_the_features() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    weights = torch.tensor([[[0.0, 1.0], [0.5, 0.0]]])
    torch.testing.assert_close(soft_average(features, weights), torch.tensor([[(2 + 1.5) / (1.5 + 1e-5)]]))


def test_cosine_map_is_the_cosine() -> None:
    features, prototypes = torch.randn(2, 5, 3, 4), torch.randn(2, 5)
    expected = functional.cosine_similarity(features, prototypes[:, :, None, None], dim=1)
    torch.testing.assert_close(cosine_map(functional.normalize(features, dim=1), prototypes), expected)


def test_cosine_with_a_zero_prototype_is_zero() -> None:
    assert torch.equal(cosine_map(torch.ones(1, 2, 1, 1), torch.zeros(1, 2)), torch.zeros(1, 1, 1))


@pytest.mark.parametrize("count", [1, 2, 7, 20])
@pytest.mark.parametrize("seed", [None, 5])
def test_regional_prototypes_are_means_over_voronoi_regions(count: int, seed: int | None) -> None:
    features, mask = torch.randn(3, 8, 8, dtype=torch.float64), disc()
    found = regional_prototypes(features, mask, count, generator_of(seed))
    np.testing.assert_allclose(found, naive_regions(features.numpy(), mask.numpy(), count, seed), atol=1e-12)


@given(st.integers(1, 60), st.integers(0, 2**16))
def test_regions_share_out_every_cell_once(count: int, seed: int) -> None:
    """With ones in a channel of its own for every cell, the regions' means tell which cells they hold."""
    generator = np.random.default_rng(seed)
    mask = torch.from_numpy(generator.random((16, 16)) > 0.6)
    if not mask.any():
        return
    features = torch.eye(16, dtype=torch.float64).reshape(16, 4, 4)
    found = regional_prototypes(features, mask, count)
    cells = foreground_cells(mask, (4, 4)).flatten()
    assert len(found) == min(count, int(cells.sum()))
    owners = (found > 0).sum(dim=0)
    assert torch.equal(owners, cells.long())
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found), dtype=torch.float64))


def test_more_regions_than_cells_give_the_cells_themselves() -> None:
    """Never cells outside the mask: the published code takes those of the image's top left corner."""
    features, mask = torch.randn(3, 8, 8), disc(radius=5)
    cells = foreground_cells(mask, (8, 8))
    found = regional_prototypes(features, mask, 100)
    assert len(found) == int(cells.sum()) < 100
    assert sorted(found.tolist()) == sorted(features[:, cells].T.tolist())


def test_regions_are_the_same_at_every_call_unless_a_generator_draws_the_first() -> None:
    features, mask = torch.randn(3, 8, 8), disc()
    assert torch.equal(regional_prototypes(features, mask, 5), regional_prototypes(features, mask, 5))
    drawn = {tuple(regional_prototypes(features, mask, 5, generator_of(seed))[0].tolist()) for seed in range(10)}
    assert len(drawn) > 1


@pytest.mark.parametrize("column", [0, 3, 16, 31])
def test_a_line_that_no_sample_meets_keeps_the_cells_it_touches(column: int) -> None:
    mask = torch.zeros(32, 32)
    mask[4:12, column] = 1
    cells = foreground_cells(mask, (8, 8))
    assert cells.nonzero().tolist() == [[1, column // 4], [2, column // 4]]


def test_a_single_pixel_has_one_prototype() -> None:
    mask = torch.zeros(32, 32)
    mask[0, 31] = 1
    features = torch.randn(3, 8, 8)
    torch.testing.assert_close(regional_prototypes(features, mask, 100), features[None, :, 0, 7])


def test_an_empty_mask_is_refused_in_words() -> None:
    with pytest.raises(EmptySupportError, match="no foreground; draw"):
        regional_prototypes(torch.randn(3, 8, 8), torch.zeros(32, 32), 10)


def generator_of(seed: int | None) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed)


def naive_masked_average(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Half-pixel bilinear interpolation, pixel by pixel."""
    total = np.zeros(len(features))
    for row, column in np.argwhere(mask):
        total += interpolated(features, row, column, mask.shape)
    return total / (mask.sum() + 1e-5)


def interpolated(features: np.ndarray, row: int, column: int, shape: tuple[int, ...]) -> np.ndarray:
    weights = []
    for index, large, small in ((row, shape[0], features.shape[1]), (column, shape[1], features.shape[2])):
        position = max(0.0, (index + 0.5) * small / large - 0.5)
        low = min(int(position), small - 1)
        high = min(low + 1, small - 1)
        weights.append(((low, 1 - (position - low)), (high, position - low)))
    return sum(a * b * features[:, i, j] for i, a in weights[0] for j, b in weights[1])


def naive_regions(features: np.ndarray, mask: np.ndarray, count: int, seed: int | None) -> list[np.ndarray]:
    """Farthest-point centres and their Voronoi regions, cell by cell; a cell is sampled in its inner 2x2 pixels."""
    side = mask.shape[0] // 4
    cells = [
        (i, j) for i in range(side) for j in range(side) if mask[4 * i + 1 : 4 * i + 3, 4 * j + 1 : 4 * j + 3].any()
    ]
    if seed is None:
        middle = np.mean(cells, axis=0)
        centres = [min(cells, key=lambda cell: float(np.sum((np.array(cell) - middle) ** 2)))]
    else:
        centres = [cells[int(torch.randint(len(cells), (1,), generator=generator_of(seed)))]]
    while len(centres) < min(count, len(cells)):
        centres.append(max(cells, key=lambda cell: min(squared(cell, centre) for centre in centres)))
    owners = [min(range(len(centres)), key=lambda n: squared(cell, centres[n])) for cell in cells]
    return [
        np.mean([features[:, i, j] for (i, j), owner in zip(cells, owners, strict=True) if owner == n], axis=0)
        for n in range(len(centres))
    ]


def squared(a: tuple[int, int], b: tuple[int, int]) -> int:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
