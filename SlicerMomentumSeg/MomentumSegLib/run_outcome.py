"""What a finished run leaves in the scene: segments, uncertainty, measurements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MomentumSegLib.drawn_slices import Collected, DrawnSlices, segment_tag
from MomentumSegLib.errors import UserError
from MomentumSegLib.interfaces import UndoStack
from MomentumSegLib.results_table import ResultRow, result_rows, update_results_table
from MomentumSegLib.run_request import Answer, RunPlan, RunRequest, Target
from MomentumSegLib.segmentation_output import Region, Result, Written, update_surface, write_result
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _

# A segment's tag: which structure of a model it is, so that it is found again after it was renamed.
RESULT_TAG = "MomentumSeg.Structure"
# Of so many segments the status line says the volumes; the table has them all.
_MOST_VOLUMES = 3


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished run.

    Attributes:
        request: that was run.
        rows: measurements of each segment, as they are in the scene now.
        labels: number of each segment in the run, by segment ID.
        names: of the segments, by segment ID.
        next_slice: that helps most when drawn; None: nothing to suggest.
        uncertainty_of_slice: mean uncertainty by slice index.
        uncertainty: (K, J, I) uint8 crop, 0 to 255 for 0 to 1.
        uncertainty_origin: (k, j, i) of its first voxel.
        seconds: that the worker took.
        changed: whether any segment changed.
        has_stages: whether the worker keeps the stages of the method's refinement.
        sentence: what came of it, for the status line.
        sentences: further ones, for example about segments that were deleted meanwhile.
    """

    request: RunRequest
    rows: tuple[ResultRow, ...]
    labels: Mapping[str, int]
    names: Mapping[str, str]
    next_slice: int | None
    uncertainty_of_slice: Mapping[int, float]
    uncertainty: np.ndarray
    uncertainty_origin: tuple[int, int, int]
    seconds: float
    changed: bool
    has_stages: bool
    sentence: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WrittenResult:
    """Segments that were just written.

    Attributes:
        targets: segment of each label number; all exist.
        drawn: what was drawn just before.
        written: what changed.
    """

    targets: Mapping[int, Target]
    drawn: Collected
    written: Written


class OutcomeWriter:
    """Writes results into the scene.

    Args:
        scene: the MRML scene.
        undo: keeps the undo state before the first change of a segment.
        editor_node: returns the segment editor node whose masking and overwrite mode are obeyed, or None.
    """

    def __init__(self, scene: Any, undo: UndoStack | None, editor_node: Callable[[], Any]) -> None:
        self._scene = scene
        self._undo = undo
        self._editor_node = editor_node

    def write(
        self,
        request: RunRequest,
        slices: SliceGeometry,
        plan: RunPlan,
        region: Region | None,
        tracker: DrawnSlices,
        answers: Sequence[Answer],
    ) -> WrittenResult:
        """Write the segments of the first answer, in one undo step. What the user drew meanwhile stays.

        Raises:
            UserError: volume or segmentation are gone, or the result cannot be written.
        """
        values, arrays = answers[0]
        volume_node = self._scene.GetNodeByID(request.volume_id)
        node = self._scene.GetNodeByID(request.segmentation_id)
        if volume_node is None or node is None:
            raise UserError(_("The volume or the segmentation was deleted meanwhile; the result has no place to go."))
        drawn = tracker.collect(slices.volume, request.plane)
        targets, save_state = self._with_new_segments(node, plan, plan.targets(node, answers))
        result = Result(
            labelmap=arrays["labelmap"],
            origin=_triple(values["origin"]),
            segments={label: target.segment_id for label, target in targets.items()},
            slice_axis=slices.axis,
            names={target.segment_id: target.name for target in targets.values()},
            region=region,
            untouched=drawn.untouched,
        )
        written = write_result(
            node,
            slices.volume,
            result,
            editor_node=self._editor_node(),
            volume_node=volume_node,
            save_state=save_state,
        )
        return WrittenResult(targets, drawn, written)

    def remember(
        self,
        request: RunRequest,
        slices: SliceGeometry,
        plan: RunPlan,
        result: WrittenResult,
        tracker: DrawnSlices,
        answers: Sequence[Answer],
    ) -> Outcome:
        """Remember what was written, to tell it from what the user draws later, and measure it."""
        values, arrays = answers[0]
        written, targets = result.written, result.targets
        tracker.remember_result(slices.volume, written.before, written.after, request.plane)
        uncertainty = _by_number(values.get("label_uncertainty"))
        rows = result_rows(
            self._scene.GetNodeByID(request.segmentation_id),
            slices.volume,
            written.after,
            {target.segment_id: uncertainty[label] for label, target in targets.items() if label in uncertainty},
            Counter(support.segment_id for support in result.drawn.supports),
        )
        return _outcome(request, plan, result, answers, rows)

    def measure(self, outcome: Outcome) -> None:
        """Put the measurements into the segmentation's table, which is saved with the scene."""
        node = self._scene.GetNodeByID(outcome.request.segmentation_id)
        if node is not None:
            update_results_table(node, outcome.rows)

    def finish_surface(self, outcome: Outcome) -> None:
        """Bring the 3D surface up to date where it is shown; takes a moment for a large organ."""
        node = self._scene.GetNodeByID(outcome.request.segmentation_id)
        if node is not None:
            update_surface(node)

    def _with_new_segments(
        self, node: Any, plan: RunPlan, targets: Mapping[int, Target]
    ) -> tuple[dict[int, Target], Callable[[], None] | None]:
        """Add the segments that do not exist yet; one undo step with the result."""
        save_state = self._undo.saveStateForUndo if self._undo is not None else None
        complete = dict(targets)
        missing = {label: target for label, target in targets.items() if not target.segment_id}
        if missing:
            if save_state is not None:
                save_state()
                save_state = None
            superseded = plan.superseded(node)
            for label, target in missing.items():
                complete[label] = replace(target, segment_id=_new_segment(node, target))
            for segment_id in superseded:
                node.GetSegmentation().RemoveSegment(segment_id)
        for target in complete.values():
            segment = node.GetSegmentation().GetSegment(target.segment_id)
            if target.tag and segment is not None and segment_tag(segment, RESULT_TAG) != target.tag:
                segment.SetTag(RESULT_TAG, target.tag)
        return complete, save_state


def _new_segment(node: Any, target: Target) -> str:
    segmentation = node.GetSegmentation()
    if target.color is None:
        return str(segmentation.AddEmptySegment("", target.name))
    return str(segmentation.AddEmptySegment("", target.name, target.color))


def _outcome(
    request: RunRequest, plan: RunPlan, result: WrittenResult, answers: Sequence[Answer], rows: tuple[ResultRow, ...]
) -> Outcome:
    values, arrays = answers[0]
    written, targets = result.written, result.targets
    next_slice = values.get("next_slice")
    seconds = float(values.get("seconds") or 0.0)
    same = _("Done in {seconds} s; the result is the same as before.")
    done = (_("Done in {seconds} s{volumes}.") if written.changed else same).format(
        seconds=f"{seconds:.1f}" if seconds < 10 else round(seconds), volumes=_volumes(rows)
    )
    remarks = plan.remarks(answers, result.drawn)
    return Outcome(
        request=request,
        rows=rows,
        labels={target.segment_id: label for label, target in targets.items()},
        names={target.segment_id: target.name for target in targets.values()},
        next_slice=None if next_slice is None else int(next_slice),
        uncertainty_of_slice=_by_number(values.get("mean_uncertainty")),
        uncertainty=arrays.get("uncertainty", np.zeros((0, 0, 0), dtype=np.uint8)),
        uncertainty_origin=_triple(values.get("uncertainty_origin") or (0, 0, 0)),
        seconds=seconds,
        changed=bool(written.changed),
        has_stages=plan.has_stages,
        sentence=f"{done} {plan.advice}" if written.changed else done,
        sentences=(*remarks, *written.sentences),
    )


def _volumes(rows: tuple[ResultRow, ...]) -> str:
    """Volumes of the segments, where there is room for them: ``": Structure 1 153.0 ml"``."""
    if not 0 < len(rows) <= _MOST_VOLUMES:
        return ""
    return ": " + ", ".join(f"{row.segment} {row.volume_ml:.1f} ml" for row in rows)


def _by_number(table: Any) -> dict[int, float]:
    return {int(key): float(value) for key, value in dict(table or {}).items() if value is not None}


def _triple(values: Any) -> tuple[int, int, int]:
    k, j, i = (int(value) for value in values)
    return k, j, i
