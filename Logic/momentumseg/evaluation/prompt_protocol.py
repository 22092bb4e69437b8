"""How good prompts are: a box or clicks on single slices, and following through the volume.

All prompts are taken from the reference labels. On single slices: a box around the structure on every slice where it is
large enough, and clicks that correct the largest error, on some slices. Through the volume: one box on the slice where
the structure is largest (with and without its ends known), boxes on three slices, and a box on every slice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import InputError
from momentumseg.evaluation.case_reading import read_case
from momentumseg.evaluation.fold_runner import names_of_labels
from momentumseg.evaluation.folds import spread_slices
from momentumseg.evaluation.metrics import Confusion, surface_dice, volume_ml
from momentumseg.evaluation.prompt_report import (
    BOX,
    BOX_AND_CLICKS,
    BOXES_EVERYWHERE,
    CLICKS,
    FOLLOWED,
    FOLLOWED_ENDS_KNOWN,
    FOLLOWED_FROM_THREE,
    SINGLE_CLICK_BEST,
    PromptReport,
)
from momentumseg.evaluation.report import FoldResult, Progress, current_command, fingerprint_of, resumable_fold
from momentumseg.evaluation.simulated_prompts import click_until
from momentumseg.io.datasets import Case, labelled_cases, select_cases
from momentumseg.sessions.prompt import PromptSession
from momentumseg.sessions.prompt_decoder import PromptModel, SlicePrediction
from momentumseg.sessions.prompt_objects import BoxPrompt, Prompt
from momentumseg.sessions.propagation import FollowConfig

_PROMPTED_SLICES = 3


@dataclass(frozen=True)
class PromptOptions:
    """Choices that change the numbers.

    Attributes:
        labels: to evaluate; empty for all that occur.
        margin: voxels between the structure and its box.
        smallest_area: voxels that a structure must have on a slice to be evaluated there by itself.
        clicks: numbers of clicks to report; empty leaves clicks out.
        click_slices: slices of each structure on which clicks are simulated, evenly spread.
        tolerance_mm: of the surface Dice; None leaves it out.
        follow: also through the volume.
        plane: of the slices.
    """

    labels: tuple[int, ...] = ()
    margin: float = 5.0
    smallest_area: int = 100
    clicks: tuple[int, ...] = (1, 3, 5)
    click_slices: int = 5
    tolerance_mm: float | None = 3.0
    follow: bool = True
    plane: str = "acquisition"

    def __post_init__(self) -> None:
        if min((self.smallest_area, self.click_slices, *self.clicks)) < 1 or self.margin < 0:
            raise InputError(
                "The smallest area, the number of slices and the numbers of clicks must be 1 or more, and the margin "
                "not negative; correct these options."
            )


@dataclass(frozen=True)
class _Structure:
    """One label of a case along its slice axis: ``reference`` boolean (S, rows, columns), ``spacing`` in mm."""

    label: int
    reference: np.ndarray
    spacing: tuple[float, float, float]

    @property
    def slices(self) -> list[int]:
        return [int(index) for index in np.flatnonzero(self.reference.any(axis=(1, 2)))]

    def large_slices(self, smallest_area: int) -> list[int]:
        return [index for index in self.slices if np.count_nonzero(self.reference[index]) >= smallest_area]

    @property
    def largest_slice(self) -> int:
        return int(self.reference.sum(axis=(1, 2)).argmax())


def run_prompt_protocol(
    data: Path | str,
    model: PromptModel,
    options: PromptOptions | None = None,
    *,
    reference: str = "",
    cases: list[str] | None = None,
    label_names: dict[int, str] | None = None,
    allow_overlap: bool = False,
    output: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    command: str | None = None,
) -> PromptReport:
    """Evaluate a model for prompts on the cases of a data folder.

    Args:
        data: folder, see :func:`discover_cases`.
        model: see :func:`load_prompt_model`.
        reference: what the model is called in the report.
        cases: names to restrict the data to.
        label_names: names for the tables; from ``dataset.json`` otherwise.
        allow_overlap: also evaluate a fine-tuned decoder on cases that its training used; the report says so.
        output: JSON file; finished cases are kept beside it and not computed again.
        progress: receives (case, fraction of all done).
        command: that the report quotes; this process's by default.

    Raises:
        InputError: unusable data, a model that takes no boxes, or one that was fine-tuned on the cases.
    """
    options = options or PromptOptions()
    if "boxes" not in model.capabilities:
        raise InputError(
            f"The model {model.card.name} takes no boxes, which this evaluation gives: choose another one."
        )
    chosen = select_cases(labelled_cases(data), cases)
    settings = {"protocol": PromptReport.protocol, "data": Path(data).name, "follow_config": asdict(FollowConfig())}
    described = _described(model, reference or model.card.name, chosen, allow_overlap)
    results = []
    for number, case in enumerate(chosen):
        tell = partial(_tell, progress, case.name, number, len(chosen))

        def compute(number: int = number, case: Case = case, tell: Callable[[float], None] = tell) -> FoldResult:
            start = time.perf_counter()
            with PromptSession(model, device=device) as session:
                scores = [{"case": case.name, **row} for row in _case_scores(session, case, options, tell)]
            return FoldResult(number, [case.name], described, scores, round(time.perf_counter() - start, 2))

        fingerprint = fingerprint_of({**asdict(options), **settings}, model.sha256, [case.name])
        results.append(resumable_fold(output, number, fingerprint, compute))
        tell(1.0)
    names = names_of_labels(data, results, label_names)
    report = PromptReport({**settings, **asdict(options)}, names, results, command or current_command())
    if output is not None:
        report.write(output)
    return report


def _described(model: PromptModel, reference: str, cases: Sequence[Case], allow_overlap: bool) -> dict[str, Any]:
    """What a report keeps of a model; refuses one that has seen the cases."""
    described: dict[str, Any] = {"reference": reference, "sha256": model.sha256}
    used = model.card.extra.get("training_cases")
    if used is None:
        return described
    seen = sorted({case.name for case in cases} & set(map(str, used)))
    if seen and not allow_overlap:
        raise InputError(
            f"The training of {reference} used {len(seen)} of the cases ({', '.join(seen[:3])}); evaluate the test "
            "cases of its split (--split RUN/splits.json), or allow it with --allow-overlap, which the report will say."
        )
    return {**described, "overlap": f"its training used {len(seen) or 'none'} of the cases"}


def _tell(progress: Progress | None, text: str, number: int, total: int, fraction: float) -> None:
    if progress is not None:
        progress(text, (number + fraction) / total)


def _case_scores(
    session: PromptSession, case: Case, options: PromptOptions, tell: Callable[[float], None]
) -> Iterator[dict[str, Any]]:
    volume, labelmap = read_case(case)
    session.set_volume(volume, plane=options.plane)
    axis = session.slice_axis or 0
    spacing = list(volume.spacing[::-1])
    spacing.insert(0, spacing.pop(axis))
    along = np.moveaxis(labelmap.array, axis, 0)
    present = [int(label) for label in np.unique(along) if label and (not options.labels or label in options.labels)]
    for number, label in enumerate(present):
        structure = _Structure(label, along == label, (spacing[0], spacing[1], spacing[2]))
        for row in _structure_scores(session, structure, options):
            yield {"label": label, **row}
        tell((number + 1) / len(present))


def _structure_scores(
    session: PromptSession, structure: _Structure, options: PromptOptions
) -> Iterator[dict[str, Any]]:
    wanted = structure.slices if options.follow else structure.large_slices(options.smallest_area)
    boxed = {index: _boxed(session, structure, index, options) for index in wanted}
    large = structure.large_slices(options.smallest_area)
    yield from _slice_rows(structure, BOX, {index: boxed[index].mask for index in large}, options)
    if options.clicks and "points" in session.capabilities:
        yield from _click_rows(session, structure, spread_slices(large, options.click_slices), options)
    if options.follow:
        everywhere = {index: prediction.mask for index, prediction in boxed.items()}
        yield _volume_row(structure, BOXES_EVERYWHERE, everywhere, len(everywhere), 0.0, options)
        yield from _follow_rows(session, structure, options)


def _boxed(session: PromptSession, structure: _Structure, index: int, options: PromptOptions) -> SlicePrediction:
    """The answer to the box around the structure on a slice."""
    number = session.add_object(structure.label)
    session.add_prompt(number, index, BoxPrompt.around(structure.reference[index], options.margin))
    prediction = session.predict(number, index)
    session.remove_object(number)
    return prediction


def _click_rows(
    session: PromptSession, structure: _Structure, slices: Sequence[int], options: PromptOptions
) -> Iterator[dict[str, Any]]:
    """Clicks alone, and clicks that correct a box."""
    alone: dict[int, list[SlicePrediction]] = {}
    corrected: dict[int, list[SlicePrediction]] = {}
    for index in slices:
        reference = structure.reference[index]
        number = session.add_object(structure.label)

        def ask(prompt: Prompt, number: int = number, index: int = index) -> SlicePrediction:
            session.add_prompt(number, index, prompt)
            return session.predict(number, index)

        alone[index] = click_until(reference, max(options.clicks), ask)
        session.clear(number)
        boxed = ask(BoxPrompt.around(reference, options.margin))
        corrected[index] = [boxed, *click_until(reference, max(options.clicks), ask, boxed.mask)]
        session.remove_object(number)
    for count in options.clicks:
        masks = {index: answers[count - 1].mask for index, answers in alone.items()}
        yield from _slice_rows(structure, f"{CLICKS} {count}", masks, options)
    best = {index: _best_offered(session, answers[0], structure.reference[index]) for index, answers in alone.items()}
    yield from _slice_rows(structure, SINGLE_CLICK_BEST, best, options)
    for count in (0, *options.clicks):
        masks = {index: answers[min(count, len(answers) - 1)].mask for index, answers in corrected.items()}
        yield from _slice_rows(structure, f"{BOX_AND_CLICKS} {count}", masks, options)


def _best_offered(session: PromptSession, prediction: SlicePrediction, reference: np.ndarray) -> np.ndarray:
    """What a user gets who chooses the best of the masks that a single click offers."""
    offered = [session.slices.to_slice(one.low_resolution) > 0 for one in prediction.alternatives]
    return max(offered, key=lambda mask: Confusion.of(mask, reference).dice)


def _follow_rows(session: PromptSession, structure: _Structure, options: PromptOptions) -> Iterator[dict[str, Any]]:
    slices = structure.slices
    several = spread_slices(structure.large_slices(options.smallest_area) or slices, _PROMPTED_SLICES)
    for method, prompted, ends in (
        (FOLLOWED, [structure.largest_slice], None),
        (FOLLOWED_ENDS_KNOWN, [structure.largest_slice], (slices[0], slices[-1] + 1)),
        (FOLLOWED_FROM_THREE, several, None),
    ):
        number = session.add_object(structure.label)
        for index in prompted:
            session.add_prompt(number, index, BoxPrompt.around(structure.reference[index], options.margin))
        start = time.perf_counter()
        result = session.follow([number], slice_range=ends)
        seconds = time.perf_counter() - start
        session.remove_object(number)
        found = np.moveaxis(result.labelmap.array, session.slice_axis or 0, 0) != 0
        masks = {index: found[index] for index in range(len(found)) if found[index].any()}
        row = _volume_row(structure, method, masks, len(prompted), seconds, options)
        yield {
            **row,
            "ends": [result.ends[number].first, result.ends[number].last],
            "true_ends": [slices[0], slices[-1]],
        }


def _slice_rows(
    structure: _Structure, method: str, masks: dict[int, np.ndarray], options: PromptOptions
) -> Iterator[dict[str, Any]]:
    """One row a slice; measures in the slice."""
    for index, mask in masks.items():
        reference = structure.reference[index]
        row: dict[str, Any] = {"method": method, "slice": index, "dice": Confusion.of(mask, reference).dice}
        if options.tolerance_mm is not None:
            row["surface_dice"] = surface_dice(mask, reference, structure.spacing[1:], options.tolerance_mm)
        yield row


def _volume_row(
    structure: _Structure,
    method: str,
    masks: dict[int, np.ndarray],
    prompted: int,
    seconds: float,
    options: PromptOptions,
) -> dict[str, Any]:
    """Measures over the whole volume."""
    found = np.zeros_like(structure.reference)
    for index, mask in masks.items():
        found[index] = mask
    row: dict[str, Any] = {
        "method": method,
        "slice": None,
        "dice": Confusion.of(found, structure.reference).dice,
        "prompted_slices": prompted,
        "volume_ml": volume_ml(found, structure.spacing),
        "reference_volume_ml": volume_ml(structure.reference, structure.spacing),
        "seconds": round(seconds, 2),
    }
    if options.tolerance_mm is not None:
        row["surface_dice"] = surface_dice(found, structure.reference, structure.spacing, options.tolerance_mm)
    return row
