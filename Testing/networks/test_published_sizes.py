"""Parameters, tensors and shapes of the papers' networks, counted without memory.

The counts of the published code were measured by building it (specification of this project). Where it carries weights
that no image reaches, these are added here before the comparison.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from momentumseg.networks.backbones.pvt_v2 import PvtV2B3
from momentumseg.networks.backbones.resnet50 import ResNet50Encoder
from momentumseg.networks.cma_former import CmaFormer
from momentumseg.networks.mobile_net_v2 import MobileNetV2
from momentumseg.networks.pvt_former import PvtFormer
from momentumseg.networks.res_unet import ResUNet
from momentumseg.networks.res_unet_plus_plus import ResUNetPlusPlus
from momentumseg.networks.shuffle_net_v1 import ShuffleNetV1
from momentumseg.networks.trans_net_r import TransNetR
from momentumseg.networks.unet_resnet50 import UNetResNet50


def _meta(build: Callable[..., nn.Module], **options: object) -> nn.Module:
    with torch.device("meta"):
        return build(**options).eval()


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _shapes(features: list[torch.Tensor]) -> list[tuple[int, ...]]:
    return [tuple(value.shape[1:]) for value in features]


def _images(channels: int = 3, size: int = 256) -> torch.Tensor:
    return torch.empty(2, channels, size, size, device="meta")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(
    ("build", "parameters", "tensors"),
    [
        (ResUNet, 8_223_809, 144),
        (ResUNetPlusPlus, 4_062_993, 281),  # published: 4.063 M, 281 tensors
        (TransNetR, 12_962_433, 449),
        (PvtFormer, 34_516_993, 688),
        (UNetResNet50, 32_521_105, 380),
    ],
)
def test_networks_have_their_size_and_map_256_pixels_to_256(
    build: Callable[..., nn.Module], parameters: int, tensors: int, momentum: float
) -> None:
    network = _meta(build, momentum=momentum)
    assert (_count(network), len(network.state_dict())) == (parameters, tensors)
    assert network(_images()).shape == (2, 1, 256, 256)


def test_resunet_is_the_published_one() -> None:
    """7.8 M parameters without the projections of the skips, four levels of 64 to 512 channels."""
    network = _meta(ResUNet)
    projections = sum(_count(level.first.shortcut) for level in (*network.encoder, *network.decoder))
    assert (_count(network) - projections) / 1e6 == pytest.approx(7.8, abs=0.05)
    assert _shapes(network.encode(_images())) == [(64, 256, 256), (128, 128, 128), (256, 64, 64), (512, 32, 32)]


def test_transnetr_is_the_published_one_but_for_the_tokens() -> None:
    """Published: 27.269 M in 501 tensors, with an unused stage and without the embedding that makes patches tokens."""
    network = _meta(TransNetR)
    unused = _meta(ResNet50Encoder).layer4
    embedding = [part for unit in network.decoder[:2] for part in (unit.embed, unit.restore)]
    assert _count(network) + _count(unused) - sum(map(_count, embedding)) == 27_269_441
    assert len(network.state_dict()) + len(unused.state_dict()) - 2 * len(embedding) == 501
    assert _shapes(network.encode(_images())) == [(64, 128, 128), (256, 64, 64), (512, 32, 32), (1024, 16, 16)]


def test_pvtformer_is_the_published_one_but_for_an_unused_stage() -> None:
    network, whole = _meta(PvtFormer), _meta(PvtV2B3)
    assert _count(network) - _count(network.encoder) + _count(whole) == pytest.approx(45.513e6, abs=1e3)
    assert len(network.state_dict()) - len(network.encoder.state_dict()) + len(whole.state_dict()) == 742
    assert _shapes(network.encode(_images())) == [(64, 64, 64), (128, 32, 32), (320, 16, 16)]


def test_cmaformer_has_the_published_widths_and_about_its_used_weights() -> None:
    """Published: 55.035 M, of which 7.36 M are never used."""
    network = _meta(CmaFormer)
    assert _count(network) == pytest.approx(55.035e6 - 7.36e6, rel=0.01)
    shapes = _shapes(network.encode(_images(1, 512)))
    assert shapes == [(16, 512, 512), (64, 128, 128), (256, 32, 32), (512, 16, 16)]
    assert network(_images(1, 512)).shape == (2, 3, 512, 512)


def test_resnet50_has_the_names_of_published_files() -> None:
    state = _meta(ResNet50Encoder).state_dict()
    assert len(state) == 318 and _count(_meta(ResNet50Encoder)) == 25_557_032 - 2048 * 1000 - 1000
    expected = {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer3.5.bn3.running_var": (1024,),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected


def test_unet_on_resnet50_has_the_common_layout_of_names() -> None:
    state = _meta(UNetResNet50, classes=2).state_dict()
    expected = {
        "encoder.layer4.0.downsample.1.weight": (2048,),
        "decoder.blocks.0.conv1.0.weight": (256, 3072, 3, 3),
        "decoder.blocks.3.conv1.0.weight": (32, 128, 3, 3),
        "decoder.blocks.4.conv2.1.running_mean": (16,),
        "segmentation_head.0.bias": (2,),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected


def test_pvt_v2_b3_has_the_size_and_names_of_published_files() -> None:
    state = _meta(PvtV2B3, classes=1000).state_dict()
    assert sum(value.numel() for value in state.values()) == 45_238_696
    expected = {
        "patch_embed1.proj.weight": (64, 3, 7, 7),
        "patch_embed3.norm.bias": (320,),
        "block1.0.attn.sr.weight": (64, 64, 8, 8),
        "block3.17.attn.kv.weight": (640, 320),
        "block4.2.mlp.dwconv.dwconv.weight": (2048, 1, 3, 3),
        "norm4.weight": (512,),
        "head.bias": (1000,),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_mobilenet_v2_has_the_size_and_names_of_published_files(momentum: float) -> None:
    network = _meta(MobileNetV2, momentum=momentum)
    state = network.state_dict()
    assert (_count(network), len(state)) == (3_504_872, 314)
    expected = {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.17.conv.3.running_mean": (320,),
        "features.18.1.weight": (1280,),
        "classifier.1.weight": (1000, 1280),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected


@pytest.mark.parametrize(("groups", "millions"), [(1, 1.53), (2, 1.73), (3, 1.87), (4, 1.97), (8, 2.43)])
def test_shufflenet_v1_has_the_widths_of_its_paper(groups: int, millions: float) -> None:
    """Independent implementations have 1.9 M with three groups and 2.4 M with eight."""
    network = _meta(ShuffleNetV1, groups=groups)
    assert _count(network) / 1e6 == pytest.approx(millions, abs=0.01)
    assert network.classifier.in_features == {1: 576, 2: 800, 3: 960, 4: 1088, 8: 1536}[groups]


def test_momentum_sequences_have_the_lengths_of_the_specification() -> None:
    encoder = _meta(ResNet50Encoder)
    assert [len(getattr(encoder, f"layer{i}")) - encoder.layer1.lead for i in range(1, 5)] == [2, 3, 5, 2]
    assert [len(stage) - stage.lead for stage in _meta(ShuffleNetV1).stages] == [3, 7, 3]
    assert sum(getattr(block, "is_residual", False) for block in _meta(MobileNetV2).features) == 10
    assert [len(getattr(_meta(PvtV2B3), f"block{i}")) for i in range(1, 5)] == [3, 4, 18, 3]
