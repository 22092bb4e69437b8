from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.few_shot import SupportSummary
from momentumseg.networks.prototype_nets import PrototypeHead, RegionalPrototypeHead

CHANNELS = 8


@pytest.fixture
def features() -> Tensor:
    return torch.randn(3, CHANNELS, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def summary() -> SupportSummary:
    generator = torch.Generator().manual_seed(1)
    return SupportSummary(torch.randn(CHANNELS, generator=generator), torch.randn(9, CHANNELS, generator=generator))


def adnet_probability(features: Tensor, prototype: Tensor, t: float) -> Tensor:
    """ADNet: anomaly score -20 cos, foreground 1 - sigmoid(0.5 (score - t))."""
    score = -20 * functional.cosine_similarity(features, prototype[..., None, None], dim=1)
    return 1 - torch.sigmoid(0.5 * (score - t))


def test_foreground_is_what_adnet_does_not_find_anomalous(features: Tensor, summary: SupportSummary) -> None:
    head = PrototypeHead(CHANNELS)
    output = head(features, summary)
    expected = adnet_probability(features, summary.prototype.expand(3, -1), t=-10.0)
    torch.testing.assert_close(output.logit.sigmoid(), expected, atol=1e-6, rtol=1e-4)
    assert len(output.iterates) == 1 and output.iterates[0].v.abs().max() == 0
    assert math.isclose(float(head.regularization()), -10.0 / 20)


def test_minimising_the_regularisation_shrinks_the_foreground(features: Tensor, summary: SupportSummary) -> None:
    head = PrototypeHead(CHANNELS)
    before = head(features, summary).logit
    head.regularization().backward()
    with torch.no_grad():
        head.score.threshold -= head.score.threshold.grad
    assert (head(features, summary).logit < before).all()


def test_regional_head_refines_the_regions_with_the_coarse_mask(
    features: Tensor, summary: SupportSummary, randomized: Callable[[nn.Module], nn.Module], naive_update: Callable
) -> None:
    torch.manual_seed(2)
    head = randomized(RegionalPrototypeHead(CHANNELS, attention_heads=2))
    output = head(features, summary)
    for index, one in enumerate(features):
        coarse = adnet_probability(one[None], summary.prototype[None], -float(head.score.threshold))[0]
        torch.testing.assert_close(output.iterates[0].u[index, 0], coarse, atol=1e-5, rtol=1e-3)
        query, p = (one * coarse).sum(dim=(1, 2)) / (coarse.sum() + 1e-5), summary.regional
        for _ in range(3):
            p = naive_update(head.block, p, query)
        final = adnet_probability(one[None], p.mean(dim=0)[None], -float(head.score.threshold))[0]
        torch.testing.assert_close(output.logit[index].sigmoid(), final, atol=1e-5, rtol=1e-3)


def test_order_of_regions_and_batch_neighbours_do_not_matter(
    features: Tensor, summary: SupportSummary, randomized: Callable[[nn.Module], nn.Module]
) -> None:
    head = randomized(RegionalPrototypeHead(CHANNELS, attention_heads=2))
    reference = head(features, summary).logit
    turned = SupportSummary(summary.prototype, summary.regional.flip(0))
    torch.testing.assert_close(head(features, turned).logit, reference, atol=1e-4, rtol=1e-4)
    alone = torch.cat([head(one[None], summary).logit for one in features])
    torch.testing.assert_close(reference, alone, atol=1e-5, rtol=1e-5)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(InputError, match="iterations = 0"):
        RegionalPrototypeHead(CHANNELS, iterations=0)
