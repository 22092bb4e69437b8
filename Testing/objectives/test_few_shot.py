from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.networks.registry import build_few_shot_network, head_names
from momentumseg.objectives.few_shot import FewShotObjective, weighted_cross_entropy

Episode = tuple[Tensor, Tensor, Tensor, Tensor]


def network_with(head: str = "lms", **options: Any) -> FewShotNetwork:
    torch.manual_seed(0)
    tables = {"backbone": {"name": "tiny", "channels": 8}, "head": {"name": head, **options}}
    return build_few_shot_network(tables).eval()


@pytest.fixture
def an_episode() -> Episode:
    """Two noisy images with a bright square, moved by two pixels."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for start in (8, 10):
        mask = torch.zeros(32, 32, dtype=torch.uint8)
        mask[start : start + 14, 6:22] = 1
        image = mask.float() * 2 + 0.3 * torch.randn(32, 32, generator=generator)
        parts += [image.expand(3, -1, -1), mask]
    return tuple(parts)


@pytest.mark.parametrize("background_weight", [0.1, 1.0])
def test_cross_entropy_is_a_weighted_mean_over_pixels(background_weight: float) -> None:
    probability = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(20).reshape(5, 4) % 3 == 0).to(torch.uint8)
    total, weights = 0.0, 0.0
    for p, truth in zip(probability.flatten().tolist(), mask.flatten().tolist(), strict=True):
        weight = 1.0 if truth else background_weight
        total -= weight * math.log(p if truth else 1 - p)
        weights += weight
    found = weighted_cross_entropy(probability, mask, background_weight)
    assert float(found) == pytest.approx(total / weights, rel=1e-5)


def test_cross_entropy_is_finite_where_the_network_is_wrong_and_sure() -> None:
    probability = torch.tensor([0.0, 1.0], requires_grad=True)
    loss = weighted_cross_entropy(probability, torch.tensor([1, 0]), 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-6)) and probability.grad.isfinite().all()


@pytest.mark.parametrize("head", head_names())
def test_loss_is_the_sum_of_its_parts(head: str, an_episode: Episode) -> None:
    network = network_with(head)
    losses = FewShotObjective(network)(*an_episode)
    own = {"prototype": -0.5, "regional": -0.5}.get(head, 0.0)
    assert float(losses["loss"]) == pytest.approx(float(losses["cross_entropy"] + losses["alignment"]) + own, abs=1e-5)
    assert 0 <= float(losses["dice"]) <= 1


def test_parts_are_what_the_paper_writes(an_episode: Episode) -> None:
    """L_ce of the up-sampled prediction, and L_par: the support from the query's hard mask by the cosine alone."""
    network = network_with(alpha=5.0, threshold=0.2)
    support_image, support_mask, query_image, query_mask = an_episode
    losses = FewShotObjective(network, background_weight=0.1)(*an_episode)
    with torch.no_grad():
        features = network.encode(torch.stack([support_image, query_image]))
        logit = network(features[1:], network.summarize(features[:1], support_mask[None])).logit
        probability = up(logit.sigmoid())
        expected = functional.nll_loss(
            torch.stack([1 - probability, probability]).log()[None], query_mask[None].long(), torch.tensor([0.1, 1.0])
        )
        assert float(losses["cross_entropy"]) == pytest.approx(float(expected), rel=1e-4)

        hard = (probability > 0.5).float()
        assert hard.any()
        large = functional.interpolate(features[1:], size=(32, 32), mode="bilinear", align_corners=False)[0]
        prototype = (large * hard).sum(dim=(1, 2)) / (hard.sum() + 1e-5)
        cosine = functional.cosine_similarity(features[:1], prototype[None, :, None, None], dim=1)
        back = up(torch.sigmoid(2 * 5.0 * (cosine - 0.2)))
        expected = functional.binary_cross_entropy(back, support_mask.float())
        assert float(losses["alignment"]) == pytest.approx(float(expected), rel=1e-4)


def test_alignment_is_zero_for_an_empty_prediction(an_episode: Episode) -> None:
    losses = FewShotObjective(network_with(threshold=5.0))(*an_episode)
    assert float(losses["alignment"]) == 0 and float(losses["dice"]) == 0
    losses["loss"].backward()


def test_alignment_can_be_left_out(an_episode: Episode) -> None:
    losses = FewShotObjective(network_with(), alignment=0.0)(*an_episode)
    assert float(losses["alignment"]) == 0 and torch.equal(losses["loss"], losses["cross_entropy"])


def test_deep_supervision_adds_the_mean_over_the_earlier_iterates(an_episode: Episode) -> None:
    network = network_with("flms")
    plain = FewShotObjective(network)(*an_episode)["loss"]
    deep = FewShotObjective(network, deep_supervision=0.5)(*an_episode)["loss"]
    features = network.encode(torch.stack([an_episode[0], an_episode[2]]))
    output = network(features[1:], network.summarize(features[:1], an_episode[1][None]))
    earlier = [weighted_cross_entropy(up(one.u[:, 0]), an_episode[3], 0.1) for one in output.iterates[:-1]]
    assert len(earlier) == 3
    torch.testing.assert_close(deep - plain, 0.5 * sum(earlier) / 3, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("head", head_names())
def test_mixed_precision_changes_the_loss_little_and_keeps_gradients(head: str, an_episode: Episode) -> None:
    network = network_with(head)
    objective = FewShotObjective(network)
    expected = objective(*an_episode)["cross_entropy"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = objective(*an_episode)
    losses["loss"].backward()
    assert losses["loss"].dtype == torch.float32
    assert float(losses["cross_entropy"]) == pytest.approx(float(expected), rel=0.1)
    gradients = [p.grad for p in network.parameters() if p.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_first_region_follows_the_generator(an_episode: Episode) -> None:
    objective = FewShotObjective(network_with(regions=3))
    losses = [float(objective(*an_episode, generator=torch.Generator().manual_seed(n))["loss"]) for n in (0, 0, 1, 2)]
    assert losses[0] == losses[1] and len(set(losses)) > 1


def test_unknown_options_of_a_recipe_are_refused() -> None:
    assert FewShotObjective.from_mapping(network_with(), {"alignment": 0.5}).alignment == 0.5
    with pytest.raises(InputError, match=r"\[objective\].*alignmnet"):
        FewShotObjective.from_mapping(network_with(), {"alignmnet": 0.5})


def up(probability: Tensor) -> Tensor:
    return functional.interpolate(probability[:, None], size=(32, 32), mode="bilinear", align_corners=True)[0, 0]
