"""Networks of the SAM family that are small, with random weights of which every one matters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from momentumseg.networks.sam.sam import SamNetwork, sam_vit_b

SMALL_VIT = {"width": 48, "depth": 3, "heads": 3, "global_blocks": (1,)}


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of which every one matters: tables of positions, biases and norms included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                value.copy_(1 + 0.1 * noise)
            elif value.ndim >= 2 and not any(part in name for part in ("pos", "embed", "token")):
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(0.3 * noise)
    return network.eval()


@pytest.fixture(scope="session")
def a_sam_network() -> Callable[..., SamNetwork]:
    """ViT networks with random weights; ViT-B's sizes unless others are given."""

    def build(image_size: int, *, seed: int = 0, **sizes: object) -> SamNetwork:
        torch.manual_seed(seed)  # the fixed Fourier projections
        return randomised(sam_vit_b(image_size, **sizes), seed)

    return build


@pytest.fixture
def a_small_network(a_sam_network: Callable[..., SamNetwork]) -> SamNetwork:
    """64 px, embedding 4 x 4."""
    return a_sam_network(64, trained_size=64, window=3, **SMALL_VIT)
