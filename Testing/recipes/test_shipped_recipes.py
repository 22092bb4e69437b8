"""Every recipe of the package describes something that can be built, and the paper's says what the paper says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from momentumseg.networks.registry import build_few_shot_network, build_segmentation_network
from momentumseg.objectives.few_shot import FewShotObjective
from momentumseg.objectives.registry import build_objective
from momentumseg.optimizers.registry import build_optimizer, build_schedule
from momentumseg.recipes.reading import read_recipe, recipe_names
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.episodes import EligibilityRules
from momentumseg.training.preparation import RegionSource
from momentumseg.training.settings import TrainingSettings
from momentumseg.transforms.episode_augmentation import AugmentationConfig
from momentumseg.transforms.patch_augmentation import PatchAugmentation

FEW_SHOT = [name for name in recipe_names() if "episodes" in read_recipe(name)]
PROMPTS = [name for name in recipe_names() if read_recipe(name).get("strategy", {}).get("name") == "prompt_decoder"]
BASES = ("automatic-laptop", "automatic-gpu")  # what others share
AUTOMATIC = [name for name in recipe_names() if name not in (*FEW_SHOT, *PROMPTS, *BASES)]


class OnePatch:
    """A sampler that has nothing but the shapes of the recipe."""

    def __init__(self, channels: int, patch: tuple[int, ...]) -> None:
        self.image = np.zeros((channels, *patch), dtype=np.float32)

    def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.image, self.image[0].astype(np.int64)

    def unlabelled(self, index: int) -> np.ndarray:
        return self.image


@pytest.mark.parametrize("name", AUTOMATIC)
def test_every_table_of_an_automatic_recipe_is_understood(name: str) -> None:
    recipe = read_recipe(name)
    data, training = DataSettings.of(recipe), TrainingSettings.of(recipe)
    table = {"in_channels": 1, **recipe["network"], "classes": 3}
    with torch.device("meta"):
        network = build_segmentation_network(table)
    assert network.dimensions == data.dimensions
    assert all(side % network.divisor == 0 for side in data.patch)
    assert training.batch >= 2 and training.epoch <= training.iterations
    assert build_schedule(recipe["schedule"], training.iterations)(training.iterations // 2) > 0
    PatchAugmentation.from_mapping(recipe["augmentation"], data.dimensions)
    objective = build_objective(recipe["objective"], 3)
    strategy = build_strategy(recipe["strategy"], network, objective, OnePatch(table["in_channels"], data.patch))
    assert strategy.model().classes == 3 and len(strategy.sample(0)) >= 2
    build_optimizer(strategy.parameters_to_train(), recipe["optimizer"], strategy.pretrained_parameters())


@pytest.mark.parametrize("name", [*AUTOMATIC, *PROMPTS])
def test_recipes_say_in_plain_words_what_they_are_for(name: str) -> None:
    recipe = read_recipe(name)
    for text in (recipe["title"], recipe["about"]["purpose"], recipe["about"]["needs"]):
        assert len(text) > 5
    assert recipe["about"]["purpose"].endswith(".") and recipe["about"]["needs"].endswith(".")
    assert not any(name in text for text in recipe["about"].values() for name in ("ACDC", "CHAOS", "hippocampus"))


def test_a_momentum_recipe_is_its_plain_recipe_with_momentum() -> None:
    pairs = [(name, name.removeprefix("momentum-")) for name in AUTOMATIC if name.startswith("momentum-")]
    assert len(pairs) >= 6
    for name, plain in pairs:
        recipe, base = read_recipe(name), read_recipe(plain)
        assert recipe["network"].pop("momentum") == 0.9
        for table in (recipe, base):
            table["network"].pop("units", None)
        assert {**recipe, "title": "", "about": {}} == {**base, "title": "", "about": {}}


@pytest.mark.parametrize("name", FEW_SHOT)
def test_every_table_of_a_few_shot_recipe_is_understood(name: str) -> None:
    recipe = read_recipe(name)
    if "network" in recipe and "head" in recipe["network"]:
        with torch.device("meta"):
            network = build_few_shot_network(recipe["network"])
        FewShotObjective.from_mapping(network, recipe["objective"])
        build_optimizer(network.parameters(), recipe["optimizer"])
    settings = TrainingSettings.of(recipe)
    assert build_schedule(recipe["schedule"], settings.iterations)(settings.iterations // 2) > 0
    episodes = {key: value for key, value in recipe["episodes"].items() if key != "context"}
    assert EligibilityRules(**episodes).max_gap >= 1
    assert AugmentationConfig.from_mapping(recipe.get("augmentation", {}))
    assert [RegionSource(**table).min_size for table in recipe["data"]["regions"]]


def test_recipe_of_the_paper_has_its_constants() -> None:
    recipe = read_recipe("lms-paper")
    assert recipe["training"]["iterations"] == 35_000
    optimizer, schedule, head = recipe["optimizer"], recipe["schedule"], recipe["network"]["head"]
    assert (optimizer["name"], optimizer["lr"], optimizer["momentum"]) == ("sgd", 1e-3, 0.9)
    assert (schedule["factor"], schedule["every"]) == (0.98, 1000)
    assert (head["stages"], head["alpha"], head["threshold"], head["learn_threshold"]) == (2, 20.0, 0.0, False)
    assert (head["regions"], head["identity_start"]) == (100, False)
    assert recipe["network"]["backbone"] == {"name": "resnet101_d4"}


def test_recipe_of_the_paper_trains_with_a_shallow_backbone() -> None:
    recipe = read_recipe(
        "lms-paper", ["network.backbone.blocks=[1, 1, 1]", "network.backbone.width=4", "network.backbone.channels=16"]
    )
    torch.manual_seed(0)
    network = build_few_shot_network(recipe["network"]).train()
    objective = FewShotObjective.from_mapping(network, recipe["objective"])
    optimizer = build_optimizer(network.parameters(), recipe["optimizer"])
    mask = torch.zeros(32, 32)
    mask[8:24, 8:24] = 1
    images = [mask + 0.1 * torch.randn(3, 32, 32) for _ in range(2)]
    losses = objective(images[0], mask, images[1], mask)
    losses["loss"].backward()
    learned = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learned)
    optimizer.step()
    assert network.backbone.bn1.num_batches_tracked == 1
