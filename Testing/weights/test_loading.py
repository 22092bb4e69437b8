from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from momentumseg.errors import OutputError, WeightsError
from momentumseg.networks.backbones.resnet_dilated import DilatedResNet
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.loading import load_backbone_weights, load_few_shot_model, save_few_shot_model
from momentumseg.weights.model_files import METADATA_KEY
from momentumseg.weights.reading import read_metadata
from momentumseg.weights.store import WeightsStore

CARD = {"name": "mine", "licence": "MIT", "training_data": "phantoms", "metrics": {"Dice": 0.8}, "seed": 1}
RECIPE = {"training": {"iterations": 5}, "name": "quick"}
SMALL_RESNET = {"blocks": (1, 2, 1), "width": 4, "channels": 6}


@pytest.fixture
def a_model_file(a_network: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    save_few_shot_model(a_network, path, RECIPE, CARD)
    return path


def test_saved_model_comes_back_with_recipe_and_card(a_network: nn.Module, a_model_file: Path) -> None:
    model = load_few_shot_model(a_model_file)
    assert model.network.config == a_network.config
    assert not model.network.training
    assert (model.recipe, model.sha256, model.path) == (RECIPE, sha256_of(a_model_file), a_model_file)
    assert (model.card.name, model.card.licence, model.card.metrics) == ("mine", "MIT", {"Dice": 0.8})
    assert model.card.extra == {"seed": 1}


def test_saved_model_is_the_same_function_within_half_precision(a_network: nn.Module, a_model_file: Path) -> None:
    images = torch.rand(2, 3, 32, 32)
    expected = a_network.eval().encode(images)
    assert_close(load_few_shot_model(a_model_file).network.encode(images), expected)


def test_filters_are_stored_in_half_and_vectors_in_single_precision(a_model_file: Path) -> None:
    tensors = load_file(a_model_file)
    assert tensors["backbone.layers.0.weight"].dtype == torch.float16
    assert tensors["backbone.layers.0.bias"].dtype == torch.float32


def test_values_beyond_half_precision_survive(a_network: nn.Module, tmp_path: Path) -> None:
    with torch.no_grad():
        a_network.backbone.layers[0].weight[0, 0, 0, 0] = 1e6
    save_few_shot_model(a_network, tmp_path / "large.safetensors", {}, CARD)
    loaded = load_few_shot_model(tmp_path / "large.safetensors").network
    assert loaded.backbone.layers[0].weight[0, 0, 0, 0] == 1e6


def test_loading_and_saving_again_changes_nothing(a_model_file: Path, tmp_path: Path) -> None:
    model = load_few_shot_model(a_model_file)
    save_few_shot_model(model.network, tmp_path / "again.safetensors", model.recipe, model.card)
    again = load_few_shot_model(tmp_path / "again.safetensors")
    assert (again.card, again.recipe) == (model.card, model.recipe)
    assert all(torch.equal(a, b) for a, b in zip(parameters(again.network), parameters(model.network), strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_colleagues_may_read_a_saved_model(a_model_file: Path) -> None:
    assert a_model_file.stat().st_mode & 0o044 == 0o044


def test_own_model_is_found_by_the_name_it_was_imported_under(a_model_file: Path, a_store: WeightsStore) -> None:
    a_store.import_file("liver.v2", a_model_file)
    assert load_few_shot_model("liver.v2", store=a_store).card.name == "mine"


@pytest.mark.parametrize("lost", ["backbone.layers.0.weight", "backbone.layers.6.bias"])
def test_partial_model_is_refused(a_model_file: Path, lost: str) -> None:
    rewrite(a_model_file, drop=lost)
    with pytest.raises(WeightsError, match=f"1 missing.*{lost}"):
        load_few_shot_model(a_model_file)


def test_model_with_foreign_tensors_is_refused(a_model_file: Path) -> None:
    rewrite(a_model_file, add={"head.other": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"head\.other"):
        load_few_shot_model(a_model_file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "has format 2, this version reads format 1"),
        ({"network": None}, "no table 'network'"),
        ({"recipe": []}, "no table 'recipe'"),
        ({"card": {}}, "card has no name"),
        ({"network": {"backbone": {"name": "future"}, "head": {"name": "prototype"}}}, "does not know"),
        ({"network": {"backbone": {"name": "tiny", "rings": 2}, "head": {"name": "prototype"}}}, "does not know"),
    ],
)
def test_unusable_description_is_refused_in_words(a_model_file: Path, change: dict[str, Any], words: str) -> None:
    rewrite(a_model_file, change=change)
    with pytest.raises(WeightsError, match=words):
        load_few_shot_model(a_model_file)


def test_description_that_is_no_json_is_refused_in_words(a_model_file: Path) -> None:
    save_file(load_file(a_model_file), a_model_file, metadata={METADATA_KEY: "{"})
    with pytest.raises(WeightsError, match="damaged"):
        load_few_shot_model(a_model_file)


def test_weights_without_recipe_are_no_few_shot_model(a_weights_file: Path) -> None:
    with pytest.raises(WeightsError, match="not written by MomentumSeg's trainer"):
        load_few_shot_model(a_weights_file)


def test_unknown_name_lists_the_known_ones(a_store: WeightsStore) -> None:
    with pytest.raises(WeightsError, match="no model named 'nothing'; choose one of known"):
        load_few_shot_model("nothing", store=a_store)


def test_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors does not exist"):
        load_few_shot_model(tmp_path / "none.safetensors")


def test_failed_save_leaves_the_old_file(
    a_network: nn.Module, a_model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = a_model_file.read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("momentumseg.weights.model_files.save_file", full_disk)
    with pytest.raises(OutputError, match="disk is full"):
        save_few_shot_model(a_network, a_model_file, RECIPE, CARD)
    assert a_model_file.read_bytes() == before
    assert list(a_model_file.parent.iterdir()) == [a_model_file]


def test_save_into_a_missing_folder_is_refused_in_words(a_network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        save_few_shot_model(a_network, tmp_path / "none" / "m.safetensors", RECIPE, CARD)


@pytest.mark.parametrize(
    ("prefix", "extra"),
    [
        ("backbone.", ("backbone.layer4.0.conv1.weight", "classifier.0.weight", "aux_classifier.4.bias")),
        ("", ("layer4.0.conv1.weight", "fc.weight", "fc.bias")),
        ("module.", ()),
    ],
    ids=["COCO", "ImageNet", "several GPUs"],
)
def test_every_layout_of_resnet_files_is_loaded(tmp_path: Path, prefix: str, extra: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    source, target = DilatedResNet(**SMALL_RESNET), DilatedResNet(**SMALL_RESNET)
    reduce_before = target.reduce1.weight.clone()
    path = resnet_file(tmp_path, source, prefix, extra)
    report = load_backbone_weights(target, path)
    assert len(report.matched) == len([name for name in source.pretrained_tensors() if "num_batches" not in name])
    assert (report.prefix, report.missing, set(report.unexpected)) == (prefix, (), set(extra))
    for name, value in source.pretrained_tensors().items():
        assert torch.equal(target.pretrained_tensors()[name], value), name
    assert torch.equal(target.reduce1.weight, reduce_before)


def test_partial_resnet_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = DilatedResNet(**SMALL_RESNET), DilatedResNet(**SMALL_RESNET)
    before = [value.clone() for value in target.state_dict().values()]
    path = resnet_file(tmp_path, source, "backbone.", (), dropped="layer3.0.bn2.running_var")
    with pytest.raises(WeightsError, match=r"1 missing.*layer3\.0\.bn2\.running_var"):
        load_backbone_weights(target, path)
    assert all(torch.equal(a, b) for a, b in zip(target.state_dict().values(), before, strict=True))


def test_resnet_of_another_depth_is_refused(tmp_path: Path) -> None:
    shallow = DilatedResNet(**{**SMALL_RESNET, "blocks": (1, 1, 1)})
    with pytest.raises(WeightsError, match="missing"):
        load_backbone_weights(DilatedResNet(**SMALL_RESNET), resnet_file(tmp_path, shallow, "", ()))


def resnet_file(folder: Path, network: DilatedResNet, prefix: str, extra: tuple[str, ...], dropped: str = "") -> Path:
    tensors = {prefix + name: value.detach() for name, value in network.pretrained_tensors().items() if name != dropped}
    tensors.update({name: torch.ones(1) for name in extra})
    torch.save(tensors, folder / "resnet.pth")
    return folder / "resnet.pth"


def rewrite(
    path: Path, drop: str = "", add: dict[str, torch.Tensor] | None = None, change: dict[str, Any] | None = None
) -> None:
    """Write a model file again with a tensor less or more, or with another description."""
    tensors = {name: value for name, value in load_file(path).items() if name != drop}
    description = {**json.loads(read_metadata(path)[METADATA_KEY]), **(change or {})}
    save_file({**tensors, **(add or {})}, path, metadata={METADATA_KEY: json.dumps(description)})


def parameters(network: nn.Module) -> list[torch.Tensor]:
    return list(network.state_dict().values())


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
