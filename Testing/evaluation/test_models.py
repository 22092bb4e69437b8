"""Which model belongs to a fold, and what its recipe says about its training cases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from momentumseg.errors import InputError
from momentumseg.evaluation.models import load_evaluated_model, models_by_fold
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.weights.loading import save_few_shot_model


def save_a_model(path: Path, recipe: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = build_few_shot_network({"backbone": {"name": "tiny"}, "head": {"name": "prototype"}})
    save_few_shot_model(network, path, recipe, {"name": "test"})


def test_context_size_and_training_cases_come_from_the_recipe(tmp_path: Path) -> None:
    data = {"training_cases": ["case_1", "case_2"], "size": 128}
    save_a_model(tmp_path / "m.safetensors", {"data": data, "episodes": {"context": "neighbours"}})
    model = load_evaluated_model(str(tmp_path / "m.safetensors"))
    assert (model.context, model.size) == ("neighbours", 128)
    assert model.seen(["case_2", "case_3"]) == ["case_2"]
    assert len(model.sha256) == 64


def test_a_recipe_that_says_nothing(tmp_path: Path) -> None:
    save_a_model(tmp_path / "m.safetensors", {})
    model = load_evaluated_model(str(tmp_path / "m.safetensors"))
    assert (model.context, model.size, model.training_cases) == ("single", 256, None)
    assert model.seen(["case_2"]) == []


def test_one_model_for_all_folds_is_loaded_once(tmp_path: Path) -> None:
    save_a_model(tmp_path / "m.safetensors", {})
    models = models_by_fold(str(tmp_path / "m.safetensors"), None)
    assert not models.one_per_fold
    assert models(0) is models(3)


def test_a_pattern_gives_each_fold_its_own_model(tmp_path: Path) -> None:
    for fold in (0, 1):
        save_a_model(tmp_path / f"fold{fold}.safetensors", {"data": {"training_cases": [f"case_{fold}"]}})
    models = models_by_fold(None, str(tmp_path / "fold{fold}.safetensors"))
    assert models.one_per_fold
    assert [models(fold).training_cases for fold in (0, 1)] == [{"case_0"}, {"case_1"}]


@pytest.mark.parametrize(
    ("model", "pattern", "message"),
    [(None, None, "either one model"), ("a", "b{fold}", "either one model"), (None, "fold0", r"no \{fold\}")],
)
def test_unclear_choices_are_refused(model: str | None, pattern: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        models_by_fold(model, pattern)
