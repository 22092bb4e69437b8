"""A training run on behalf of a client: what it is given, and what it tells while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from momentumseg.io.checks import create_folder
from momentumseg.recipes.reading import recipe_names
from momentumseg.training.own_data import DATA_FOLDER, is_own_data
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.run import RunOptions, TrainedModel, finish_run, run_training
from momentumseg.training.run_check import check_training
from momentumseg.training.run_description import RUN_FILE, read_description
from momentumseg.training.run_list import best_score, read_log
from momentumseg.training.settings import TrainingSettings
from momentumseg.worker.devices import chosen_device
from momentumseg.worker.registry import Call, Values

_CHECKPOINT_FILE = "checkpoint.pt"
_DICE = "dice_"
_PREPARING = "Preparing the cases"
_PREPARED = "prepared"  # folder of a run
_CHECKS = "prepared for a check"


class PreparedForCheck:
    """Cases that a check has prepared before there is a folder of a run: the run takes them over."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="momentumseg-check-"))

    def move_to(self, folder: Path) -> None:
        """Give the cases to a run that has none. Where they cannot be moved, they are prepared again."""
        if (self.folder / _PREPARED).is_dir() and not (folder / _PREPARED).exists():
            create_folder(folder)
            with suppress(OSError):
                shutil.move(self.folder / _PREPARED, folder / _PREPARED)

    def close(self) -> None:
        """Remove what no run took over."""
        shutil.rmtree(self.folder, ignore_errors=True)


def checked(call: Call, recipe: Mapping[str, Any], folder: Path | None) -> Values:
    """What a run with this recipe would have, need and take; cases that are prepared for it are kept for the run."""
    folder = folder or _prepared_for_check(call).folder
    found = check_training(recipe, _options(call, folder))
    proposal = found.proposal
    return {
        "cases": found.cases,
        "labelled": found.labelled,
        "unlabelled": found.unlabelled,
        "patients": found.patients,
        "labels": list(found.labels),
        "problems": list(found.problems),
        "warnings": list(found.warnings),
        "memory": {
            "estimate_bytes": found.memory_bytes,
            "available_bytes": found.available_bytes,
            "by_mode": dict(found.memory_by_mode),
            "fits": found.fits,
            "proposal": proposal and {"sentence": proposal.sentence, "settings": list(proposal.settings)},
        },
        "iterations": found.iterations,
        "seconds_per_iteration": found.seconds_per_iteration,
        "estimated_seconds": found.estimated_seconds,
    }


def trained(call: Call, folder: Path, recipe: Callable[[], Mapping[str, Any]]) -> Values:
    """Train in a folder; a run that was begun in it goes on with its own recipe, data and title."""
    call.progress(0.0, _PREPARING)
    sentences: list[str] = []
    options = _options(call, folder, sentences)
    if _goes_on(call, folder):
        described = read_description(folder)
        table, options = described["recipe"], _continued(options, described)
    else:
        table = recipe()
        _prepared_for_check(call).move_to(folder)
    epoch = TrainingSettings.of(table).epoch
    options = replace(options, on_progress=_Reporter(call, epoch))
    return {**_result(folder, run_training(table, options)), "warnings": sentences}


def finished(call: Call, folder: Path) -> Values:
    """Make the best of a paused run its model."""
    call.progress(0.0, _PREPARING)
    described = read_description(folder)
    return _result(folder, finish_run(described["recipe"], _continued(_options(call, folder), described)))


def _prepared_for_check(call: Call) -> PreparedForCheck:
    """What checks of the request's data have prepared; kept for a while after the last one."""
    return call.state.keep(_CHECKS, call.text("data", ""), PreparedForCheck)


def _goes_on(call: Call, folder: Path) -> bool:
    """Whether the request is to continue the folder's run.

    A run that failed before its first checkpoint may begin again with another recipe, unless the request has none: then
    it comes from a list of runs.
    """
    if not (folder / RUN_FILE).is_file():
        return False
    return (folder / _CHECKPOINT_FILE).is_file() or call.text("recipe", "") not in recipe_names()


def _options(call: Call, folder: Path, sentences: list[str] | None = None) -> RunOptions:
    """Options of a run whose progress goes to the client."""
    said = [] if sentences is None else sentences
    return RunOptions(
        folder=folder,
        data=Path(call.text("data", "")).expanduser(),
        title=call.text("title", ""),
        device=chosen_device(call.text("device", "auto")),
        on_prepared=lambda done, total: call.progress(done / max(total, 1), _PREPARING),
        on_said=said.append,
        cancelled=call.is_cancelled,
    )


def _continued(options: RunOptions, described: Mapping[str, Any]) -> RunOptions:
    """Options of a run that exists: its own data and title. Cases that were sent move with the run's folder."""
    data, sent = described["data"], options.folder / DATA_FOLDER
    return replace(options, data=sent if not data.is_dir() and is_own_data(sent) else data, title=described["title"])


def _result(folder: Path, trained: TrainedModel) -> Values:
    dice = {name.removeprefix(_DICE): value for name, value in trained.metrics.items() if name.startswith(_DICE)}
    score = trained.metrics.get("best_score", best_score(read_log(folder)))
    return {"run_folder": str(folder), "metrics": {"dice": dice, "mean": score}, "score": score}


class _Reporter:
    """Tells the client how training goes."""

    def __init__(self, call: Call, epoch: int) -> None:
        self._call = call
        self._epoch = epoch

    def __call__(self, now: TrainingProgress) -> None:
        values: Values = {
            "iteration": now.iteration,
            "iterations": now.iterations,
            "epoch": now.iteration // self._epoch,
            "losses": dict(now.losses),
            "seconds": now.seconds,
            "remaining_seconds": now.remaining_seconds,
            "best_score": now.best_score,
        }
        report = now.validation
        if report is None:
            self._call.partial(values)
            return
        metrics = {"dice": dict(report.dice), "mean": report.score}
        pictures = {"image": report.image, "reference": report.reference, "predicted": report.predicted}
        self._call.partial({**values, "metrics": metrics, "case": report.case}, pictures)
