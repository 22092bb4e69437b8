"""The protocol of the few-shot literature: 1-way 1-shot, another volume as support, overlapping folds.

Support and query are cropped to the slices that contain the class, which uses the ground truth of the query: this is
for comparison with published numbers only. With three parts it is ADNet's "EP1" (each third of the query uses the
support slice in the middle of the same third), with one part "EP2" (one middle support slice for all).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import InputError
from momentumseg.evaluation.datasets import Case, dataset_label_names, labelled_cases, select_cases
from momentumseg.evaluation.feature_bank import EncodedCase, FeatureBank
from momentumseg.evaluation.folds import chunk_bounds, chunk_centres, published_folds, supports_of_fold
from momentumseg.evaluation.metrics import mask_score
from momentumseg.evaluation.models import EvaluatedModel, FoldModels, check_unseen
from momentumseg.evaluation.published_report import PublishedReport
from momentumseg.evaluation.report import FoldResult, Progress, current_command, fingerprint_of, resumable_fold

ConsistencyStep = Callable[[np.ndarray, np.ndarray, tuple[float, float, float]], np.ndarray]


@dataclass(frozen=True)
class PublishedOptions:
    """Choices of the published protocol.

    Attributes:
        parts: 3 for EP1, 1 for EP2.
        supports: ``"all"`` volumes of the fold in turn, or ``"third"`` only.
        labels: to evaluate; empty for all that occur.
        tolerance_mm: of the surface Dice; None leaves it out (it takes about half of the time).
        consistency: also report the result after the consistency step through the slices.
        plane, size: of network space.
    """

    parts: int = 3
    supports: str = "all"
    labels: tuple[int, ...] = ()
    tolerance_mm: float | None = 3.0
    consistency: bool = True
    plane: str = "acquisition"
    size: int = 256

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise InputError(f"{self.parts} parts were asked for; use 3 (the published protocol) or 1.")


def run_published_protocol(
    data: Path | str,
    models: FoldModels,
    options: PublishedOptions | None = None,
    *,
    folds: Sequence[int] | None = None,
    cases: list[str] | None = None,
    label_names: dict[int, str] | None = None,
    allow_overlap: bool = False,
    output: Path | None = None,
    device: str = "cpu",
    consistency_step: ConsistencyStep | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> PublishedReport:
    """Evaluate models on the folds of a data folder.

    Args:
        data: folder, see :func:`discover_cases`.
        models: one for all folds, or one a fold, see :func:`models_by_fold`.
        folds: numbers of the folds to run; None for all five.
        cases: names to restrict the data to; the folds are those of the restricted list.
        label_names: names for the tables; from ``dataset.json`` otherwise.
        allow_overlap: also evaluate a model that was trained on images of the fold.
        output: JSON file; finished folds are kept beside it and not computed again. None keeps nothing.
        consistency_step: ``(probability (n, H, W), stack (n, H, W), spacing) -> probability``; None: the standard.
        progress: called with (text, fraction done).
        command: the command line that the report quotes; this process's by default.

    Raises:
        InputError: unusable data, unknown fold, or a model that has seen the test images.
    """
    options = PublishedOptions() if options is None else options
    chosen = select_cases(labelled_cases(data), cases)
    all_folds = published_folds(len(chosen))
    settings = {**asdict(options), "labels": list(options.labels), "data": Path(data).name}
    step = _consistency_step(options, consistency_step)
    results = []
    wanted = list(range(len(all_folds))) if folds is None else list(folds)
    for number, fold in enumerate(wanted):
        if not 0 <= fold < len(all_folds):
            raise InputError(f"There is no fold {fold}; choose 0 to {len(all_folds) - 1}.")
        members = [chosen[index] for index in all_folds[fold]]
        names = [case.name for case in members]
        model = models(fold)
        check_unseen(model, names, allow_overlap)
        supports = [chosen[index].name for index in supports_of_fold(all_folds[fold], options.supports)]
        report_progress = _fold_progress(progress, fold, number, len(wanted))

        def compute(
            fold: int = fold,
            members: list[Case] = members,
            model: EvaluatedModel = model,
            supports: list[str] = supports,
            tell: Callable[[float], None] = report_progress,
        ) -> FoldResult:
            return _evaluate_fold(fold, members, supports, model, options, device, step, tell)

        results.append(resumable_fold(output, fold, fingerprint_of(settings, model.sha256, names), compute))
    labels = sorted({row["label"] for result in results for row in result.scores})
    names_of_labels = dataset_label_names(data) | (label_names or {})
    report = PublishedReport(
        settings,
        {label: names_of_labels.get(label, f"label {label}") for label in labels},
        results,
        command or current_command(),
    )
    if output is not None:
        report.write(output)
    return report


def _evaluate_fold(
    fold: int,
    members: list[Case],
    supports: list[str],
    model: EvaluatedModel,
    options: PublishedOptions,
    device: str,
    step: ConsistencyStep | None,
    tell: Callable[[float], None],
) -> FoldResult:
    start = time.perf_counter()
    bank = FeatureBank(model.network, model.context, options.plane, options.size, device)
    encoded = []
    for number, case in enumerate(members):
        encoded.append(bank.encode(case))
        tell(0.3 * (number + 1) / len(members))
    tasks = list(_tasks(encoded, supports, options))
    scores: list[dict[str, Any]] = []
    for number, (label, support, queries) in enumerate(tasks):
        scores += [{"fold": fold, **row} for row in _support_scores(bank, label, support, queries, options, step)]
        tell(0.3 + 0.7 * (number + 1) / len(tasks))
    names = [case.name for case in members]
    return FoldResult(fold, names, model.description(names), scores, round(time.perf_counter() - start, 2))


def _tasks(
    encoded: list[EncodedCase], supports: list[str], options: PublishedOptions
) -> Iterator[tuple[int, EncodedCase, list[EncodedCase]]]:
    """(label, support, queries) for each label and support volume; volumes without the label take no part."""
    present = sorted({int(label) for case in encoded for label in np.unique(case.labelmap)} - {0})
    for label in options.labels or present:
        having = [case for case in encoded if len(case.slices_with(label))]
        for support in having:
            queries = [case for case in having if case is not support]
            if support.name in supports and queries:
                yield label, support, queries


def _support_scores(
    bank: FeatureBank,
    label: int,
    support: EncodedCase,
    queries: list[EncodedCase],
    options: PublishedOptions,
    step: ConsistencyStep | None,
) -> Iterator[dict[str, Any]]:
    """One row for each query volume, and a second one after the consistency step."""
    present = support.slices_with(label)
    drawn = [int(present[centre]) for centre in chunk_centres(len(present), options.parts)]
    summaries = [bank.summarize(support, label, [index]) for index in drawn]
    for query in queries:
        window = query.slices_with(label)
        probability = np.concatenate(
            [
                bank.probability(query, window[first:last], summary)
                for (first, last), summary in zip(chunk_bounds(len(window), options.parts), summaries, strict=True)
            ]
        )
        reference = query.labelmap[window] == label
        results = {"none": probability}
        if step is not None:
            results["consistency"] = step(probability, query.stack[window], query.spacing)
        for name, result in results.items():
            score = asdict(mask_score(result > 0.5, reference, query.spacing, options.tolerance_mm))
            pair = {"label": label, "support": support.name, "query": query.name, "support_slices": drawn, "step": name}
            yield {**pair, **score.pop("confusion"), **score}


def _consistency_step(options: PublishedOptions, given: ConsistencyStep | None) -> ConsistencyStep | None:
    if not options.consistency:
        return None
    return given


def _fold_progress(progress: Progress | None, fold: int, number: int, total: int) -> Callable[[float], None]:
    def tell(fraction: float) -> None:
        if progress is not None:
            progress(f"fold {fold}", (number + fraction) / total)

    return tell
