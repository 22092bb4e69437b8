"""The protocol of the few-shot literature: 1-way 1-shot, another volume as support, overlapping folds.

Support and query are cropped to the slices that contain the class, which uses the ground truth of the query: this is
for comparison with published numbers only. With three parts it is ADNet's "EP1" (each third of the query uses the
support slice in the middle of the same third), with one part "EP2" (one middle support slice for all).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from momentumseg.errors import InputError
from momentumseg.evaluation.feature_bank import EncodedCase, FeatureBank
from momentumseg.evaluation.fold_runner import (
    RunOptions,
    Tell,
    chosen_folds,
    names_of_labels,
    run_folds,
)
from momentumseg.evaluation.folds import chunk_bounds, chunk_centres, published_folds, supports_of_fold
from momentumseg.evaluation.metrics import mask_score
from momentumseg.evaluation.models import EvaluatedModel, FoldModels
from momentumseg.evaluation.published_report import CONSISTENT, PLAIN, PublishedReport
from momentumseg.evaluation.report import Progress
from momentumseg.inference.volume_consistency import part_count
from momentumseg.io.datasets import Case, labelled_cases, natural_key, select_cases
from momentumseg.networks.few_shot import upsample_probability
from momentumseg.sessions.consistency import refinement_of


@dataclass(frozen=True)
class PublishedOptions:
    """Choices of the published protocol.

    Attributes:
        parts: 3 for EP1, 1 for EP2.
        supports: ``"all"`` volumes of the fold in turn, or ``"third"`` only.
        labels: to evaluate; empty for all that occur.
        tolerance_mm: of the surface Dice; None leaves it out (it takes about half of the time).
        consistency: also report the result after the consistency step through the slices.
        plane: of the slices.
    """

    parts: int = 3
    supports: str = "all"
    labels: tuple[int, ...] = ()
    tolerance_mm: float | None = 3.0
    consistency: bool = True
    plane: str = "acquisition"

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise InputError(f"{self.parts} parts were asked for; use 3 (the published protocol) or 1.")
        supports_of_fold((), self.supports, key=str)


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
        allow_overlap, output, device, progress, command: see :class:`RunOptions`.

    Raises:
        InputError: unusable data, unknown fold, or a model that has seen the test images.
    """
    options = PublishedOptions() if options is None else options
    run = RunOptions(allow_overlap, output, device, progress, command)
    chosen = select_cases(labelled_cases(data), cases)
    groups = chosen_folds(chosen, published_folds(len(chosen)), folds)
    settings = {"protocol": PublishedReport.protocol, "data": Path(data).name}
    results = run_folds(groups, models, options, settings, run, partial(_evaluate_fold, options=options, device=device))
    report = PublishedReport(
        {**settings, **asdict(options)}, names_of_labels(data, results, label_names), results, run.quoted_command
    )
    if output is not None:
        report.write(output)
    return report


def _evaluate_fold(
    fold: int, members: list[Case], model: EvaluatedModel, tell: Tell, *, options: PublishedOptions, device: str
) -> list[dict[str, Any]]:
    bank = FeatureBank(model.network, model.context, options.plane, model.size, device)
    encoded = []
    for number, case in enumerate(members):
        encoded.append(bank.encode(case))
        tell(0.3 * (number + 1) / len(members))
    tasks = list(_tasks(encoded, options))
    scores: list[dict[str, Any]] = []
    for number, (label, support, queries) in enumerate(tasks):
        scores += _support_scores(bank, label, support, queries, options)
        tell(0.3 + 0.7 * (number + 1) / len(tasks))
    return scores


def _tasks(
    encoded: list[EncodedCase], options: PublishedOptions
) -> Iterator[tuple[int, EncodedCase, list[EncodedCase]]]:
    """(label, support, queries) for each label and support volume; volumes without the label take no part."""
    present = sorted({int(label) for case in encoded for label in np.unique(case.labelmap)} - {0})
    chosen = supports_of_fold(encoded, options.supports, key=lambda case: natural_key(case.name))
    supports = {case.name for case in chosen}
    for label in options.labels or present:
        having = [case for case in encoded if len(case.slices_with(label))]
        for support in having:
            queries = [case for case in having if case is not support]
            if support.name in supports and queries:
                yield label, support, queries


def _support_scores(
    bank: FeatureBank, label: int, support: EncodedCase, queries: list[EncodedCase], options: PublishedOptions
) -> Iterator[dict[str, Any]]:
    """One row for each query volume, and a second one after the consistency step."""
    present = support.slices_with(label)
    drawn = [int(present[centre]) for centre in chunk_centres(len(present), options.parts)]
    separate_parts = max(part_count(support.labelmap[index] == label) for index in drawn)
    summaries = [bank.summarize(support, label, [index]) for index in drawn]
    for query in queries:
        window = query.slices_with(label)
        chunks = zip(chunk_bounds(len(window), options.parts), summaries, strict=True)
        logits = torch.cat([bank.logits(query, window[first:last], summary) for (first, last), summary in chunks])
        reference = query.labelmap[window] == label
        for step, mask in _masks(logits, query, int(window[0]), separate_parts, options.consistency):
            score = asdict(mask_score(mask, reference, query.spacing, options.tolerance_mm))
            pair = {"label": label, "support": support.name, "query": query.name, "support_slices": drawn, "step": step}
            yield {**pair, **score.pop("confusion"), **score}


def _masks(
    logits: torch.Tensor, query: EncodedCase, first: int, separate_parts: int, consistency: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """(step, mask ``(n, size, size)``) of logits ``(n, h, w)`` of consecutive slices of a query, from ``first`` on."""
    yield PLAIN, (upsample_probability(logits, query.slices.space.size) > 0.5).numpy()
    refinement = refinement_of(consistency, query.slices, [separate_parts])
    if refinement is not None:
        refined = refinement(logits[None], {}, lambda s: query.slices.image(first + s), lambda: None)
        yield CONSISTENT, (refined[0] > 0).numpy()
