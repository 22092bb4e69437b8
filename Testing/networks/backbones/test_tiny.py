from __future__ import annotations

import pytest
import torch
from torch import nn

from momentumseg.networks.registry import build_backbone


@pytest.fixture
def a_tiny_backbone() -> nn.Module:
    torch.manual_seed(0)
    return build_backbone({"name": "tiny"})


def test_features_have_32_channels_at_a_quarter_of_the_resolution(a_tiny_backbone: nn.Module) -> None:
    assert a_tiny_backbone(torch.rand(2, 3, 64, 48)).shape == (2, 32, 16, 12)
    assert (a_tiny_backbone.out_channels, a_tiny_backbone.stride) == (32, 4)


@pytest.mark.parametrize("training", [True, False])
def test_slices_do_not_influence_each_other_in_any_mode(a_tiny_backbone: nn.Module, training: bool) -> None:
    a_tiny_backbone.train(training)
    images = torch.rand(3, 3, 32, 32)
    alone = torch.cat([a_tiny_backbone(image[None]) for image in images])
    torch.testing.assert_close(a_tiny_backbone(images), alone)


def test_width_and_channels_are_options() -> None:
    backbone = build_backbone({"name": "tiny", "channels": 5, "width": 3})
    assert backbone(torch.rand(1, 3, 16, 16)).shape == (1, 5, 4, 4)
