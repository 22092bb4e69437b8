"""Every recipe of the package describes something that can be built, and the paper's says what the paper says."""

from __future__ import annotations

import pytest
import torch

from momentumseg.networks.registry import build_few_shot_network
from momentumseg.objectives.few_shot import FewShotObjective
from momentumseg.optimizers.registry import build_optimizer, build_schedule
from momentumseg.recipes.reading import read_recipe, recipe_names
from momentumseg.training.episodes import EligibilityRules
from momentumseg.training.preparation import RegionSource
from momentumseg.training.settings import TrainingSettings
from momentumseg.transforms.episode_augmentation import AugmentationConfig


@pytest.mark.parametrize("name", recipe_names())
def test_every_table_of_a_recipe_is_understood(name: str) -> None:
    recipe = read_recipe(name)
    if "network" in recipe and "head" in recipe["network"]:
        with torch.device("meta"):
            network = build_few_shot_network(recipe["network"])
        FewShotObjective.from_mapping(network, recipe["objective"])
        build_optimizer(network, recipe["optimizer"])
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
    optimizer = build_optimizer(network, recipe["optimizer"])
    mask = torch.zeros(32, 32)
    mask[8:24, 8:24] = 1
    images = [mask + 0.1 * torch.randn(3, 32, 32) for _ in range(2)]
    losses = objective(images[0], mask, images[1], mask)
    losses["loss"].backward()
    learned = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learned)
    optimizer.step()
    assert network.backbone.bn1.num_batches_tracked == 1
