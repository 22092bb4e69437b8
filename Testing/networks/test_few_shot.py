from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import EmptySupportError
from momentumseg.networks.few_shot import FewShotNetwork, Iterate, upsample_probability
from momentumseg.networks.registry import build_few_shot_network, head_names


def network_with(head: str, **options: Any) -> FewShotNetwork:
    torch.manual_seed(0)
    return build_few_shot_network({"backbone": {"name": "tiny", "channels": 8}, "head": {"name": head, **options}})


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def masks() -> Tensor:
    masks = torch.zeros(3, 32, 32)
    masks[:, 8:22, 6:20] = 1
    return masks


@pytest.mark.parametrize("head", head_names())
def test_heads_work_in_single_precision_under_autocast(head: str, images: Tensor, masks: Tensor) -> None:
    """Half-precision features of a cache give what the same numbers in single precision give."""
    network = network_with(head).eval()
    features = network.encode(images).half()
    expected = network(features.float(), network.summarize(features.float(), masks)).logit
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(features, network.summarize(features, masks)).logit
    assert found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize("head", head_names())
def test_every_learned_tensor_of_a_head_gets_a_gradient(head: str, images: Tensor, masks: Tensor) -> None:
    """Data-parallel training waits for the gradient of each of them in every iteration."""
    network = network_with(head)
    features = network.encode(images)
    output = network(features[1:], network.summarize(features[:1], masks[:1]))
    (output.logit.sigmoid().sum() + network.head.regularization()).backward()
    missing = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


@pytest.mark.parametrize("head", head_names())
def test_networks_know_the_table_they_were_built_from(head: str) -> None:
    network = network_with(head)
    again = build_few_shot_network(network.config)
    assert [(name, p.shape) for name, p in again.named_parameters()] == [
        (name, p.shape) for name, p in network.named_parameters()
    ]


@pytest.mark.parametrize("head", head_names())
def test_one_empty_support_among_several_is_refused(head: str, images: Tensor, masks: Tensor) -> None:
    network = network_with(head)
    masks[1] = 0
    with pytest.raises(EmptySupportError, match="no foreground"):
        network.summarize(network.encode(images), masks)


def test_entropy_is_largest_where_nothing_is_known() -> None:
    iterate = Iterate.of(torch.tensor([[[0.0, 3.0, -200.0]]]))
    u = 1 / (1 + math.exp(-3))
    expected = [math.log(2), -u * math.log(u) - (1 - u) * math.log(1 - u), 0.0]
    torch.testing.assert_close(iterate.entropy, torch.tensor([[expected]]))
    assert iterate.v.abs().max() == 0


def test_probabilities_are_interpolated_with_aligned_corners() -> None:
    logit = torch.tensor([[[-2.0, 1.0], [0.5, 3.0]]])
    found = upsample_probability(logit, 5)[0]
    p = logit[0].sigmoid()
    assert found[0, 0] == p[0, 0] and found[4, 4] == p[1, 1]
    torch.testing.assert_close(found[2, 2], p.mean())
    torch.testing.assert_close(found[0, 1], 0.75 * p[0, 0] + 0.25 * p[0, 1])


def test_matching_follows_the_cosine(images: Tensor) -> None:
    """Where two pixels compare with a prototype, the more similar one has the larger logit, in every head."""
    features, prototype = torch.randn(2, 8, 5, 5), torch.randn(2, 8)
    cosine = functional.cosine_similarity(features, prototype[:, :, None, None], dim=1).flatten()
    for head in head_names():
        logit = network_with(head).head.match(features, prototype).flatten()
        assert torch.equal(logit.argsort(), cosine.argsort())
