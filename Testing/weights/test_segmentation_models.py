"""Files of automatic models: what comes back, and what is refused in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from momentumseg.errors import WeightsError
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable
from momentumseg.weights.checksums import sha256_of
from momentumseg.weights.loading import load_few_shot_model, save_few_shot_model
from momentumseg.weights.model_files import METADATA_KEY, model_inside
from momentumseg.weights.prompt_models import load_prompt_model
from momentumseg.weights.reading import read_metadata
from momentumseg.weights.segmentation_models import load_segmentation_model, save_segmentation_model
from momentumseg.weights.store import WeightsStore

TABLE = {"name": "resunet", "in_channels": 1, "classes": 3, "dimensions": 3, "widths": [4, 8], "momentum": 0.9}
CARD = {"name": "hippocampus", "licence": "CC BY-SA 4.0", "metrics": {"Dice": 0.8}}
STATISTICS = DataStatistics(
    spacing=(1.0, None, 2.0),
    plane="volume",
    patch=(16, 16, 16),
    channels=("T1",),
    intensity=[-100.0, 300.0],
    labels=LabelTable.of({2: "anterior", 5: "posterior"}),
)
RECIPE = {"name": "momentum-resunet", "inference": {"overlap": 0.5}}


@pytest.fixture
def an_automatic_network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_segmentation_network(TABLE)


@pytest.fixture
def an_automatic_file(an_automatic_network: SegmentationNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "hippocampus.safetensors"
    save_segmentation_model(an_automatic_network, path, recipe=RECIPE, card=CARD, statistics=STATISTICS.to_mapping())
    return path


def test_model_comes_back_with_all_that_it_was_saved_with(an_automatic_file: Path) -> None:
    model = load_segmentation_model(an_automatic_file)
    assert model.network.config == TABLE
    assert not model.network.training
    assert (model.recipe, model.statistics) == (RECIPE, STATISTICS)
    assert (model.card.name, model.card.metrics) == ("hippocampus", {"Dice": 0.8})
    assert (model.sha256, model.path) == (sha256_of(an_automatic_file), an_automatic_file)


def test_model_is_the_same_function_within_half_precision(
    an_automatic_network: SegmentationNetwork, an_automatic_file: Path
) -> None:
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        expected = an_automatic_network.eval()(image)
        found = load_segmentation_model(an_automatic_file).network(image)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_own_model_is_found_by_its_name(an_automatic_file: Path, a_store: WeightsStore) -> None:
    a_store.import_file("mine", an_automatic_file)
    assert load_segmentation_model("mine", store=a_store).card.name == "hippocampus"


def test_file_says_its_kind(an_automatic_file: Path, a_network: nn.Module, a_weights_file: Path) -> None:
    save_few_shot_model(a_network, an_automatic_file.with_name("few.safetensors"), {}, CARD)
    kinds = [model_inside(path) for path in (an_automatic_file, an_automatic_file.with_name("few.safetensors"))]
    assert [found and found[0] for found in kinds] == ["automatic", "few-shot"]
    assert model_inside(a_weights_file) is None


def test_other_loaders_refuse_it_and_name_the_right_command(an_automatic_file: Path) -> None:
    with pytest.raises(WeightsError, match="is an automatic model, which needs nothing drawn.*'momentumseg automatic'"):
        load_few_shot_model(an_automatic_file)
    with pytest.raises(WeightsError, match="is an automatic model, which needs nothing drawn.*'momentumseg automatic'"):
        load_prompt_model(an_automatic_file)


def test_few_shot_file_is_refused_and_the_right_command_named(a_network: nn.Module, tmp_path: Path) -> None:
    save_few_shot_model(a_network, tmp_path / "few.safetensors", {}, CARD)
    with pytest.raises(WeightsError, match="is a few-shot model, which needs a drawn slice.*'momentumseg fewshot'"):
        load_segmentation_model(tmp_path / "few.safetensors")


def test_few_shot_file_of_the_first_version_is_still_one(a_network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_few_shot_model(a_network, path, {}, CARD)
    rewrite(path, {"kind": None})
    assert load_few_shot_model(path).card.name == "hippocampus"
    with pytest.raises(WeightsError, match="is a few-shot model"):
        load_segmentation_model(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "classifier"}, "a model of the kind 'classifier'"),
        ({"statistics": None}, "no table 'statistics'"),
        ({"statistics": {"patch": [16, 16, 16]}}, "cannot run.*training data is damaged"),
        ({"network": {"name": "future"}}, "cannot run.*no segmentation network named 'future'"),
        ({"network": {**TABLE, "classes": 2}}, "2 classes.*3 classes"),
        ({"network": {**TABLE, "dimensions": 2}}, "2D images"),
        ({"network": {**TABLE, "in_channels": 2}}, "takes 2 channels, its data have 1"),
        ({"network": {**TABLE, "widths": [4, 16]}}, "shape|fit"),
    ],
)
def test_unusable_description_is_refused_in_words(an_automatic_file: Path, change: dict[str, Any], words: str) -> None:
    rewrite(an_automatic_file, change)
    with pytest.raises(WeightsError, match=words):
        load_segmentation_model(an_automatic_file)


def test_weights_without_recipe_are_no_automatic_model(a_weights_file: Path) -> None:
    with pytest.raises(WeightsError, match="not written by MomentumSeg's trainer"):
        load_segmentation_model(a_weights_file)


def rewrite(path: Path, change: dict[str, Any]) -> None:
    """Write a model file again with another description; None removes an entry."""
    description = {**json.loads(read_metadata(path)[METADATA_KEY]), **change}
    description = {key: value for key, value in description.items() if value is not None}
    save_file(load_file(path), path, metadata={METADATA_KEY: json.dumps(description)})
