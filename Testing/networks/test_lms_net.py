from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.few_shot import FewShotHead, SupportSummary
from momentumseg.networks.lms_net import FixedLmsHead, LmsHead, PrimalDualStep

CHANNELS = 8
HEADS = (LmsHead, FixedLmsHead)
Naive = Callable[..., Tensor]


@pytest.fixture
def features() -> Tensor:
    """Three query slices."""
    return torch.randn(3, CHANNELS, 7, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def summary() -> SupportSummary:
    generator = torch.Generator().manual_seed(1)
    return SupportSummary(torch.randn(CHANNELS, generator=generator), torch.randn(9, CHANNELS, generator=generator))


@pytest.fixture
def trained(randomized: Callable[[nn.Module], nn.Module]) -> Callable[..., Any]:
    """Heads no layer of which is at its initial value, in evaluation mode."""

    def make(kind: type[FewShotHead], **options: Any) -> FewShotHead:
        if kind is LmsHead:
            options = {"attention_heads": 2, **options}
        torch.manual_seed(3)
        return randomized(kind(CHANNELS, **{"denoiser_width": 4, "alpha": 3.0, **options}))

    return make


@pytest.mark.parametrize(("threshold", "stages", "share"), [(0.0, 2, False), (0.3, 3, False), (0.3, 3, True)])
def test_lms_net_computes_equations_8_to_21(
    trained: Callable[..., LmsHead],
    features: Tensor,
    summary: SupportSummary,
    naive_update: Naive,
    naive_denoiser: Naive,
    threshold: float,
    stages: int,
    share: bool,
) -> None:
    head = trained(LmsHead, threshold=threshold, stages=stages, share_stages=share)
    found = head(features, summary)
    for index, slice_features in enumerate(features):
        stages_u, stages_v = naive_lms(head, slice_features, summary, naive_update, naive_denoiser)
        close(torch.stack([iterate.u[index] for iterate in found.iterates]), torch.stack(stages_u))
        close(torch.stack([iterate.v[index] for iterate in found.iterates]), torch.stack(stages_v))


@pytest.mark.parametrize("share", [False, True])
def test_flms_net_carries_v_from_stage_to_stage(
    trained: Callable[..., FixedLmsHead], features: Tensor, summary: SupportSummary, naive_denoiser: Naive, share: bool
) -> None:
    head = trained(FixedLmsHead, share_stages=share, threshold=0.2)
    found = head(features, summary)
    for index, slice_features in enumerate(features):
        stages_u, stages_v = naive_flms(head, slice_features, summary.prototype, naive_denoiser)
        close(torch.stack([iterate.u[index] for iterate in found.iterates]), torch.stack(stages_u))
        close(torch.stack([iterate.v[index] for iterate in found.iterates]), torch.stack(stages_v))
    assert not torch.allclose(found.iterates[1].v, found.iterates[2].v, atol=0.01)


@pytest.mark.parametrize("kind", HEADS)
def test_u_sums_to_one(trained: Callable[..., Any], features: Tensor, summary: SupportSummary, kind: type) -> None:
    output = trained(kind)(features, summary)
    assert len(output.iterates) == (3 if kind is LmsHead else 4)
    for iterate in output.iterates:
        assert iterate.u.shape == iterate.v.shape == (3, 2, 7, 6)
        assert iterate.u.min() >= 0
        close(iterate.u.sum(dim=1), torch.ones(3, 7, 6))
    close(output.iterates[-1].u[:, 0], output.logit.sigmoid())


@pytest.mark.parametrize("alpha", [5.0, 20.0])
def test_opposite_prototypes_give_a_sigmoid_of_twice_alpha_cosine(
    features: Tensor, summary: SupportSummary, alpha: float
) -> None:
    """With l_2 = -l_1, v = 0 and tau = 0 the softmax of eq. 16 is sigmoid(2 alpha cos)."""
    head = LmsHead(CHANNELS, alpha=alpha, threshold=0.0)
    cosines = [
        functional.cosine_similarity(features, sign * summary.prototype[:, None, None], dim=1) for sign in (1, -1)
    ]
    softmax = (alpha * torch.stack(cosines, dim=1)).softmax(dim=1)
    close(head(features, summary).iterates[0].u, softmax)
    close(softmax[:, 0], torch.sigmoid(2 * alpha * cosines[0]))


@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_an_untrained_lms_block_is_plain_prototype_matching(
    features: Tensor, summary: SupportSummary, normalization: str
) -> None:
    """The denoiser starts as the identity: v = 0, and u^k is what the data term says of the stage's own prototype."""
    head = LmsHead(CHANNELS, attention_heads=2, denoiser_normalization=normalization).eval()
    output = head(features, summary)
    regional, logit = summary.regional.expand(3, -1, -1), head.match(features, summary.prototype.expand(3, -1))
    for iterate, update in zip(output.iterates[1:], head.updates, strict=True):
        weights = logit.sigmoid()
        query = (features * weights[:, None]).sum(dim=(2, 3)) / (weights.sum(dim=(1, 2))[:, None] + 1e-5)
        regional = update(regional, query)
        logit = head.match(features, regional.mean(dim=1))
        assert iterate.v.abs().max() == 0
        close(iterate.u[:, 0], logit.sigmoid())


def test_an_untrained_flms_net_is_plain_prototype_matching(features: Tensor, summary: SupportSummary) -> None:
    head = FixedLmsHead(CHANNELS).eval()
    matched = head.match(features, summary.prototype.expand(3, -1))
    for iterate in head(features, summary).iterates:
        close(iterate.u[:, 0], matched.sigmoid(), atol=2e-5)
        assert iterate.v.abs().max() < 1e-5


def test_order_of_the_regional_prototypes_does_not_matter(
    trained: Callable[..., LmsHead], features: Tensor, summary: SupportSummary
) -> None:
    order = torch.randperm(len(summary.regional), generator=torch.Generator().manual_seed(4))
    shuffled = SupportSummary(summary.prototype, summary.regional[order])
    head = trained(LmsHead)
    close(head(features, shuffled).logit, head(features, summary).logit, atol=1e-4)


@pytest.mark.parametrize("kind", HEADS)
def test_a_slice_does_not_depend_on_its_batch_neighbours(
    trained: Callable[..., Any], features: Tensor, summary: SupportSummary, kind: type
) -> None:
    head = trained(kind, denoiser_normalization="batch")
    alone = torch.cat([head(one[None], summary).logit for one in features])
    close(head(features, summary).logit, alone, atol=1e-5)
    loud = torch.cat([features[:1], 1e3 * features[1:]])
    close(head(loud, summary).logit[:1], alone[:1], atol=1e-5)


@pytest.mark.parametrize("regions", [1, 5])
def test_degenerate_regional_prototypes_are_finite(
    trained: Callable[..., LmsHead], features: Tensor, summary: SupportSummary, regions: int
) -> None:
    """One region, or all of them equal: no similarity lies above the bound of eq. 19."""
    head = trained(LmsHead)
    same = SupportSummary(summary.prototype, summary.prototype.expand(regions, -1))
    features.requires_grad_()
    output = head(features, same)
    output.logit.sum().backward()
    assert output.logit.isfinite().all() and features.grad.isfinite().all()


@pytest.mark.parametrize("kind", HEADS)
def test_gradients_are_finite_where_the_mask_is_saturated(summary: SupportSummary, kind: type) -> None:
    """At alpha = 20 a matching pixel has u_1 = 1 - 4e-18, which float32 cannot tell from 1."""
    torch.manual_seed(0)
    head = kind(CHANNELS, alpha=20.0, threshold=0.0).train()
    features = (summary.prototype[None, :, None, None] * torch.tensor([1.0, -1.0, 2.0])).requires_grad_()
    output = head(features, summary)
    assert output.iterates[0].u.max() == 1 and output.iterates[0].u.min() < 1e-16
    functional.softplus(output.logit).sum().backward()
    gradients = [p.grad for p in head.parameters() if p.grad is not None]
    assert features.grad.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    assert head.primal_dual[0].denoiser.residual[-1].weight.grad.abs().sum() > 0


def test_noise_is_bounded_by_delta(trained: Callable[..., LmsHead], features: Tensor, summary: SupportSummary) -> None:
    head = trained(LmsHead)
    for iterate, step in zip(head(features, summary).iterates[1:], head.primal_dual, strict=True):
        assert iterate.v.abs().max() <= step.delta + 1e-6


@pytest.mark.parametrize("delta", [0.1, 1.0, 7.0])
def test_delta_starts_where_it_was_asked_to(delta: float) -> None:
    assert PrimalDualStep(nn.Identity(), delta).delta.item() == pytest.approx(delta, rel=1e-5)


def test_supports_are_averaged_and_their_regions_shared_out() -> None:
    head = LmsHead(CHANNELS, regions=10)
    features = torch.randn(3, CHANNELS, 8, 8)
    masks = torch.zeros(3, 32, 32)
    masks[:, 4:28, 4:20] = 1
    together = head.summarize(features, masks)
    alone = [head.summarize(features[n : n + 1], masks[n : n + 1]) for n in range(3)]
    close(together.prototype, torch.stack([one.prototype for one in alone]).mean(dim=0))
    assert [len(one.regional) for one in alone] == [10] * 3
    assert len(together.regional) == 9
    close(
        together.regional,
        torch.cat(
            [
                LmsHead(CHANNELS, regions=3).summarize(f, m).regional
                for f, m in zip(features.split(1), masks.split(1), strict=True)
            ]
        ),
    )


def test_every_support_has_a_region_even_when_there_are_more_supports_than_regions() -> None:
    summary = LmsHead(CHANNELS, regions=2).summarize(torch.randn(5, CHANNELS, 4, 4), torch.ones(5, 16, 16))
    assert len(summary.regional) == 5


def test_masks_of_any_type_mean_the_same() -> None:
    features, mask = torch.randn(1, CHANNELS, 8, 8), torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask[:, 8:20, 8:20] = 1
    head = LmsHead(CHANNELS)
    reference = head.summarize(features, mask)
    for same in (mask.bool(), 7 * mask, mask.float(), mask.long()):
        found = head.summarize(features, same)
        assert torch.equal(found.prototype, reference.prototype) and torch.equal(found.regional, reference.regional)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (LmsHead, {"stages": 0}, "stages = 0"),
        (FixedLmsHead, {"stages": -1}, "stages = -1"),
        (LmsHead, {"alpha": 0.0}, "alpha = 0.0"),
        (LmsHead, {"regions": 0}, "regions = 0"),
        (LmsHead, {"attention_heads": 3}, "3 attention heads"),
    ],
)
def test_impossible_options_are_refused(kind: type, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        kind(CHANNELS, **options)


def close(found: Tensor, expected: Tensor, atol: float = 2e-6) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-4)


def softmax_of_two(head: LmsHead | FixedLmsHead, cosine: float, v: tuple[float, float]) -> tuple[float, float]:
    """Eq. 12 for one pixel, with rho_1 = tau - cos and rho_2 = cos - tau."""
    alpha, tau = head.data_term.alpha, float(head.data_term.threshold)
    exponents = alpha * (cosine - tau - v[0]), alpha * (tau - cosine - v[1])
    total = sum(math.exp(value) for value in exponents)
    return math.exp(exponents[0]) / total, math.exp(exponents[1]) / total


def partition(head: LmsHead | FixedLmsHead, features: Tensor, prototype: Tensor, v: Tensor) -> Tensor:
    """Eq. 12 pixel by pixel, ``(2, h, w)``."""
    u = torch.zeros_like(v)
    for i, j in itertools.product(*map(range, features.shape[1:])):
        pixel = features[:, i, j]
        cosine = float(pixel @ prototype / (pixel.norm() * prototype.norm()))
        u[:, i, j] = torch.tensor(softmax_of_two(head, cosine, (float(v[0, i, j]), float(v[1, i, j]))))
    return u


def logit_of(u: Tensor) -> Tensor:
    return torch.log(u / (1 - u))


@torch.no_grad()
def naive_lms(
    head: LmsHead, features: Tensor, summary: SupportSummary, naive_update: Naive, naive_denoiser: Naive
) -> tuple[list[Tensor], list[Tensor]]:
    nothing = torch.zeros(2, *features.shape[1:])
    p, u = summary.regional, partition(head, features, summary.prototype, nothing)
    all_u, all_v = [u], [nothing]
    for stage in range(head.stages):
        update = head.updates[0 if len(head.updates) == 1 else stage]
        step = head.primal_dual[0 if len(head.primal_dual) == 1 else stage]
        query_prototype = (features * u[0]).sum(dim=(1, 2)) / (u[0].sum() + 1e-5)
        p = naive_update(update, p, query_prototype)
        u = partition(head, features, p.mean(dim=0), nothing)
        delta = math.log(1 + math.exp(float(step.raw_delta)))
        v = torch.stack([delta * u[i] - delta * naive_denoiser(step.denoiser, u[i], logit_of(u[i])) for i in (0, 1)])
        u = partition(head, features, p.mean(dim=0), v)
        all_u.append(u)
        all_v.append(v)
    return all_u, all_v


@torch.no_grad()
def naive_flms(
    head: FixedLmsHead, features: Tensor, prototype: Tensor, naive_denoiser: Naive
) -> tuple[list[Tensor], list[Tensor]]:
    """Eq. 12-13 with v carried: v <- delta u + v - delta MD(u + v / delta)."""
    v = torch.zeros(2, *features.shape[1:])
    u = partition(head, features, prototype, v)
    all_u, all_v = [u], [v]
    for stage in range(head.stages):
        step = head.primal_dual[0 if len(head.primal_dual) == 1 else stage]
        delta = math.log(1 + math.exp(float(step.raw_delta)))
        z = u + v / delta
        denoised = [naive_denoiser(step.denoiser, z[i], logit_of(z[i].clamp(1e-6, 1 - 1e-6))) for i in (0, 1)]
        v = delta * u + v - delta * torch.stack(denoised)
        u = partition(head, features, prototype, v)
        all_u.append(u)
        all_v.append(v)
    return all_u, all_v
