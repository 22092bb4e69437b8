"""A complete training run: from a recipe and a data folder to a model file, and the same again after a restart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from momentumseg.errors import InputError
from momentumseg.io.checks import create_folder
from momentumseg.io.datasets import discover_cases, select_cases
from momentumseg.io.folder_lock import lock_folder
from momentumseg.training.assembly import Assembly, RunData, assemble_segmentation
from momentumseg.training.data_settings import DataSettings
from momentumseg.training.prepared_case import prepare_cases
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.prompt_decoder_run import assemble_prompt_decoder
from momentumseg.training.run_description import write_description
from momentumseg.training.settings import TrainingSettings
from momentumseg.training.splits import split_of_run
from momentumseg.training.trainer import Trainer
from momentumseg.weights.store import WeightsStore

PROMPT_DECODER = "prompt_decoder"


@dataclass(frozen=True)
class RunOptions:
    """Where and on what a run trains.

    Attributes:
        folder: of checkpoints and the model; an unfinished run in it is continued.
        data: folder with the cases, see :func:`discover_cases`.
        cases: names of those to use; None: all.
        init: a model of ours to begin from: catalogue name or file.
        title: of the model, for its card; the recipe's by default.
        device, devices: see :class:`Trainer`.
        cache_folder: of the prepared cases, which several runs may share; None: in the run's folder.
        store: of weights.
        on_prepared: called with the number of prepared volumes and of all.
        on_said: receives sentences that the user should know, such as what a pretrained start left out.
        on_progress, cancelled: see :meth:`Trainer.run`.
    """

    folder: Path
    data: Path
    cases: Sequence[str] | None = None
    init: str | Path | None = None
    title: str = ""
    device: str = "cpu"
    devices: int = 1
    cache_folder: Path | None = None
    store: WeightsStore | None = None
    on_prepared: Callable[[int, int], None] = field(default=lambda done, total: None)
    on_said: Callable[[str], None] = field(default=lambda sentence: None)
    on_progress: Callable[[TrainingProgress], None] | None = None
    cancelled: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True)
class TrainedModel:
    """What a run ends with.

    Attributes:
        path: of the model file.
        metrics: of the best validation; empty without one.
    """

    path: Path
    metrics: Mapping[str, float]


def run_training(recipe: Mapping[str, Any], options: RunOptions) -> TrainedModel:
    """Train as the recipe says.

    Raises:
        InputError: unusable recipe or cases, or a loss that is no longer a number.
        Cancelled: the user stopped; the same call continues.
        OutputError, WeightsError: files that cannot be written or loaded.
    """
    with _own_folder(options):
        trainer, assembly = open_run(recipe, options)
        if not trainer.resume():
            for sentence in assembly.begin(options.init):
                options.on_said(sentence)
            trainer.restart_average()
        path = trainer.run(options.on_progress, options.cancelled)
        return TrainedModel(path, trainer.metrics)


def finish_run(recipe: Mapping[str, Any], options: RunOptions) -> TrainedModel:
    """The model of a run as far as it came: the best that was validated, else the last checkpoint.

    Raises:
        InputError: nothing was trained in that folder yet; and as :func:`run_training`.
    """
    with _own_folder(options):
        trainer, _ = open_run(recipe, options)
        if not trainer.resume():
            raise InputError(f"Nothing was trained in {options.folder} yet; start the run first.")
        return TrainedModel(trainer.finish(), trainer.metrics)


def open_run(recipe: Mapping[str, Any], options: RunOptions) -> tuple[Trainer, Assembly]:
    """Trainer of a run with all its parts, before its first or its next iteration."""
    TrainingSettings.of(recipe)  # mistakes in a table must not wait for minutes of preparation
    data = prepare_run(recipe, options)
    assembly = assemble_run(recipe, data)
    title = options.title or str(assembly.recipe.get("title", "untitled"))
    write_description(options.folder, title, assembly.recipe, options.data)
    trainer = Trainer(
        assembly.strategy,
        assembly.recipe,
        options.folder,
        assembly.write_model,
        options.device,
        options.devices,
        assembly.validator,
        data.statistics.to_mapping(),
    )
    return trainer, assembly


def assemble_run(recipe: Mapping[str, Any], data: RunData) -> Assembly:
    """Parts of a run, as its strategy needs them; the network begins as the recipe's seed says."""
    torch.manual_seed(TrainingSettings.of(recipe).seed)
    is_prompted = recipe.get("strategy", {}).get("name") == PROMPT_DECODER
    return (assemble_prompt_decoder if is_prompted else assemble_segmentation)(recipe, data)


def prepare_run(recipe: Mapping[str, Any], options: RunOptions) -> RunData:
    """Cases of a run, divided and prepared.

    Raises:
        InputError: see :func:`prepare_cases` and :func:`split_of_run`.
        Cancelled: the user stopped; nothing was trained.
    """
    table = DataSettings.of(recipe)
    cases = select_cases(discover_cases(options.data), list(options.cases) if options.cases else None)
    create_folder(options.folder)
    split = split_of_run(options.folder, cases, table, options.data)
    prepared, statistics = prepare_cases(
        cases,
        split,
        table,
        data_folder=options.data,
        cache_folder=options.cache_folder or options.folder / "prepared",
        on_prepared=options.on_prepared,
        cancelled=options.cancelled,
    )
    return RunData({case.name: case for case in prepared}, statistics, split, table, options)


@contextmanager
def _own_folder(options: RunOptions) -> Iterator[None]:
    """Two processes in one folder would overwrite each other's checkpoints; several devices are one run."""
    create_folder(options.folder)
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"
    with lock_folder(options.folder) if is_first else nullcontext(True) as was_free:
        if not was_free:
            raise InputError(
                f"Another process trains in {options.folder} at the moment; wait for its end or choose another folder."
            )
        yield
