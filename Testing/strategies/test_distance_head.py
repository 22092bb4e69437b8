from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.strategies.distance_head import build_distance_head, logits_and_distances

SMALL = {
    "resunet": {"widths": [4, 8]},
    "cmaformer": {"width": 4, "layers": 1, "heads": 2},
    "unet_resnet50": {},
}


@pytest.mark.parametrize("name", SMALL)
def test_one_run_gives_the_logits_and_a_map_of_each_structure(name: str) -> None:
    network = build_segmentation_network({"name": name, "in_channels": 1, "classes": 3, **SMALL[name]}).eval()
    head = build_distance_head(network, 2)
    images = torch.randn(2, 1, 64, 64)
    logits, maps = logits_and_distances(network, head, images)
    assert maps.shape == (2, 2, 64, 64)
    torch.testing.assert_close(logits, network(images))
    maps.square().sum().backward()
    with_gradient = {key for key, value in network.named_parameters() if value.grad is not None}
    assert with_gradient and not any(key.startswith(("head.", "segmentation_head.")) for key in with_gradient)


def test_the_network_keeps_no_trace() -> None:
    network = build_segmentation_network({"name": "resunet", "in_channels": 1, "classes": 2, "widths": [4, 8]})
    head = build_distance_head(network, 1)
    before = set(network.state_dict())
    logits_and_distances(network, head, torch.randn(1, 1, 8, 8))
    assert set(network.state_dict()) == before and not copy.deepcopy(network).head._forward_pre_hooks


def test_a_network_without_a_known_last_layer_is_refused() -> None:
    class Plain(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images

    with pytest.raises(InputError, match=r"strategy\.distance"):
        build_distance_head(Plain(), 1)
