"""Methods of training: recipes, cases of the scene, a check beforehand, runs that pause and go on, and their models.

A run lives in its folder alone: whoever names the folder can continue it, after a restart too. An application trains in
a worker of its own, because a worker answers one request at a time. What trains is imported when it is asked for: a
worker that segments starts without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import Cancelled, InputError
from momentumseg.recipes.reading import read_recipe, recipe_names
from momentumseg.training.own_data import add_case, is_own_data
from momentumseg.weights.saved_models import keep_model
from momentumseg.weights.store import WeightsStore
from momentumseg.worker.registry import Call, Values, method

_MODEL_FILE = "model.safetensors"


@method("list_recipes")
def list_recipes(call: Call) -> Values:
    """Recipes that train on labelled cases; the first is the one to begin with. Mere bases of others are left out."""
    recipes = [(name, read_recipe(name)) for name in recipe_names()]
    offered = [_described(name, recipe) for name, recipe in recipes if _is_offered(recipe)]
    return {"recipes": sorted(offered, key=_from_simple_to_special)}


@method("add_training_case")
def add_training_case(call: Call) -> Values:
    """Write the volume "volume" and, with "has_labels", the array "labelmap" into RUN/data as the case "name"."""
    labelled = bool(call.parameters.get("has_labels"))
    folder = add_case(
        _folder(call, "run_folder"),
        call.text("name"),
        call.volume(),
        call.array("labelmap").astype(np.uint8, copy=False) if labelled else None,
        _label_names(call) if labelled else {},
        call.text("patient", ""),
    )
    return {"data": str(folder)}


@method("check_training")
def check_training(call: Call) -> Values:
    """What a run would have, need and take. What stands in its way are "problems", in words; it is no error.

    Cases are prepared for it, where the run will look for them if "run_folder" or own data say where; else the next
    `train` on the same data takes them over.
    """
    from momentumseg.worker.training_job import checked

    call.progress(0.0, "Looking at the cases")
    try:
        return checked(call, _recipe(call), _run_folder_of_check(call))
    except Cancelled:
        raise
    except InputError as error:
        return {"problems": [str(error)], "warnings": []}


@method("train")
def train(call: Call) -> Values:
    """Train, or go on with the run in "run_folder". Cancelling pauses: a checkpoint is written first.

    An unfinished run goes on with the recipe that it began with.
    """
    from momentumseg.worker.training_job import trained

    return trained(call, _folder(call, "run_folder"), lambda: _recipe(call))


@method("finish_training")
def finish_training(call: Call) -> Values:
    """Make the best of a paused run its model."""
    from momentumseg.worker.training_job import finished

    return finished(call, _folder(call, "run_folder"))


@method("training_runs")
def training_runs(call: Call) -> Values:
    """Runs in the folder "folder", the latest first."""
    from momentumseg.training.run_list import list_runs

    return {"runs": [run.to_mapping() for run in list_runs(_folder(call, "folder"))]}


@method("save_trained_model")
def save_trained_model(call: Call) -> Values:
    """Copy a run's model into the weights folder, with a card of "title", "licence" and "training_data"."""
    folder, name = _folder(call, "run_folder"), call.text("name")
    facts = {
        "name": call.text("title", ""),
        "licence": call.text("licence", ""),
        "training_data": call.text("training_data", ""),
    }
    path = keep_model(folder / _MODEL_FILE, name, facts, str(folder), WeightsStore())
    return {"name": name, "path": str(path)}


def _is_offered(recipe: Mapping[str, Any]) -> bool:
    """Few-shot recipes need no labels and are trained by the command line; without a network or patch it is a base."""
    network = recipe.get("network", {})
    return "name" in network and "head" not in network and "patch" in recipe.get("data", {})


def _from_simple_to_special(recipe: Mapping[str, Any]) -> tuple[Any, ...]:
    """Order of recipes: for a laptop first, plain training first, and what needs fewer words to be named."""
    title = recipe["title"]
    return not recipe["name"].endswith("-laptop"), recipe["strategy"] != "supervised", len(title), title


def _described(name: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    about = recipe.get("about", {})
    return {
        "name": name,
        "title": recipe.get("title", name),
        "purpose": about.get("purpose", ""),
        "needs": about.get("needs", ""),
        "network": recipe.get("network", {}).get("name", ""),
        "strategy": recipe.get("strategy", {}).get("name", "supervised"),
        "dimensions": len(recipe["data"]["patch"]),
    }


def _recipe(call: Call) -> dict[str, Any]:
    """The recipe of a request with its settings."""
    settings = call.parameters.get("settings") or []
    if not isinstance(settings, list) or not all(isinstance(setting, str) for setting in settings):
        raise InputError("The settings of a training must be texts such as 'training.batch=2'.")
    recipe = read_recipe(call.text("recipe"), settings)
    if "head" in recipe.get("network", {}):
        raise InputError(
            f"The recipe '{call.text('recipe')}' trains a few-shot model: use the command 'momentumseg train'."
        )
    return recipe


def _folder(call: Call, name: str) -> Path:
    text = call.text(name).strip()
    if not text:
        raise InputError("No folder was named; choose the folder of the trainings.")
    return Path(text).expanduser()


def _run_folder_of_check(call: Call) -> Path | None:
    """Folder of the run that a check is for, where it is known: cases that an application sent lie in it."""
    if call.parameters.get("run_folder") is not None:
        return _folder(call, "run_folder")
    data = _folder(call, "data")
    return data.parent if is_own_data(data) else None


def _label_names(call: Call) -> dict[int, str]:
    names = call.parameters.get("labels")
    if not isinstance(names, Mapping) or not names:
        raise InputError("The labels of the case have no names; name its structures.")
    return {int(value): str(name) for value, name in names.items()}
