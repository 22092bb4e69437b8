"""What holds for every segmentation network of the registry."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.registry import build_segmentation_network, segmentation_names
from momentumseg.networks.segmentation import SegmentationNetwork

SMALL: dict[str, dict[str, Any]] = {
    "resunet": {"widths": [8, 16, 24], "units": 2},
    "resunet++": {"widths": [4, 8, 16, 16], "units": 2},
    "cmaformer": {"width": 4, "layers": 2},
}
FULL_SIZE = {"transnetr", "pvtformer", "unet_resnet50"}
WITH_MOMENTUM = sorted({"resunet", "resunet++"} | FULL_SIZE)


def _parameters(names: list[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow if name in FULL_SIZE else ()) for name in names]


each_network = pytest.mark.parametrize("name", _parameters(segmentation_names()))
each_momentum_network = pytest.mark.parametrize("name", _parameters(WITH_MOMENTUM))


def _build(name: str, **options: Any) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_segmentation_network({"name": name, "in_channels": 3, "classes": 2, **SMALL.get(name, {}), **options})


@cache
def _network(name: str) -> SegmentationNetwork:
    """Plain, in evaluation mode, with statistics and biases that are no longer 0 and 1."""
    network = _build(name)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
    return network.eval()


def _with_momentum(name: str, momentum: float, way: str = "automatic") -> nn.Module:
    network = _build(name, momentum=momentum, differentiation=way)
    network.load_state_dict(_network(name).state_dict())
    return network.eval()


def _images(count: int = 2, rows: int = 64, columns: int = 32) -> Tensor:
    return torch.randn(count, 3, rows, columns, generator=torch.Generator().manual_seed(5))


def test_all_networks_of_the_project_are_known() -> None:
    assert set(segmentation_names()) == {"resunet", "resunet++", "transnetr", "pvtformer", "unet_resnet50", "cmaformer"}


@each_network
def test_sizes_that_the_divisor_divides_come_back(name: str) -> None:
    with torch.no_grad():
        assert _network(name)(_images(1, 64, 96)).shape == (1, 2, 64, 96)


@each_network
def test_a_result_does_not_depend_on_the_other_images_of_the_batch(name: str) -> None:
    """Trap: attention with batch_first=False runs across the batch (TransNetR, CMAformer)."""
    images = _images(3)
    with torch.no_grad():
        together, alone = _network(name)(images), _network(name)(images[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


@each_network
def test_a_grey_image_is_repeated_for_three_channels(name: str) -> None:
    grey = _images(1)[:, :1]
    with torch.no_grad():
        assert torch.equal(_network(name)(grey), _network(name)(grey.repeat(1, 3, 1, 1)))


@each_network
def test_sizes_that_the_network_cannot_take_are_refused_in_words(name: str) -> None:
    network = _network(name)
    with pytest.raises(InputError, match=f"multiple of {network.divisor}"):
        network(_images(1, network.divisor * 2 + 1, network.divisor * 2))
    with pytest.raises(InputError, match="2 channels and the network takes 3"):
        network(_images()[:, :2])
    with pytest.raises(InputError, match="takes 2D images"):
        network(_images()[..., None])


@each_network
def test_every_parameter_is_used(name: str) -> None:
    """Trap: the published CMAformer, TransNetR and PVTFormer carry millions of weights that no image reaches."""
    network = _build(name)
    network(_images(2, 64, 64)).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []


@each_network
def test_the_table_that_built_it_is_kept_and_builds_it_again(name: str) -> None:
    config = _network(name).config
    assert config["name"] == name
    with torch.device("meta"):
        again = build_segmentation_network(config)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in _network(name).state_dict().items()
    }


@each_momentum_network
def test_momentum_has_an_effect_and_no_parameters(name: str) -> None:
    images = _images()
    with torch.no_grad():
        plain, moved = _network(name)(images), _with_momentum(name, 0.9)(images)
    assert not torch.allclose(plain, moved, rtol=1e-2)


@each_momentum_network
def test_a_momentum_of_almost_nothing_is_almost_the_plain_network(name: str) -> None:
    """The momentum path against the plain path, which share no line."""
    images = _images()
    with torch.no_grad():
        plain, moved = _network(name)(images), _with_momentum(name, 1e-9)(images)
    torch.testing.assert_close(moved, plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


@each_momentum_network
def test_gradients_do_not_depend_on_how_they_are_computed(name: str) -> None:
    images = _images(1)

    def gradients(way: str) -> Tensor:
        network = _with_momentum(name, 0.9, way).double()
        network(images.double()).square().mean().backward()
        return torch.cat([value.grad.flatten() for value in network.parameters()])

    expected = gradients("autograd")
    for way in ("reversible", "checkpoint"):
        assert float((gradients(way) - expected).norm() / expected.norm()) < 1e-9


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"name": "unet"}, "no segmentation network named 'unet'; choose one of cmaformer, pvtformer"),
        ({"name": "resunet", "depth": 3}, "'resunet' does not accept these options"),
        ({"name": "resunet", "momentum": 1.0}, "momentum is 1.0"),
        ({"name": "transnetr", "differentiation": "magic"}, "no differentiation 'magic'"),
        ({"name": "resunet", "classes": 0}, "needs channels and classes"),
        ({"name": "resunet", "dimensions": 4}, "no ResUNet for 4D"),
        ({"name": "resunet", "widths": [8]}, "at least two"),
        ({"name": "resunet", "norm": "spectral"}, "no normalisation 'spectral'"),
        ({"name": "resunet", "block": "dense"}, "no residual block 'dense'"),
        ({"name": "resunet", "units": 0}, "0 residual units"),
        ({"name": "resunet++", "widths": [8, 16]}, "four widths"),
        ({"name": "cmaformer", "gate": "both"}, "no cross-attention 'both'"),
        ({"name": "cmaformer", "heads": 7}, "among 7 attention heads"),
        ({}, "no segmentation network named None"),
    ],
)
def test_tables_that_describe_no_network_are_refused_in_words(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_segmentation_network(config)
