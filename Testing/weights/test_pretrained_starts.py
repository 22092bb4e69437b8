"""What networks begin with: published encoders in every wrapping, and models of our own trainer."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from momentumseg.errors import InputError, WeightsError
from momentumseg.networks.backbones.resnet50 import ResNet50Encoder
from momentumseg.networks.registry import build_segmentation_network, segmentation_names
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.weights.catalogue import load_catalogue
from momentumseg.weights.model_files import AUTOMATIC, write_model_file
from momentumseg.weights.pretrained_starts import load_model_start, load_start, starts_of

Layout = dict[str, Tensor]


def _network(**options: Any) -> SegmentationNetwork:
    return build_segmentation_network({"name": "transnetr", "classes": 2, **options})


def _small(**options: Any) -> SegmentationNetwork:
    torch.manual_seed(3)
    return build_segmentation_network({"name": "resunet", "in_channels": 1, "widths": [4, 8], **options})


@pytest.fixture(scope="module")
def resnet() -> ResNet50Encoder:
    """Three stages, as TransNetR needs them, with statistics that are no longer 0 and 1."""
    torch.manual_seed(7)
    encoder = ResNet50Encoder(stages=3).eval()
    with torch.no_grad():
        for name, value in encoder.named_buffers():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
            else:
                assert name.endswith("num_batches_tracked")
    return encoder


@pytest.fixture(scope="module")
def published(resnet: ResNet50Encoder) -> Layout:
    """The layout of a published file: also a stage that is not needed, and the classifier."""
    rest = {"layer4.0.conv1.weight": torch.zeros(4), "fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}
    return {**resnet.state_dict(), **rest}


@pytest.fixture(scope="module")
def a_file(tmp_path_factory: pytest.TempPathFactory, published: Layout) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet50-0676ba61.pth"
    torch.save(published, path)
    return path


def _prefixed(tensors: Mapping[str, Tensor], prefix: str) -> Layout:
    return {prefix + name: value for name, value in tensors.items()}


def _equal(encoder: nn.Module, source: nn.Module) -> bool:
    expected = source.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [(None, ""), ("state_dict", "module."), ("model", "backbone."), (None, "encoder."), ("state_dict", "")],
)
def test_a_published_encoder_is_found_in_every_wrapping(
    wrapper: str | None, prefix: str, resnet: ResNet50Encoder, published: Layout, tmp_path: Path
) -> None:
    content = _prefixed(published, prefix)
    torch.save({wrapper: content, "epoch": 3} if wrapper else content, tmp_path / "own.pth")
    network = _network()

    said = load_start(network, {"encoder": str(tmp_path / "own.pth")})

    assert _equal(network.encoder, resnet)
    assert said == [f"The encoder begins as own.pth: {_needed(resnet)} tensors; the rest of it is random."]


def _needed(encoder: nn.Module) -> int:
    return sum(not name.endswith("num_batches_tracked") for name in encoder.state_dict())


def test_without_momentum_a_loaded_network_is_the_plain_one_to_the_last_bit(
    resnet: ResNet50Encoder, a_file: Path
) -> None:
    """gamma = 0: f(x) = block(x) - x must give back the block, and with it what the file's authors computed."""
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    plain, zero = _network(), _network(momentum=0.0, differentiation="checkpoint")
    zero.load_state_dict(plain.state_dict())
    for network in (plain, zero):
        load_start(network.eval(), {"encoder": str(a_file)})
    with torch.no_grad():
        assert torch.equal(plain(images), zero(images))
        for found, expected in zip(zero.encoder(images), resnet(images), strict=True):
            assert torch.equal(found, expected)


def test_with_momentum_the_same_weights_are_loaded_and_the_user_is_told(resnet: ResNet50Encoder, a_file: Path) -> None:
    network = _network(momentum=0.9)
    said = load_start(network, {"encoder": str(a_file)})
    assert _equal(network.encoder, resnet) and "needs fine-tuning" in said[1]


def test_lvm_meds_notice_is_shown_whatever_folder_its_file_lies_in(published: Layout, tmp_path: Path) -> None:
    path = tmp_path / "lvmmed_resnet.torch"
    torch.save(published, path)
    assert "non-commercial research only" in load_start(_network(), {"encoder": str(path)})[-1]


def test_half_a_file_is_refused_with_its_counts_and_changes_nothing(published: Layout, tmp_path: Path) -> None:
    half = {name: value for name, value in published.items() if not name.startswith("layer3")}
    torch.save(half, tmp_path / "half.pth")
    network = _network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"half.pth does not fit .*: \d+ of \d+ tensors matched, \d+ missing"):
        load_start(network, {"encoder": str(tmp_path / "half.pth")})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_tensors_of_another_shape_are_refused(published: Layout, tmp_path: Path) -> None:
    torch.save({**published, "conv1.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "grey.pth")
    with pytest.raises(WeightsError, match="1 of another shape"):
        load_start(_network(), {"encoder": str(tmp_path / "grey.pth")})


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}, "hook": Harmful()}, tmp_path / "harmful.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harmful()))
    for name in ("harmful.pth", "plain.pth"):
        with pytest.raises(WeightsError):
            load_start(_network(), {"encoder": str(tmp_path / name)})
    assert not (tmp_path / "ran").exists()


def test_images_of_two_channels_have_no_pretrained_encoder(a_file: Path) -> None:
    with pytest.raises(InputError, match="takes images of 3 channels, not 2"):
        load_start(_network(in_channels=2), {"encoder": str(a_file)})


def test_where_no_start_exists_it_is_said(a_file: Path) -> None:
    assert starts_of("resunet").sentence == ("There is no pretrained start for resunet: it begins with random weights.")
    with pytest.raises(InputError, match="no pretrained start for resunet"):
        load_start(_small(), {"encoder": str(a_file)})
    assert load_start(_small(), {"encoder": ""}) == [] == load_start(_small(), {})


def test_every_network_says_its_starts_and_their_names_are_in_the_catalogue() -> None:
    for name in segmentation_names():
        starts = starts_of(name)
        assert name in starts.sentence and bool(starts.names) == bool(starts.encoder)
        assert all(load_catalogue()[entry].kind == "backbone" for entry in starts.names)
    assert {name for name in segmentation_names() if starts_of(name).names} == {
        "transnetr",
        "pvtformer",
        "unet_resnet50",
    }
    lvm_med = load_catalogue()["lvm-med-resnet50"]
    assert lvm_med.source.kind == "user" and "non-commercial" in lvm_med.card.extra["notice"]


def test_unknown_entries_of_the_table_are_refused() -> None:
    with pytest.raises(InputError, match="unknown option 'encodr'"):
        load_start(_small(), {"encodr": "x"})
    with pytest.raises(InputError, match="weights.encoder is 3"):
        load_start(_small(), {"encoder": 3})


@pytest.fixture
def a_model(tmp_path: Path) -> Path:
    """Of our trainer: a small ResUNet of three classes."""
    path = tmp_path / "model.safetensors"
    network = _small(classes=3)
    write_model_file(
        network, path, AUTOMATIC, table=network.config, recipe={}, card={"name": "m"}, half=False, statistics={}
    )
    return path


def test_a_model_of_ours_begins_the_same_network(a_model: Path) -> None:
    network = _small(classes=3)
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
    report, said = load_model_start(network, a_model)
    assert report.complete and said == ["The network begins as model.safetensors."]
    assert _equal(network, _small(classes=3))


def test_with_other_classes_the_last_layer_begins_anew(a_model: Path) -> None:
    network = _small(classes=5)
    head = network.head.weight.detach().clone()
    with torch.no_grad():
        network.encoder[0].first.shortcut.weight.zero_()

    said = load_start(network, {"encoder": "ignored-with-init"}, a_model)

    assert said[1] == "Its last layer is new: the model has 3 classes with the background, these data 5."
    assert torch.equal(network.head.weight, head)
    expected = _small(classes=3).state_dict()["encoder.0.first.shortcut.weight"]
    assert torch.equal(network.encoder[0].first.shortcut.weight, expected)


@pytest.mark.parametrize("options", [{"widths": [4, 12]}, {"units": 2}, {"in_channels": 2}])
def test_a_model_of_another_network_is_refused_with_the_counts(a_model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match=r"a 'resunet' and does not fit .* \d+ of \d+ tensors match, .* missing"):
        load_start(_small(classes=3, **options), {}, a_model)


def test_a_file_that_is_no_model_of_ours_is_refused(a_file: Path) -> None:
    with pytest.raises(WeightsError, match="not written by MomentumSeg's trainer"):
        load_start(_small(), {}, a_file)
