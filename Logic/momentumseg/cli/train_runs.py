"""What ``momentumseg train`` does with the two kinds of recipes, and what it shows meanwhile."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from momentumseg.cli.console import Advance, Output
from momentumseg.cli.interrupts import asked_to_stop

if TYPE_CHECKING:
    from momentumseg.training.progress import TrainingProgress
    from momentumseg.training.run import RunOptions

AUTOMATIC_ONLY = "--init, --title or --check"
_STOPPING = "Stopping after this iteration; press Ctrl-C again to stop at once."


@dataclass(frozen=True)
class Request:
    """The command as it was given."""

    recipe_name: str
    recipe: dict[str, Any]
    data: Path
    output: Path
    cases: tuple[str, ...]
    fold: int | None
    init: str | None
    title: str
    cache: Path
    device: str
    devices: int


def is_few_shot(recipe: dict[str, Any]) -> bool:
    """Whether a recipe trains a few-shot model: its network is a backbone with a head."""
    return "head" in recipe.get("network", {})


def train_few_shot(request: Request, streams: Output) -> None:
    """Train on unlabelled volumes."""
    from momentumseg.training.few_shot_run import RunOptions as FewShotOptions
    from momentumseg.training.few_shot_run import run_few_shot_training

    images = _images(request)
    streams.note(f"Training '{request.recipe_name}' on {len(images)} volumes in {request.output}")
    options = FewShotOptions(
        folder=request.output,
        images=images,
        device=request.device,
        devices=request.devices,
        cache_folder=request.cache,
    )
    with asked_to_stop(lambda: streams.note(_STOPPING)) as stop, streams.progress() as step:
        shown = _Shown(streams, step("Training"))
        watched = replace(options, on_prepared=step("Preparing volumes"), on_progress=shown, cancelled=stop)
        model = run_few_shot_training(request.recipe, watched)
    if _is_first_process():
        streams.result({"model": str(model), "cases": sorted(images)}, f"The model is {model}")


def train_automatic(request: Request, streams: Output) -> None:
    """Train on labelled cases, and unlabelled ones where the recipe can use them."""
    from momentumseg.training.run import run_training
    from momentumseg.training.splits import SPLITS_FILE, Split

    options = _options(request)
    with asked_to_stop(lambda: streams.note(_STOPPING)) as stop, streams.progress() as step:
        shown = _Shown(streams, step("Training"))
        watched = replace(
            options,
            on_prepared=step("Preparing volumes"),
            on_said=streams.note,
            on_progress=shown,
            cancelled=stop,
        )
        trained = run_training(_with_fold(request), watched)
    if _is_first_process():
        split = Split.read(request.output / SPLITS_FILE)
        payload = {"model": str(trained.path), "metrics": dict(trained.metrics), "cases": list(split.train)}
        score = trained.metrics.get("best_score")
        quality = "" if score is None else f", validation Dice {score:.3f}"
        streams.result(payload, f"The model is {trained.path}{quality}")


def check_run(request: Request, streams: Output) -> None:
    """Say what a run would need."""
    from momentumseg.training.run_check import check_training

    found = check_training(_with_fold(request), _options(request))
    streams.result(found.to_mapping(), "\n".join(found.sentences()))


def _options(request: Request) -> RunOptions:
    from momentumseg.training.run import RunOptions

    return RunOptions(
        folder=request.output,
        data=request.data,
        cases=request.cases or None,
        init=request.init,
        title=request.title,
        device=request.device,
        devices=request.devices,
        cache_folder=request.cache,
    )


def _with_fold(request: Request) -> dict[str, Any]:
    if request.fold is None:
        return request.recipe
    return {**request.recipe, "data": {**request.recipe.get("data", {}), "fold": request.fold}}


class _Shown:
    """Progress bar, and a line for each validation."""

    def __init__(self, streams: Output, bar: Advance) -> None:
        self._streams = streams
        self._bar = bar

    def __call__(self, now: TrainingProgress) -> None:
        self._bar(now.iteration, now.iterations)
        if now.validation is not None:
            of_each = ", ".join(f"{name} {value:.3f}" for name, value in now.validation.dice.items())
            self._streams.note(
                f"Iteration {now.iteration} of {now.iterations}, {now.seconds:.0f} s: loss {now.losses['loss']:.3f}, "
                f"validation Dice {now.validation.score:.3f} ({of_each})"
            )


def _is_first_process() -> bool:
    """Several devices are several processes of this very command; one of them speaks."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _images(request: Request) -> dict[str, Path]:
    """Images to train a few-shot model on by case name."""
    from momentumseg.errors import InputError
    from momentumseg.evaluation.folds import FOLD_COUNT, training_indices
    from momentumseg.io.datasets import discover_cases, labelled_cases, select_cases

    wanted = list(request.cases) or None
    if request.fold is None:
        cases = select_cases(discover_cases(request.data), wanted)
    elif 0 <= request.fold < FOLD_COUNT:
        labelled = select_cases(labelled_cases(request.data), wanted)  # the folds of 'evaluate' are of labelled cases
        cases = [labelled[index] for index in training_indices(len(labelled), request.fold)]
    else:
        raise InputError(f"There is no fold {request.fold}; choose 0 to {FOLD_COUNT - 1}.")
    return {case.name: case.image for case in cases}
