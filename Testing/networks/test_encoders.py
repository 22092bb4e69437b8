"""ResNet-50 and PVT v2 against their equations, an independent implementation, and files of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError, WeightsError
from momentumseg.networks.backbones.pvt_v2 import DropPath, PvtV2B3
from momentumseg.networks.backbones.resnet50 import ResNet50Encoder
from momentumseg.networks.blocks.momentum_sequence import MomentumSettings
from momentumseg.networks.trans_net_r import ResidualTransformerUnit
from momentumseg.networks.unet_resnet50 import UNetResNet50
from momentumseg.weights.loading import load_backbone_weights


def _images(rows: int = 64, columns: int = 64, count: int = 1) -> Tensor:
    return torch.randn(count, 3, rows, columns, generator=torch.Generator().manual_seed(2))


def test_resnet50_without_momentum_is_the_plain_one_to_the_last_bit() -> None:
    torch.manual_seed(0)
    encoder = ResNet50Encoder(stages=3).eval()
    with torch.no_grad():
        found = encoder(_images())
        x = functional.relu(encoder.bn1(encoder.conv1(_images())))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in (encoder.layer1, encoder.layer2, encoder.layer3):
            for block in stage:
                skip = x if block.downsample is None else block.downsample(x)
                hidden = functional.relu(block.bn1(block.conv1(x)))
                hidden = functional.relu(block.bn2(block.conv2(hidden)))
                x = functional.relu(block.bn3(block.conv3(hidden)) + skip)
    assert torch.equal(found[-1], x)


@pytest.mark.slow
def test_a_file_in_resnet_layout_fills_the_encoder_of_the_unet(tmp_path: Path) -> None:
    """LVM-Med's file is a plain dictionary of ResNet-50's names; ``fc`` may be there, a prefix too."""
    torch.manual_seed(0)
    network, source = UNetResNet50(3, 2), ResNet50Encoder()
    content = {f"module.{name}": value for name, value in source.state_dict().items()}
    content |= {"module.fc.weight": torch.zeros(10, 2048), "module.fc.bias": torch.zeros(10)}
    torch.save({"state_dict": content}, tmp_path / "lvmmed_resnet.torch")

    report = load_backbone_weights(network.encoder, tmp_path / "lvmmed_resnet.torch")

    assert report.complete and set(report.unexpected) == {"module.fc.weight", "module.fc.bias"}
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])


def test_another_network_s_file_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(3, 4, 3).state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="does not fit"):
        load_backbone_weights(ResNet50Encoder(stages=1), tmp_path / "other.pt")


@pytest.mark.parametrize("build", [ResNet50Encoder, PvtV2B3])
def test_encoders_have_one_to_four_stages(build: Any) -> None:
    with pytest.raises(InputError, match="no 5 stages"):
        build(stages=5)


def _transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Ours by the names of `transformers`."""
    renamed = {}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        stage = int(part[-1]) - 1
        base = f"encoder.layers.{stage}"
        if part.startswith("patch_embed"):
            rest = rest.replace("norm", "layer_norm")
            renamed[f"{base}.patch_embedding.{rest}"] = value
        elif part.startswith("norm"):
            renamed[f"{base}.layer_norm.{rest}"] = value
        else:
            block, _, rest = rest.partition(".")
            base = f"{base}.blocks.{block}"
            if rest.startswith("attn.kv"):
                kind = rest.rpartition(".")[2]
                for part_name, half in zip(("key", "value"), value.chunk(2), strict=True):
                    renamed[f"{base}.attention.{part_name}.{kind}"] = half
                continue
            for ours, theirs in (
                ("attn.q.", "attention.query."),
                ("attn.sr.", "attention.spatial_reduction."),
                ("attn.norm.", "attention.layer_norm."),
                ("attn.", "attention."),
                ("norm1", "layer_norm_1"),
                ("norm2", "layer_norm_2"),
                ("fc1", "dense1"),
                ("fc2", "dense2"),
            ):
                if ours in rest:
                    rest = rest.replace(ours, theirs)
                    break
            renamed[f"{base}.{rest}"] = value
    return renamed


@pytest.mark.slow
def test_pvt_v2_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="the independent implementation")
    torch.manual_seed(0)
    ours = PvtV2B3(stages=4).eval()
    config = transformers.PvtV2Config(
        depths=[3, 4, 18, 3],
        hidden_sizes=[64, 128, 320, 512],
        num_attention_heads=[1, 2, 5, 8],
        mlp_ratios=[8, 8, 4, 4],
    )
    theirs = transformers.PvtV2Model(config).eval()
    theirs.load_state_dict(_transformers_names(ours.state_dict()))
    with torch.no_grad():
        expected = theirs(_images(), output_hidden_states=True).hidden_states
        for found, other in zip(ours(_images()), expected, strict=True):
            torch.testing.assert_close(found, other, rtol=1e-3, atol=1e-4)


def test_dropped_paths_drop_whole_samples_and_keep_the_mean() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(4000, 2, 2))
    samples = dropped.flatten(1)
    assert bool((samples == samples[:, :1]).all())
    assert sorted({round(value, 4) for value in samples[:, 0].tolist()}) == [0, 1.3333]
    assert float(dropped.mean()) == pytest.approx(1, abs=0.03)
    assert torch.equal(DropPath(0.25).eval()(torch.ones(3, 1)), torch.ones(3, 1))


@pytest.mark.slow
def test_dropped_paths_are_the_same_when_computed_again() -> None:
    def gradients(way: str) -> Tensor:
        torch.manual_seed(0)
        encoder = PvtV2B3(MomentumSettings(0.9, way), stages=1, drop_path=0.9).double()
        torch.manual_seed(1)
        encoder(_images(32, 32, 2).double())[0].square().mean().backward()
        return torch.cat([value.grad.flatten() for value in encoder.parameters()])

    expected = gradients("autograd")
    for way in ("reversible", "checkpoint"):
        assert float((gradients(way) - expected).norm() / expected.norm()) < 1e-9


def test_transformer_units_move_patches_with_their_places() -> None:
    """Trap: a reshape in place of a transposition scatters a patch over the image. Patches that attention cannot tell
    apart (no positions in it) must come back where they were when their places are exchanged."""
    torch.manual_seed(0)
    unit = ResidualTransformerUnit(3, 4, tokens=8).eval()
    hidden = torch.randn(1, 4, 8, 8)

    def mixed(features: Tensor) -> Tensor:
        patches = functional.pixel_unshuffle(features, unit.patch)
        tokens = unit.transformer(unit.embed(patches.flatten(2).transpose(1, 2)))
        return functional.pixel_shuffle(unit.restore(tokens).transpose(1, 2).reshape(patches.shape), unit.patch)

    unit.before, unit.after = nn.Identity(), nn.Identity()
    with torch.no_grad():
        unit.skip, unit.unit = nn.Conv2d(4, 4, 1), nn.Identity()
        expected = functional.leaky_relu(mixed(hidden) + unit.skip(hidden), 0.1)
        torch.testing.assert_close(unit(hidden), expected)
        exchanged = hidden.roll(4, dims=3)
        torch.testing.assert_close(unit(exchanged), unit(hidden).roll(4, dims=3), rtol=1e-4, atol=1e-5)
