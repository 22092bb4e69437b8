"""ResUNet against its equations written out, and its options."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.networks.blocks.momentum_sequence import MomentumSettings
from momentumseg.networks.blocks.normalization import NORMS
from momentumseg.networks.blocks.residual_units import BLOCKS, ResidualLevel
from momentumseg.networks.res_unet import ResUNet
from momentumseg.networks.res_unet_plus_plus import ResUNetPlusPlus


def _images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("dimensions", "norm", "block"), list(itertools.product([2, 3], NORMS, BLOCKS)))
def test_every_combination_trains(dimensions: int, norm: str, block: str) -> None:
    torch.manual_seed(0)
    network = ResUNet(1, 2, dimensions=dimensions, widths=(4, 8, 12), units=2, norm=norm, block=block, momentum=0.8)
    images = _images(2, 1, *[8, 12, 4][:dimensions])
    logits = network(images)
    logits.square().mean().backward()
    assert logits.shape == (2, 2, *images.shape[2:])
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in network.parameters())


def test_the_plain_network_is_zhangs() -> None:
    """One unit a level: x' = BN(W x) + conv(relu(BN(conv(relu(BN x))))), the first without its first BN and ReLU."""
    torch.manual_seed(0)
    network = ResUNet(3, 1, widths=(4, 8, 12)).eval()
    images = _images(1, 3, 16, 24)

    def unit(level: ResidualLevel, x: Tensor, raw: bool = False) -> Tensor:
        body = list(level.first.body)
        hidden = x if raw else functional.relu(body[0](x))
        convolution, norm, last = body[-4], body[-3], body[-1]
        hidden = last(functional.relu(norm(convolution(hidden))))
        return level.first.shortcut_norm(level.first.shortcut(x)) + hidden

    with torch.no_grad():
        x1 = unit(network.encoder[0], images, raw=True)
        x2 = unit(network.encoder[1], x1)
        x = unit(network.encoder[2], x2)
        for level, skip in zip(network.decoder, (x2, x1), strict=True):
            x = functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = unit(level, torch.cat([x, skip], dim=1))
        assert torch.equal(network(images), network.head(x))


def test_the_velocity_is_carried_through_a_change_of_shape() -> None:
    """v' = g W v + (1-g) f(x), x' = P x + v', with W the skip's convolution without its bias."""
    torch.manual_seed(0)
    level = ResidualLevel(4, 6, 1, MomentumSettings(0.7), stride=2).eval()
    x, v = _images(1, 4, 6, 6), _images(1, 4, 6, 6).flip(1)
    unit = level.first
    with torch.no_grad():
        found, speed = level(x, v)
        pushed = 0.7 * functional.conv2d(v, unit.shortcut.weight, stride=2) + 0.3 * unit.body(x)
        torch.testing.assert_close(speed, pushed)
        torch.testing.assert_close(found, unit.shortcut_norm(unit.shortcut(x)) + pushed)


def test_with_one_unit_a_level_momentum_is_more_than_a_scaled_residual() -> None:
    """What the specification warns of: v = 0 at the start of every level would leave (1-g) f alone."""
    torch.manual_seed(0)
    network = ResUNet(1, 1, widths=(4, 8), momentum=0.9).eval()
    images = _images(1, 1, 8, 8)
    with torch.no_grad():
        x1, v1 = network.encoder[0](images)
        carried, from_rest = network.encoder[1](x1, v1)[0], network.encoder[1](x1)[0]
    assert v1 is not None and not torch.allclose(carried, from_rest, rtol=1e-2)


def test_basic_blocks_without_momentum_end_with_a_relu() -> None:
    torch.manual_seed(0)
    level = ResidualLevel(3, 5, 3, MomentumSettings(0.0), block="basic").eval()
    with torch.no_grad():
        features, velocity = level(_images(1, 3, 6, 6))
    assert velocity is None and float(features.min()) == 0.0


def test_long_levels_are_reversible_and_short_of_memory() -> None:
    """Only the ends of the sequences are stored, so that more units need no more memory."""

    def stored(units: int) -> int:
        sizes: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            if not isinstance(value, torch.nn.Parameter):
                sizes[value.data_ptr()] = value.numel() * value.element_size()
            return value

        network = ResUNet(1, 1, widths=(4, 8), units=units, norm="group", momentum=0.9, differentiation="reversible")
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            network(_images(1, 1, 16, 16)).sum()
        return sum(sizes.values())

    assert stored(9) == stored(3)


def test_resunet_plus_plus_gates_and_enlarges_by_the_nearest() -> None:
    """Its decoder written out, from the features of its encoder."""
    torch.manual_seed(0)
    network = ResUNetPlusPlus(3, 1, widths=(4, 8, 16, 16)).eval()
    images = _images(1, 3, 32, 16)
    with torch.no_grad():
        levels = []
        x = images
        for level in network.encoder:
            x = level.level.first(x)[0]
            means = x.mean(dim=(2, 3))
            x = x * torch.sigmoid(level.attention.fc2(torch.relu(level.attention.fc1(means))))[:, :, None, None]
            levels.append(x)
        x = network.bridge(x)
        for gate, level, skip in zip(network.gates, network.decoder, reversed(levels[:-1]), strict=True):
            x = x * gate.of_both(gate.of_skip(skip) + gate.of_deep(x))
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = level(torch.cat([x, skip], dim=1))[0]
        torch.testing.assert_close(network(images), network.head(network.pyramid(x)))
