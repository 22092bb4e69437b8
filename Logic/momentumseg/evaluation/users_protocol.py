"""The protocol of a user: n slices of the same volume are drawn and nothing else is known.

The whole volume is segmented, also beyond the ends of the structure, all labels together. The drawn slices are
evenly spread over the slices that contain the label, or over a part of them (a user who drew near one end); or only
the first is chosen so, and each next one is drawn where the session suggests it. Drawn slices are the only thing taken
from the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from momentumseg.errors import InputError
from momentumseg.evaluation.case_reading import read_case
from momentumseg.evaluation.fold_runner import (
    WITHOUT_FOLDS,
    RunOptions,
    Tell,
    chosen_folds,
    names_of_labels,
    run_folds,
)
from momentumseg.evaluation.folds import disjoint_folds, spread_slices
from momentumseg.evaluation.interpolation import interpolate_drawn_slices
from momentumseg.evaluation.metrics import Confusion, mask_score
from momentumseg.evaluation.models import EvaluatedModel, FoldModels
from momentumseg.evaluation.report import Progress
from momentumseg.evaluation.users_report import INTERPOLATION, NETWORK, NETWORK_WITH_CONSISTENCY, UsersReport
from momentumseg.io.datasets import Case, labelled_cases, select_cases
from momentumseg.sessions.few_shot import FewShotSession
from momentumseg.volumes.volume import Volume

Choice = Literal["spread", "suggested"]


@dataclass(frozen=True)
class UserOptions:
    """Choices of the user's protocol.

    Attributes:
        supports: numbers of drawn slices.
        labels: to draw and evaluate; empty for all that occur.
        tolerance_mm: of the surface Dice; None leaves it out.
        consistency: also report the result with the consistency step through the slices.
        plane: of the drawn slices.
        within: part of the structure's slices that they are spread over, as fractions of them; (0, 0.3) is a user who
            drew near one end only.
        choice: "spread" evenly, or "suggested": the first slice in the middle of that part, each next one where
            :meth:`FewShotSession.suggest_next_slice` says. Where it names a slice without the label nothing is drawn,
            but the slice counts.
    """

    supports: tuple[int, ...] = (1, 2, 3, 5)
    labels: tuple[int, ...] = ()
    tolerance_mm: float | None = 3.0
    consistency: bool = True
    plane: str = "acquisition"
    within: tuple[float, float] = (0.0, 1.0)
    choice: Choice = "spread"

    def __post_init__(self) -> None:
        if not self.supports or min(self.supports) < 1:
            raise InputError(f"The numbers of drawn slices {self.supports} must be 1 or more; use for example 1,3.")
        if not 0 <= self.within[0] < self.within[1] <= 1:
            raise InputError(f"The part {self.within} must be two rising fractions in 0 to 1; use for example 0:0.3.")
        if self.choice not in get_args(Choice):
            raise InputError(f"Slices cannot be chosen by {self.choice!r}; use {' or '.join(get_args(Choice))}.")


@dataclass(frozen=True)
class DrawnCase:
    """A case along its slice axis, with the slices that a user is supposed to draw.

    Attributes:
        volume: to segment.
        slice_axis: index into (K, J, I).
        labelmap: reference ``(S, H, W)``, the slice axis moved to the front.
        spacing: mm along (S, H, W).
        drawn: label -> indices of its drawn slices.
        absent: label -> slices that were suggested for it but do not contain it.
    """

    volume: Volume
    slice_axis: int
    labelmap: np.ndarray
    spacing: tuple[float, float, float]
    drawn: dict[int, list[int]]
    absent: dict[int, list[int]]

    def slices_with(self, label: int) -> list[int]:
        """Ascending indices of the slices that contain a label."""
        return np.flatnonzero((self.labelmap == label).any(axis=(1, 2))).tolist()


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
        allow_overlap, output, device, progress, command: see :class:`RunOptions`.

    Raises:
        InputError: unusable data, unknown fold, or a model that has seen the test images.
    """
    options = UserOptions() if options is None else options
    run = RunOptions(allow_overlap, output, device, progress, command)
    chosen = select_cases(labelled_cases(data), cases)
    by_fold = models.one_per_fold or folds is not None
    groups = chosen_folds(chosen, disjoint_folds(len(chosen)), folds) if by_fold else {WITHOUT_FOLDS: chosen}
    settings = {"protocol": UsersReport.protocol, "data": Path(data).name}
    results = run_folds(
        groups, models, options, settings, run, partial(_evaluate_cases, options=options, device=device)
    )
    report = UsersReport(
        {**settings, **asdict(options)}, names_of_labels(data, results, label_names), results, run.quoted_command
    )
    if output is not None:
        report.write(output)
    return report


def _evaluate_cases(
    fold: int, members: list[Case], model: EvaluatedModel, tell: Tell, *, options: UserOptions, device: str
) -> list[dict[str, Any]]:
    scores: list[dict[str, Any]] = []
    for number, case in enumerate(members):
        # One session a case: the features of a volume are of no use for the next one.
        with FewShotSession(model, device=device) as session:
            scores += [{"case": case.name, **row} for row in _case_scores(session, case, options)]
        tell((number + 1) / len(members))
    return scores


def _case_scores(session: FewShotSession, case: Case, options: UserOptions) -> Iterator[dict[str, Any]]:
    """Rows of a case: supports x method x label."""
    volume, labelmap = read_case(case)
    session.set_volume(volume, plane=options.plane)
    along = _along_slices(volume, labelmap.array, session.slice_axis or 0)
    present = sorted({int(label) for label in np.unique(labelmap.array)} - {0})
    labels = [label for label in present if not options.labels or label in options.labels]
    choices = _suggested if options.choice == "suggested" else _spread
    for count, drawn in choices(session, along, labels, options) if labels else ():
        for method, masks in _predictions(session, drawn, options):
            for label in labels:
                scores = _label_scores(drawn, label, masks[label], options.tolerance_mm)
                yield {"supports": count, "method": method, "label": label, "drawn": drawn.drawn[label], **scores}


def _spread(
    session: FewShotSession, case: DrawnCase, labels: Sequence[int], options: UserOptions
) -> Iterator[tuple[int, DrawnCase]]:
    """(number of slices, case with so many drawn), evenly spread."""
    for count in options.supports:
        drawn = {label: spread_slices(case.slices_with(label), count, options.within) for label in labels}
        yield count, replace(case, drawn=drawn)


def _suggested(
    session: FewShotSession, case: DrawnCase, labels: Sequence[int], options: UserOptions
) -> Iterator[tuple[int, DrawnCase]]:
    """(number of slices, case with so many drawn or seen to be without the label), one suggestion after the other.

    The case is to be segmented before the next one is asked for: the suggestion comes from that result.
    """
    case = replace(
        case,
        drawn={label: spread_slices(case.slices_with(label), 1, options.within) for label in labels},
        absent={label: [] for label in labels},
    )
    for count in range(1, max(options.supports) + 1):
        if count in options.supports:
            yield count, case
        else:
            _draw(session, case)
            session.segment()
        case = _with_next_slices(session, case)


def _with_next_slices(session: FewShotSession, case: DrawnCase) -> DrawnCase:
    """The case with one more slice a label, from the session's last result; as it is where none is left."""
    drawn, absent = dict(case.drawn), dict(case.absent)
    for label in drawn:
        if len(drawn[label]) + len(absent[label]) == len(case.labelmap):
            continue
        index = session.suggest_next_slice(label, skip=absent[label])
        side = drawn if (case.labelmap[index] == label).any() else absent
        side[label] = sorted([*side[label], index])
    return replace(case, drawn=drawn, absent=absent)


def _along_slices(volume: Volume, labels: np.ndarray, slice_axis: int) -> DrawnCase:
    spacing = list(volume.spacing[::-1])
    spacing.insert(0, spacing.pop(slice_axis))
    spacing_along = (spacing[0], spacing[1], spacing[2])
    return DrawnCase(volume, slice_axis, np.moveaxis(labels, slice_axis, 0), spacing_along, {}, {})


def _predictions(
    session: FewShotSession, case: DrawnCase, options: UserOptions
) -> Iterator[tuple[str, dict[int, np.ndarray]]]:
    """(method, label -> boolean mask ``(S, H, W)``) of the network and of the interpolation."""
    _draw(session, case)
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


def _draw(session: FewShotSession, case: DrawnCase) -> None:
    session.clear_supports()
    for label, indices in case.drawn.items():
        for index in indices:
            session.add_support(case.labelmap[index] == label, index, label=label)


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
