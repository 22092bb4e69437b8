from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.backbones.resnet_dilated import Bottleneck, DilatedResNet
from momentumseg.networks.registry import build_backbone


@pytest.fixture(scope="module")
def the_paper_backbone() -> nn.Module:
    torch.manual_seed(0)
    return build_backbone({"name": "resnet101_d4"}).eval()


@pytest.fixture
def a_small_backbone() -> nn.Module:
    torch.manual_seed(0)
    return build_backbone({"name": "resnet101_d4", "blocks": [1, 2, 2], "width": 4, "channels": 6})


def test_features_have_512_channels_at_a_quarter_of_the_resolution(the_paper_backbone: nn.Module) -> None:
    with torch.no_grad():
        assert the_paper_backbone(torch.rand(1, 3, 32, 24)).shape == (1, 512, 8, 6)
    assert (the_paper_backbone.out_channels, the_paper_backbone.stride) == (512, 4)


def test_trunk_has_27_54_million_parameters(the_paper_backbone: nn.Module) -> None:
    """The published figure counts stem to layer3; reduce1 (1024 x 512) comes on top."""
    assert sum(parameter.numel() for parameter in the_paper_backbone.trunk_parameters()) == 27_535_424
    assert the_paper_backbone.reduce1.weight.shape == (512, 1024, 1, 1)
    assert the_paper_backbone.reduce1.bias is None


def test_first_block_of_a_dilated_layer_keeps_the_dilation_before_it(the_paper_backbone: nn.Module) -> None:
    dilations = {
        name: [block.conv2.dilation[0] for block in getattr(the_paper_backbone, name)]
        for name in ("layer1", "layer2", "layer3")
    }
    assert dilations == {"layer1": [1] * 3, "layer2": [1] + [2] * 3, "layer3": [2] + [4] * 22}
    assert all(module.stride == (1, 1) for name in dilations for module in convolutions(the_paper_backbone, name))


def test_tensor_names_are_those_of_published_files(the_paper_backbone: nn.Module) -> None:
    expected = set(norm_names("bn1")) | {"conv1.weight"}
    for layer, blocks in (("layer1", 3), ("layer2", 4), ("layer3", 23)):
        for block in range(blocks):
            for part in (1, 2, 3):
                expected.add(f"{layer}.{block}.conv{part}.weight")
                expected.update(norm_names(f"{layer}.{block}.bn{part}"))
        expected.add(f"{layer}.0.downsample.0.weight")
        expected.update(norm_names(f"{layer}.0.downsample.1"))
    assert set(the_paper_backbone.pretrained_tensors()) == expected


def test_block_computes_what_its_definition_says(a_small_backbone: nn.Module) -> None:
    block = a_small_backbone.layer2[1].eval()
    features = torch.rand(2, 32, 9, 9)
    torch.testing.assert_close(block(features), naive_bottleneck(block, features))


def test_slices_do_not_influence_each_other_in_evaluation(a_small_backbone: nn.Module) -> None:
    a_small_backbone.eval()
    images = torch.rand(3, 3, 32, 32)
    alone = torch.cat([a_small_backbone(image[None]) for image in images])
    torch.testing.assert_close(a_small_backbone(images), alone, atol=1e-6, rtol=1e-5)


def test_training_uses_and_updates_batch_statistics(a_small_backbone: nn.Module) -> None:
    before = a_small_backbone.bn1.running_mean.clone()
    a_small_backbone.train()(torch.rand(2, 3, 32, 32))
    assert not torch.equal(a_small_backbone.bn1.running_mean, before)


@pytest.mark.parametrize("blocks", [(3, 4), (3, 4, 0)])
def test_impossible_depths_are_refused(blocks: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="three numbers"):
        DilatedResNet(blocks)


def norm_names(name: str) -> list[str]:
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{name}.{part}" for part in parts]


def convolutions(backbone: nn.Module, layer: str) -> list[nn.Conv2d]:
    return [module for module in getattr(backbone, layer).modules() if isinstance(module, nn.Conv2d)]


def naive_bottleneck(block: Bottleneck, features: Tensor) -> Tensor:
    dilation = block.conv2.dilation[0]
    hidden = block.bn1(functional.conv2d(features, block.conv1.weight)).relu()
    hidden = block.bn2(functional.conv2d(hidden, block.conv2.weight, padding=dilation, dilation=dilation)).relu()
    return (block.bn3(functional.conv2d(hidden, block.conv3.weight)) + features).relu()
