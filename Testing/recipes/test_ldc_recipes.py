"""The semi-supervised recipes: comparable with their supervised ones, and the published settings."""

from __future__ import annotations

from momentumseg.recipes.reading import read_recipe
from momentumseg.strategies.mean_teacher import MeanTeacherSettings


def test_the_laptop_recipe_differs_from_the_supervised_one_by_its_strategy_alone() -> None:
    semi, supervised = read_recipe("ldc-laptop"), read_recipe("resunet-2d-laptop")
    assert {name for name in semi if semi[name] != supervised.get(name)} == {"title", "about", "strategy"}
    options = {name: value for name, value in semi["strategy"].items() if name != "name"}
    assert MeanTeacherSettings(**options).asks_the_teacher
    assert 0 < options["ramp"] < semi["training"]["iterations"] / 2


def test_cmaformer_trains_as_its_published_script() -> None:
    recipe = read_recipe("ldc-cmaformer")
    optimizer, schedule, training = recipe["optimizer"], recipe["schedule"], recipe["training"]
    assert recipe["network"]["name"] == "cmaformer" and recipe["data"]["patch"] == [512, 512]
    assert (optimizer["name"], optimizer["lr"], optimizer["weight_decay"]) == ("adamw", 1e-2, 3e-5)
    assert schedule["name"] == "cosine" and optimizer["lr"] * schedule["floor"] == 1e-5
    labelled = training["batch"]
    assert labelled * (1 + recipe["strategy"]["unlabelled_per_labelled"]) == 28 and training["seed"] == 3407
