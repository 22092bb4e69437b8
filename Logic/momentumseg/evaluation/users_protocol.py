"""The protocol of a user: n slices of the same volume are drawn and nothing else is known.

The whole volume is segmented, also beyond the ends of the structure, all labels together. The drawn slices are
evenly spread over the slices that contain the label; they are the only thing taken from the reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import InputError
from momentumseg.evaluation.case_reading import read_case
from momentumseg.evaluation.datasets import Case, dataset_label_names, labelled_cases, select_cases
from momentumseg.evaluation.folds import disjoint_folds, spread_slices
from momentumseg.evaluation.interpolation import interpolate_drawn_slices
from momentumseg.evaluation.metrics import Confusion, mask_score
from momentumseg.evaluation.models import EvaluatedModel, FoldModels, check_unseen
from momentumseg.evaluation.report import FoldResult, Progress, current_command, fingerprint_of, resumable_fold
from momentumseg.evaluation.users_report import INTERPOLATION, NETWORK, NETWORK_WITH_CONSISTENCY, UsersReport
from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.volumes.volume import Volume

_WITHOUT_FOLDS = -1


@dataclass(frozen=True)
class UserOptions:
    """Choices of the user's protocol.

    Attributes:
        supports: numbers of drawn slices.
        labels: to draw and evaluate; empty for all that occur.
        tolerance_mm: of the surface Dice; None leaves it out.
        consistency: also report the result with the consistency step through the slices.
        plane: of the drawn slices.
    """

    supports: tuple[int, ...] = (1, 2, 3, 5)
    labels: tuple[int, ...] = ()
    tolerance_mm: float | None = 3.0
    consistency: bool = True
    plane: str = "acquisition"

    def __post_init__(self) -> None:
        if not self.supports or min(self.supports) < 1:
            raise InputError(f"The numbers of drawn slices {self.supports} must be 1 or more; use for example 1,3.")


@dataclass(frozen=True)
class DrawnCase:
    """A case along its slice axis, with the slices that a user is supposed to draw.

    Attributes:
        volume: to segment.
        slice_axis: index into (K, J, I).
        labelmap: reference ``(S, H, W)``, the slice axis moved to the front.
        spacing: mm along (S, H, W).
        drawn: label -> indices of its drawn slices.
    """

    volume: Volume
    slice_axis: int
    labelmap: np.ndarray
    spacing: tuple[float, float, float]
    drawn: dict[int, list[int]]


def run_users_protocol(
    data: Path | str,
    models: FoldModels,
    options: UserOptions | None = None,
    *,
    folds: Sequence[int] | None = None,
    cases: list[str] | None = None,
    label_names: dict[int, str] | None = None,
    allow_overlap: bool = False,
    output: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    command: str | None = None,
) -> UsersReport:
    """Evaluate models on the cases of a data folder, each case once, with the model of a fold that it is tested in.

    Args:
        data: folder, see :func:`discover_cases`.
        models: one for all cases, or one a fold, see :func:`models_by_fold`.
        folds: numbers of the folds to run; None for all cases.
        cases: names to restrict the data to, also before the folds are made.
        label_names: names for the tables; from ``dataset.json`` otherwise.
        allow_overlap: also evaluate a model that was trained on images of the test cases.
        output: JSON file; finished folds are kept beside it and not computed again. None keeps nothing.
        progress: called with (text, fraction done).
        command: the command line that the report quotes; this process's by default.

    Raises:
        InputError: unusable data, unknown fold, or a model that has seen the test images.
    """
    options = UserOptions() if options is None else options
    chosen = select_cases(labelled_cases(data), cases)
    groups = _groups(chosen, folds, models.one_per_fold)
    settings = {**asdict(options), "data": Path(data).name}
    results = []
    for number, (fold, members) in enumerate(groups.items()):
        model = models(fold)
        names = [case.name for case in members]
        check_unseen(model, names, allow_overlap)

        def compute(
            fold: int = fold, members: list[Case] = members, model: EvaluatedModel = model, number: int = number
        ) -> FoldResult:
            tell = _group_progress(progress, fold, number, len(groups))
            return _evaluate_group(fold, members, model, options, device, tell)

        results.append(resumable_fold(output, fold, fingerprint_of(settings, model.sha256, names), compute))
    labels = sorted({row["label"] for result in results for row in result.scores})
    known = dataset_label_names(data) | (label_names or {})
    names_of_labels = {label: known.get(label, f"label {label}") for label in labels}
    report = UsersReport(settings, names_of_labels, results, command or current_command())
    if output is not None:
        report.write(output)
    return report


def _groups(cases: list[Case], folds: Sequence[int] | None, one_per_fold: bool) -> dict[int, list[Case]]:
    if folds is None and not one_per_fold:
        return {_WITHOUT_FOLDS: cases}
    members = disjoint_folds(len(cases))
    wanted = range(len(members)) if folds is None else folds
    unknown = [fold for fold in wanted if not 0 <= fold < len(members)]
    if unknown:
        raise InputError(f"There is no fold {unknown[0]}; choose 0 to {len(members) - 1}.")
    return {fold: [cases[index] for index in members[fold]] for fold in wanted}


def _evaluate_group(
    fold: int,
    members: list[Case],
    model: EvaluatedModel,
    options: UserOptions,
    device: str,
    tell: Callable[[float], None],
) -> FoldResult:
    start = time.perf_counter()
    scores: list[dict[str, Any]] = []
    for number, case in enumerate(members):
        # One session a case: the features of a volume are of no use for the next one.
        with FewShotSession(model, device=device) as session:
            scores += [{"fold": fold, "case": case.name, **row} for row in _case_scores(session, case, options)]
        tell((number + 1) / len(members))
    names = [case.name for case in members]
    return FoldResult(fold, names, model.description(names), scores, round(time.perf_counter() - start, 2))


def _case_scores(session: FewShotSession, case: Case, options: UserOptions) -> Iterator[dict[str, Any]]:
    """Rows of a case: supports x method x label."""
    volume, labelmap = read_case(case)
    session.set_volume(volume, plane=options.plane)
    along = _along_slices(volume, labelmap.array, session.slice_axis or 0)
    present = sorted({int(label) for label in np.unique(labelmap.array)} - {0})
    labels = [label for label in present if not options.labels or label in options.labels]
    for count in options.supports if labels else ():
        slices = {label: np.flatnonzero((along.labelmap == label).any(axis=(1, 2))).tolist() for label in labels}
        drawn = replace(along, drawn={label: spread_slices(slices[label], count) for label in labels})
        for method, masks in _predictions(session, drawn, options):
            for label in labels:
                scores = _label_scores(drawn, label, masks[label], options.tolerance_mm)
                yield {"supports": count, "method": method, "label": label, "drawn": drawn.drawn[label], **scores}


def _along_slices(volume: Volume, labels: np.ndarray, slice_axis: int) -> DrawnCase:
    spacing = list(volume.spacing[::-1])
    spacing.insert(0, spacing.pop(slice_axis))
    return DrawnCase(volume, slice_axis, np.moveaxis(labels, slice_axis, 0), (spacing[0], spacing[1], spacing[2]), {})


def _predictions(
    session: FewShotSession, case: DrawnCase, options: UserOptions
) -> Iterator[tuple[str, dict[int, np.ndarray]]]:
    """(method, label -> boolean mask ``(S, H, W)``) of the network and of the interpolation."""
    session.clear_supports()
    for label, indices in case.drawn.items():
        for index in indices:
            session.add_support(case.labelmap[index] == label, index, label=label)
    for method, consistency in ((NETWORK, False), (NETWORK_WITH_CONSISTENCY, True)):
        if options.consistency or not consistency:
            result = session.segment(consistency=consistency)
            predicted = np.moveaxis(result.labelmap.array, case.slice_axis, 0)
            yield method, {label: predicted == label for label in case.drawn}
    yield (
        INTERPOLATION,
        {
            label: interpolate_drawn_slices(case.labelmap == label, indices, case.spacing[1:])
            for label, indices in case.drawn.items()
        },
    )


def _label_scores(case: DrawnCase, label: int, mask: np.ndarray, tolerance_mm: float | None) -> dict[str, Any]:
    """Measures over the whole volume, and the Dice over the slices that were not drawn."""
    reference = case.labelmap == label
    undrawn = np.setdiff1d(np.arange(len(reference)), case.drawn[label])
    score = asdict(mask_score(mask, reference, case.spacing, tolerance_mm))
    return {
        **score.pop("confusion"),
        **score,
        "dice_undrawn": Confusion.of(mask[undrawn], reference[undrawn]).dice,
    }


def _group_progress(progress: Progress | None, fold: int, number: int, total: int) -> Callable[[float], None]:
    def tell(fraction: float) -> None:
        if progress is not None:
            progress("all cases" if fold == _WITHOUT_FOLDS else f"fold {fold}", (number + fraction) / total)

    return tell
