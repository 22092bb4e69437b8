from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_update import MomentumUpdateTransformer, region_weights

CHANNELS = 8


@pytest.fixture
def a_block(randomized: Callable[[nn.Module], nn.Module]) -> MomentumUpdateTransformer:
    torch.manual_seed(0)
    return randomized(MomentumUpdateTransformer(CHANNELS, heads=2, identity_start=False))


@pytest.fixture
def some_regions() -> Tensor:
    return torch.randn(3, 11, CHANNELS, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def some_prototypes() -> Tensor:
    return torch.randn(3, CHANNELS, generator=torch.Generator().manual_seed(2))


def test_block_computes_equations_18_and_19(
    a_block: MomentumUpdateTransformer,
    some_regions: Tensor,
    some_prototypes: Tensor,
    naive_update: Callable[[nn.Module, Tensor, Tensor], Tensor],
) -> None:
    pairs = zip(some_regions, some_prototypes, strict=True)
    expected = torch.stack([naive_update(a_block, p, prototype) for p, prototype in pairs])
    torch.testing.assert_close(a_block(some_regions, some_prototypes), expected, atol=1e-5, rtol=1e-5)


def test_weights_are_a_softmax_over_the_regions_above_the_bound() -> None:
    """s = (0, 1, 5): the bound is (0 + 2) / 2 = 1, and a region must lie strictly above it."""
    weights = region_weights(torch.tensor([[[0.0], [1.0], [5.0]]]), torch.ones(1, 1))
    assert weights.tolist() == [[0.0, 0.0, 1.0]]
    weights = region_weights(torch.tensor([[[0.0], [4.0], [5.0]]]), torch.ones(1, 1))
    torch.testing.assert_close(weights, torch.tensor([[0.0, 0.26894, 0.73106]]))


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_weights_sum_to_one_however_large_the_similarities(
    scale: float, some_regions: Tensor, some_prototypes: Tensor
) -> None:
    weights = region_weights(scale * some_regions, some_prototypes)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))


def test_one_region_has_all_the_weight() -> None:
    assert region_weights(torch.randn(2, 1, CHANNELS), torch.randn(2, CHANNELS)).tolist() == [[1.0], [1.0]]


def test_equal_similarities_share_the_weight() -> None:
    weights = region_weights(torch.ones(1, 4, CHANNELS), torch.full((1, CHANNELS), 2.0))
    torch.testing.assert_close(weights, torch.full((1, 4), 0.25))


@pytest.mark.parametrize("regions", [1, 4])
def test_degenerate_regions_give_finite_results_and_gradients(a_block: MomentumUpdateTransformer, regions: int) -> None:
    p = torch.ones(2, regions, CHANNELS, requires_grad=True)
    result = a_block(p, torch.ones(2, CHANNELS))
    (result**2).sum().backward()
    assert result.isfinite().all() and p.grad.isfinite().all()


def test_order_of_the_regions_goes_through(
    a_block: MomentumUpdateTransformer, some_regions: Tensor, some_prototypes: Tensor
) -> None:
    order = torch.randperm(some_regions.shape[1])
    permuted = a_block(some_regions[:, order], some_prototypes)
    torch.testing.assert_close(permuted, a_block(some_regions, some_prototypes)[:, order], atol=1e-5, rtol=1e-5)


def test_an_identity_start_only_adds_the_query_prototype(some_regions: Tensor, some_prototypes: Tensor) -> None:
    block = MomentumUpdateTransformer(CHANNELS, heads=2, identity_start=True).eval()
    moved = region_weights(some_regions, some_prototypes)[..., None] * some_prototypes[:, None] + some_regions
    for _ in range(3):
        moved = functional.layer_norm(moved, (CHANNELS,))
    torch.testing.assert_close(block(some_regions, some_prototypes), moved)


def test_autocast_does_not_lower_the_precision(
    a_block: MomentumUpdateTransformer, some_regions: Tensor, some_prototypes: Tensor
) -> None:
    expected = a_block(some_regions, some_prototypes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(a_block(some_regions, some_prototypes), expected)


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(InputError, match="8 channels cannot be shared among 3"):
        MomentumUpdateTransformer(CHANNELS, heads=3)
