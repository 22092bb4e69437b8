from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.mobile_net_v2 import MobileNetV2
from momentumseg.networks.registry import build_classifier, classifier_names
from momentumseg.networks.shuffle_net_v1 import ShuffleNetV1

each_classifier = pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v1"])


def _build(name: str, **options: Any) -> nn.Module:
    """With weights large enough that an image survives all layers in evaluation mode."""
    torch.manual_seed(0)
    network = build_classifier({"name": name, "classes": 5, **options})
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return network


def _images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 64, 48, generator=torch.Generator().manual_seed(2))


def test_classifiers_of_the_project_are_known() -> None:
    assert classifier_names() == ["mobilenet_v2", "shufflenet_v1"]


def test_mobilenet_without_momentum_is_the_plain_one_to_the_last_bit() -> None:
    network = _build("mobilenet_v2").eval()
    with torch.no_grad():
        x = _images()
        for block in network.features:
            x = x + block.conv(x) if getattr(block, "is_residual", False) else block(x)
        expected = network.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        torch.testing.assert_close(network(_images()), expected, rtol=1e-6, atol=1e-7)


def test_shufflenet_without_momentum_is_the_plain_one_to_the_last_bit() -> None:
    network = _build("shufflenet_v1").eval()
    with torch.no_grad():
        x = functional.max_pool2d(network.stem(_images()), 3, 2, 1)
        for stage in network.stages:
            for unit in stage:
                hidden = functional.relu(unit.squeeze(x))
                count, channels, rows, columns = hidden.shape
                hidden = hidden.view(count, 3, channels // 3, rows, columns).transpose(1, 2).reshape(hidden.shape)
                branch = unit.expand(unit.depth_wise(hidden))
                if unit.stride == 2:
                    x = functional.relu(torch.cat([functional.avg_pool2d(x, 3, 2, 1), branch], dim=1))
                else:
                    x = functional.relu(x + branch)
        torch.testing.assert_close(network(_images()), network.classifier(x.mean(dim=(2, 3))), rtol=1e-6, atol=1e-7)


@each_classifier
def test_a_result_does_not_depend_on_the_other_images_of_the_batch(name: str) -> None:
    network = _build(name, momentum=0.9).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(_images(3))[1:2], network(_images(3)[1:2]), rtol=1e-3, atol=1e-4)


@each_classifier
def test_a_momentum_of_almost_nothing_is_almost_the_plain_network(name: str) -> None:
    plain, moved, far = (_build(name, momentum=value).eval() for value in (0.0, 1e-9, 0.9))
    with torch.no_grad():
        expected = plain(_images())
        torch.testing.assert_close(moved(_images()), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        assert not torch.allclose(far(_images()), expected, rtol=1e-2, atol=0)


@each_classifier
def test_gradients_do_not_depend_on_how_they_are_computed(name: str) -> None:
    def gradients(way: str) -> Tensor:
        network = _build(name, momentum=0.9, differentiation=way).double().eval()
        network(_images(1).double()).square().mean().backward()
        return torch.cat([value.grad.flatten() for value in network.parameters()])

    expected = gradients("autograd")
    for way in ("reversible", "checkpoint"):
        assert float((gradients(way) - expected).norm() / expected.norm()) < 1e-9


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"name": "vgg"}, "no classifier named 'vgg'"),
        ({"name": "shufflenet_v1", "groups": 5}, "no ShuffleNet with 5 groups"),
        ({"name": "mobilenet_v2", "classes": 0}, "channels and classes, not 3 and 0"),
        ({"name": "shufflenet_v1", "classes": 0}, "channels and classes, not 3 and 0"),
    ],
)
def test_tables_that_describe_no_classifier_are_refused_in_words(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_classifier(config)


def test_defaults_are_those_of_the_papers() -> None:
    with torch.device("meta"):
        assert MobileNetV2().classifier[1].out_features == ShuffleNetV1().classifier.out_features == 1000
