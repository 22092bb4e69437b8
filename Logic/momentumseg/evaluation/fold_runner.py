"""What the protocols have in common: groups of test cases, the model of each, resuming, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from momentumseg.errors import InputError
from momentumseg.evaluation.models import EvaluatedModel, FoldModels, check_unseen
from momentumseg.evaluation.report import FoldResult, Progress, current_command, fingerprint_of, resumable_fold
from momentumseg.io.datasets import Case, dataset_label_names

WITHOUT_FOLDS = -1

Tell = Callable[[float], None]
Evaluate = Callable[[int, list[Case], EvaluatedModel, Tell], list[dict[str, Any]]]
"""(fold, test cases, model, progress of the fold) -> rows of scores."""


@dataclass(frozen=True)
class RunOptions:
    """How a protocol runs; nothing here changes its numbers.

    Attributes:
        allow_overlap: also evaluate a model that was trained on images of the test cases; the report says so.
        output: JSON file; finished folds are kept beside it and not computed again. None keeps nothing.
        device: where the network is.
        progress: called with (text, fraction done).
        command: the command line that the report quotes; this process's by default.
    """

    allow_overlap: bool = False
    output: Path | None = None
    device: str = "cpu"
    progress: Progress | None = None
    command: str | None = None

    @property
    def quoted_command(self) -> str:
        return self.command or current_command()


def chosen_folds(
    cases: list[Case], folds: list[tuple[int, ...]], wanted: Sequence[int] | None
) -> dict[int, list[Case]]:
    """Fold number -> its cases, for the wanted folds or all of them.

    Raises:
        InputError: there is no such fold.
    """
    numbers = range(len(folds)) if wanted is None else wanted
    unknown = [fold for fold in numbers if not 0 <= fold < len(folds)]
    if unknown:
        raise InputError(f"There is no fold {unknown[0]}; choose 0 to {len(folds) - 1}.")
    return {fold: [cases[index] for index in folds[fold]] for fold in numbers}


def run_folds(
    groups: Mapping[int, list[Case]],
    models: FoldModels,
    options: Any,
    settings: Mapping[str, Any],
    run: RunOptions,
    evaluate: Evaluate,
) -> list[FoldResult]:
    """Evaluate every group with its model, or take the result that an earlier run kept.

    Raises:
        InputError: a model has seen test images and this is not allowed.
    """
    results = []
    for number, (fold, members) in enumerate(groups.items()):
        model = models(fold)
        names = [case.name for case in members]
        check_unseen(model, names, run.allow_overlap)
        tell = _progress_of(run.progress, fold, number, len(groups))

        def compute(
            fold: int = fold, members: list[Case] = members, model: EvaluatedModel = model, tell: Tell = tell
        ) -> FoldResult:
            start = time.perf_counter()
            scores = [{"fold": fold, **row} for row in evaluate(fold, members, model, tell)]
            names = [case.name for case in members]
            return FoldResult(fold, names, model.description(names), scores, round(time.perf_counter() - start, 2))

        fingerprint = fingerprint_of({**asdict(options), **settings}, model.sha256, names)
        results.append(resumable_fold(run.output, fold, fingerprint, compute))
        tell(1.0)
    return results


def names_of_labels(data: Path | str, results: Sequence[FoldResult], given: Mapping[int, str] | None) -> dict[int, str]:
    """Names of the labels that were evaluated: the given ones, those of ``dataset.json``, or their numbers."""
    known = {**dataset_label_names(data), **(given or {})}
    labels = sorted({row["label"] for result in results for row in result.scores})
    return {label: known.get(label, f"label {label}") for label in labels}


def _progress_of(progress: Progress | None, fold: int, number: int, total: int) -> Tell:
    text = "all cases" if fold == WITHOUT_FOLDS else f"fold {fold}"

    def tell(fraction: float) -> None:
        if progress is not None:
            progress(text, (number + fraction) / total)

    return tell
