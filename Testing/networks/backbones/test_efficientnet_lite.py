from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError, MomentumSegError
from momentumseg.networks.backbones.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLitePyramid,
    PointwiseConv2d,
    SamePadConv2d,
    fold_batch_norms,
)
from momentumseg.optimizers.registry import build_optimizer
from momentumseg.weights.loading import load_backbone_weights
from momentumseg.weights.store import WeightsStore

FIXTURES = Path(__file__).resolve().parents[2] / "Fixtures"


@pytest.fixture
def a_trunk(randomized: Callable[..., nn.Module]) -> EfficientNetLite:
    """Lite0 whose statistics are no longer 0 and 1, in evaluation mode."""
    torch.manual_seed(0)
    return randomized(EfficientNetLite(0), 0.05)


@pytest.fixture
def a_pyramid() -> EfficientNetLitePyramid:
    torch.manual_seed(0)
    return EfficientNetLitePyramid(0, channels=16)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [0, 1, 2])
def test_names_and_shapes_are_those_of_the_imagenet_files(size: int) -> None:
    with torch.device("meta"):
        state = EfficientNetLite(size, complete=True).state_dict()
    found = {name: str(tuple(value.shape)) for name, value in state.items()}
    lines = (FIXTURES / f"efficientnet_lite{size}_keys.txt").read_text(encoding="utf-8").splitlines()
    expected = dict(line.split("\t") for line in lines)
    assert len(expected) in (296, 386) and found == expected


@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_trunk_is_the_first_part_of_the_classifier(size: int) -> None:
    with torch.device("meta"):
        trunk, complete = EfficientNetLite(size), EfficientNetLite(size, complete=True)
    shapes = {name: value.shape for name, value in complete.state_dict().items()}
    assert all(shapes[name] == value.shape for name, value in trunk.state_dict().items())
    assert trunk.taps == complete.taps and trunk.tap_channels == complete.tap_channels


@pytest.mark.parametrize("size", [0, 1, 2])
def test_taps_lie_at_strides_4_8_and_16(size: int) -> None:
    with torch.device("meta"):
        trunk = EfficientNetLite(size)
        taps = trunk(torch.empty(1, 3, 256, 256))
    assert [tap.shape[-1] for tap in taps] == [64, 32, 16]
    assert [tap.shape[1] for tap in taps] == trunk.tap_channels


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (9, 6), (2, 5)])
def test_padding_is_that_of_tensorflow(kernel: int, stride: int, shape: tuple[int, int]) -> None:
    """ "same": ceil(n / stride) outputs, the odd pixel of padding at the bottom and right; computed pixel by pixel."""
    convolution = SamePadConv2d(1, 1, kernel, stride, bias=False)
    image = torch.randn(1, 1, *shape)
    outputs = [math.ceil(length / stride) for length in shape]
    starts = [max((n - 1) * stride + kernel - length, 0) // 2 for n, length in zip(outputs, shape, strict=True)]
    expected = torch.zeros(*outputs)
    for row in range(outputs[0]):
        for column in range(outputs[1]):
            for a in range(kernel):
                for b in range(kernel):
                    y, x = row * stride - starts[0] + a, column * stride - starts[1] + b
                    if 0 <= y < shape[0] and 0 <= x < shape[1]:
                        expected[row, column] += image[0, 0, y, x] * convolution.weight[0, 0, a, b].detach()
    torch.testing.assert_close(convolution(image)[0, 0], expected)


@pytest.mark.parametrize("bias", [False, True])
def test_pointwise_convolution_is_a_1x1_convolution(bias: bool) -> None:
    layer = PointwiseConv2d(5, 4, bias=bias)
    images = torch.randn(2, 5, 6, 3)
    expected = functional.conv2d(images, layer.weight, layer.bias)
    torch.testing.assert_close(layer(images), expected)
    torch.testing.assert_close(layer(images.contiguous(memory_format=torch.channels_last)), expected)


def test_folding_the_normalisation_changes_nothing(a_trunk: EfficientNetLite, images: Tensor) -> None:
    with torch.no_grad():
        plain = a_trunk(images)
        folded = fold_batch_norms(a_trunk)(images)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in a_trunk.modules())
    for before, after in zip(plain, folded, strict=True):
        torch.testing.assert_close(after, before, atol=1e-4 * float(before.abs().max()), rtol=1e-3)


def test_features_are_the_sum_of_the_projected_taps(a_pyramid: EfficientNetLitePyramid, images: Tensor) -> None:
    with torch.no_grad():
        taps = a_pyramid.trunk(images)
        parts = [
            functional.interpolate(
                functional.conv2d(tap, projection.weight, projection.bias), (16, 16), mode="bilinear"
            )
            for tap, projection in zip(taps, a_pyramid.projections, strict=True)
        ]
        torch.testing.assert_close(a_pyramid(images), sum(parts), atol=1e-5, rtol=1e-4)
    assert a_pyramid.out_channels == 16 and a_pyramid.stride == 4


def test_a_slice_does_not_depend_on_its_batch_neighbours(a_pyramid: EfficientNetLitePyramid, images: Tensor) -> None:
    a_pyramid.train()
    with torch.no_grad():
        alone = torch.cat([a_pyramid(image[None]) for image in images])
        torch.testing.assert_close(a_pyramid(images), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frozen_blocks", [0, 3])
def test_frozen_blocks_keep_their_weights(images: Tensor, frozen_blocks: int) -> None:
    pyramid = EfficientNetLitePyramid(0, channels=8, frozen_blocks=frozen_blocks)
    before = {name: value.clone() for name, value in pyramid.state_dict().items()}
    optimizer = build_optimizer(pyramid.parameters(), {"name": "sgd", "lr": 1.0})
    pyramid(images).square().mean().backward()
    missing = [name for name, p in pyramid.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    optimizer.step()
    changed = {name for name, value in pyramid.state_dict().items() if not torch.equal(value, before[name])}
    stem = {name for name in before if name.startswith(("trunk._conv_stem", "trunk._blocks.0.", "trunk._blocks.2."))}
    assert bool(stem & changed) == (frozen_blocks == 0)
    assert "trunk._blocks.3._expand_conv.weight" in changed and "projections.0.bias" in changed


def test_whitened_features_are_uncorrelated_over_the_images(a_pyramid: EfficientNetLitePyramid) -> None:
    """Up to the ridge of the whitening: equal variances along the leading components, zero mean, no correlation."""
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    a_pyramid.whiten(images)
    with torch.no_grad():
        cells = a_pyramid(images).permute(0, 2, 3, 1).reshape(-1, 16).double()
    assert cells.mean(dim=0).abs().max() < 1e-3
    covariance = cells.T @ cells / len(cells)
    assert (covariance - torch.diag(covariance.diagonal())).abs().max() < 1e-3
    assert covariance.diagonal().max() <= 1


def test_more_channels_than_the_taps_have_stay_zero() -> None:
    pyramid = EfficientNetLitePyramid(0, channels=200)
    pyramid.whiten(torch.randn(2, 3, 64, 64))
    assert all(projection.weight[176:].abs().max() == 0 for projection in pyramid.projections)


def test_imagenet_tensors_fill_the_trunk(a_trunk: EfficientNetLite, images: Tensor) -> None:
    pyramid = EfficientNetLitePyramid(0, channels=8)
    state = {name: value.clone() for name, value in a_trunk.state_dict().items()}
    pyramid.load_imagenet({**state, "_fc.weight": torch.zeros(1000, 1280)})
    with torch.no_grad():
        for before, after in zip(a_trunk(images), pyramid.trunk(images), strict=True):
            torch.testing.assert_close(after, before, atol=1e-4 * float(before.abs().max()), rtol=1e-3)


def test_files_of_another_network_are_refused(a_trunk: EfficientNetLite) -> None:
    state = a_trunk.state_dict()
    with pytest.raises(InputError, match="built for another size"):
        EfficientNetLitePyramid(2).load_imagenet(EfficientNetLite(1, complete=True).state_dict())
    with pytest.raises(InputError, match="1 tensors are missing, the first is _conv_stem.weight"):
        EfficientNetLitePyramid(0).load_imagenet({k: v for k, v in state.items() if k != "_conv_stem.weight"})
    with pytest.raises(InputError, match="not those of an EfficientNet-Lite0"):
        EfficientNetLitePyramid(0).load_imagenet({**state, "_conv_stem.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="no EfficientNet-Lite3"):
        EfficientNetLite(3)


def test_published_weights_recognise_generated_pictures() -> None:
    """Wrong names, padding, activations or normalisation would show here, for want of photographs."""
    classifier = published_classifier()
    y, x = torch.meshgrid(torch.linspace(-1, 1, 224), torch.linspace(-1, 1, 224), indexing="ij")
    orange = torch.tensor([1.0, 0.2, -1.0])[:, None, None]
    ball = torch.where((x**2 + y**2).sqrt() < 0.5, orange, torch.tensor(-0.8))
    stripes = torch.where(torch.arange(224) // 14 % 2 == 1, 1.0, -1.0).expand(3, 224, 224)
    waves = [torch.cos(40 * direction) for direction in (x, x / 2 + 0.866 * y, x / 2 - 0.866 * y)]
    honeycomb = torch.sign(sum(waves)).expand(3, 224, 224)
    with torch.no_grad():
        found = classify(classifier, torch.stack([ball, stripes, honeycomb])).argmax(dim=1).tolist()
    assert found == [722, 753, 904]  # ping-pong ball, radiator, window screen


def published_classifier() -> EfficientNetLite:
    try:
        path = WeightsStore().path_of("efficientnet-lite0", download=False)
    except MomentumSegError as error:
        pytest.skip(f"needs the published weights: {error}")
    classifier = EfficientNetLite(0, complete=True)
    classifier.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return classifier.eval()


def classify(classifier: EfficientNetLite, images: Tensor) -> Tensor:
    features = functional.relu6(classifier._bn0(classifier._conv_stem(images)))
    for block in classifier._blocks:
        features = block(features)
    features = functional.relu6(classifier._bn1(classifier._conv_head(features)))
    return classifier._fc(features.mean(dim=(2, 3)))


def test_published_weights_load_completely_into_the_pyramid(images: Tensor) -> None:
    classifier = published_classifier()
    pyramid = EfficientNetLitePyramid(0, channels=8)
    report = load_backbone_weights(pyramid, WeightsStore().path_of("efficientnet-lite0", download=False))
    assert not report.missing
    with torch.no_grad():
        for before, after in zip(classifier(images), pyramid.trunk(images), strict=True):
            torch.testing.assert_close(after, before, atol=1e-3 * float(before.abs().max()), rtol=1e-3)
