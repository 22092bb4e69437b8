"""``momentumseg train``: a model of one's own from unlabelled volumes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from momentumseg.cli.console import Output, output_of
from momentumseg.cli.interrupts import asked_to_stop
from momentumseg.cli.options import DeviceOption, checked_device

if TYPE_CHECKING:
    from momentumseg.training.few_shot_run import RunOptions
    from momentumseg.training.progress import TrainingProgress


def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a TOML file.", show_default=False)],
    data: Annotated[
        Path, typer.Option("--data", metavar="FOLDER", help="Folder with volumes; labels in it are not used.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FOLDER", help="Folder of the run; an unfinished run in it is continued."),
    ],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: table.key=value; may be repeated."),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help="Train on this case only; may be repeated.", show_default="all"),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option("--fold", metavar="N", help="Leave out the test cases of this fold of the published protocol."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="FOLDER", help="Folder that keeps prepared volumes.", show_default="OUTPUT/prepared"
        ),
    ] = None,
    device: DeviceOption = "cpu",
    devices: Annotated[
        int, typer.Option("--devices", metavar="N", min=1, help="More than one needs Lightning Fabric.")
    ] = 1,
) -> None:
    """Train a model on your own unlabelled volumes.

    The model ends in OUTPUT/model.safetensors. Ctrl-C stops at the next iteration and keeps the run; the same command
    continues it.
    """
    from momentumseg.io.checks import check_writable_output
    from momentumseg.recipes.reading import read_recipe
    from momentumseg.training.few_shot_run import RunOptions

    streams = output_of(context)
    settings = read_recipe(recipe, setting or ())
    images = _images(data, case, fold)
    checked_device(device)
    check_writable_output((output if output.is_dir() else output.parent) / "model.safetensors", suffixes=None)
    streams.note(f"Training '{recipe}' on {len(images)} volumes in {output}")
    options = RunOptions(
        folder=output, images=images, device=device, devices=devices, cache_folder=cache or output / "prepared"
    )
    model = _trained(settings, options, streams)
    if _is_first_process():
        streams.result({"model": str(model), "cases": sorted(images)}, f"The model is {model}")


def _trained(settings: dict[str, Any], options: RunOptions, streams: Output) -> Path:
    """Train with a progress bar; Ctrl-C stops at the next iteration."""
    from momentumseg.training.few_shot_run import run_few_shot_training

    def announce() -> None:
        streams.note("Stopping after this iteration; press Ctrl-C again to stop at once.")

    with asked_to_stop(announce) as stop, streams.progress() as step:
        trained = step("Training")

        def on_progress(now: TrainingProgress) -> None:
            trained(now.iteration, now.iterations)

        watched = replace(options, on_prepared=step("Preparing volumes"), on_progress=on_progress, cancelled=stop)
        return run_few_shot_training(settings, watched)


def _is_first_process() -> bool:
    """Several devices are several processes of this very command; one of them speaks."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _images(data: Path, wanted: list[str] | None, fold: int | None) -> dict[str, Path]:
    """Images to train on by case name."""
    from momentumseg.errors import InputError
    from momentumseg.evaluation.folds import FOLD_COUNT, training_indices
    from momentumseg.io.datasets import discover_cases, labelled_cases, select_cases

    if fold is None:
        cases = select_cases(discover_cases(data), wanted)
    elif 0 <= fold < FOLD_COUNT:
        labelled = select_cases(labelled_cases(data), wanted)  # the folds of 'evaluate' are those of the labelled cases
        cases = [labelled[index] for index in training_indices(len(labelled), fold)]
    else:
        raise InputError(f"There is no fold {fold}; choose 0 to {FOLD_COUNT - 1}.")
    return {case.name: case.image for case in cases}
