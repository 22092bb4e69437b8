from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from momentumseg.errors import Cancelled, InputError
from momentumseg.io.write import write_volume
from momentumseg.recipes.reading import read_recipe
from momentumseg.training.few_shot_run import RunOptions, run_few_shot_training
from momentumseg.volumes.volume import Volume
from momentumseg.weights.loading import load_few_shot_model

SETTINGS = (
    'network.backbone={name = "tiny", channels = 8}',
    'data.regions=[{method = "slic", min_size = 300}]',
    "data.size=48",
    "episodes.larger_area=20",
    "episodes.smaller_area=5",
    "training.iterations=4",
    "training.epoch=2",
)


def recipe_with(*settings: str) -> dict[str, Any]:
    recipe = read_recipe("prototype-laptop", (*SETTINGS, *settings))
    return {**recipe, "weights": {}}


@pytest.fixture
def images(tmp_path: Path, a_phantom_volume: Volume) -> dict[str, Path]:
    paths = {}
    for name in ("second", "first"):
        paths[name] = tmp_path / f"{name}.nii.gz"
        write_volume(a_phantom_volume, paths[name])
    return paths


def test_a_run_goes_from_volumes_to_a_model_that_knows_its_cases(tmp_path: Path, images: dict[str, Path]) -> None:
    prepared: list[tuple[int, int]] = []
    options = RunOptions(tmp_path / "run", images, on_prepared=lambda done, total: prepared.append((done, total)))
    model = load_few_shot_model(run_few_shot_training(recipe_with("card.name=mine"), options))
    assert prepared == [(1, 2), (2, 2)]
    assert model.card.name == "mine"
    assert model.recipe["data"]["training_cases"] == ["first", "second"]
    assert model.recipe["training"]["iterations"] == 4


def test_the_same_call_continues_a_stopped_run(tmp_path: Path, images: dict[str, Path]) -> None:
    whole = run_few_shot_training(recipe_with(), RunOptions(tmp_path / "whole", images))
    asked = iter([False] * 5 + [True])  # two volumes, three iterations
    with pytest.raises(Cancelled, match="after 3 of 4"):
        run_few_shot_training(recipe_with(), RunOptions(tmp_path / "parts", images, cancelled=lambda: next(asked)))
    model = run_few_shot_training(recipe_with(), RunOptions(tmp_path / "parts", images))
    assert model.read_bytes() == whole.read_bytes()


def test_generated_volumes_can_replace_images(tmp_path: Path) -> None:
    recipe = recipe_with("data.phantoms=1", "training.iterations=1")
    assert run_few_shot_training(recipe, RunOptions(tmp_path, {})).is_file()


def test_stopping_before_the_first_iteration_writes_nothing(tmp_path: Path, images: dict[str, Path]) -> None:
    with pytest.raises(Cancelled, match="nothing was written"):
        run_few_shot_training(recipe_with(), RunOptions(tmp_path / "run", images, cancelled=lambda: True))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.seed=-1", "training.seed is -1"),
        ("episodes.smallest=3", r"\[episodes\].*'smallest'"),
        ('data.regions=[{methd = "slic"}]', "data.regions.*'methd'"),
        ("augmentation.rotate=3", "Unknown augmentation option rotate"),
        ("optimizer.name=lion", "no optimiser named 'lion'"),
        ("schedule.name=linear", "no schedule named 'linear'"),
        ("objective.gamma=1", r"\[objective\].*'gamma'"),
        ("network.head.name=unet", "no head named 'unet'"),
    ],
)
def test_mistakes_in_a_recipe_do_not_wait_for_the_preparation(tmp_path: Path, setting: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_few_shot_training(recipe_with(setting), RunOptions(tmp_path / "run", {"case": tmp_path / "missing.nii"}))


def test_volumes_without_a_large_region_are_refused(tmp_path: Path, images: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="lower the region size"):
        run_few_shot_training(recipe_with("episodes.larger_area=100000"), RunOptions(tmp_path / "run", images))


def test_training_needs_volumes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to train on"):
        run_few_shot_training(recipe_with(), RunOptions(tmp_path, {}))
