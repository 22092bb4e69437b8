"""What a finished run leaves in the scene: segments, uncertainty, measurements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MomentumSegLib.drawn_slices import Collected, DrawnSlices
from MomentumSegLib.errors import UserError
from MomentumSegLib.few_shot_request import FewShotRequest, Region, Supports, Target
from MomentumSegLib.interfaces import UndoStack
from MomentumSegLib.results_table import ResultRow, result_rows, update_results_table
from MomentumSegLib.segmentation_output import Result, Written, update_surface, write_result
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _

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
        sentence: what came of it, for the status line.
        sentences: further ones, for example about segments that were deleted meanwhile.
    """

    request: FewShotRequest
    rows: tuple[ResultRow, ...]
    labels: Mapping[str, int]
    names: Mapping[str, str]
    next_slice: int | None
    uncertainty_of_slice: Mapping[int, float]
    uncertainty: np.ndarray
    uncertainty_origin: tuple[int, int, int]
    seconds: float
    changed: bool
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
        request: FewShotRequest,
        slices: SliceGeometry,
        supports: Supports,
        region: Region | None,
        tracker: DrawnSlices,
        values: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
    ) -> WrittenResult:
        """Write the segments, in one undo step. What the user drew meanwhile stays.

        Raises:
            UserError: volume or segmentation are gone, or the result cannot be written.
        """
        volume_node = self._scene.GetNodeByID(request.volume_id)
        node = self._scene.GetNodeByID(request.segmentation_id)
        if volume_node is None or node is None:
            raise UserError(_("The volume or the segmentation was deleted meanwhile; the result has no place to go."))
        drawn = tracker.collect(slices.volume, request.plane)
        targets, save_state = self._with_new_segments(node, supports.targets)
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
        request: FewShotRequest,
        slices: SliceGeometry,
        result: WrittenResult,
        tracker: DrawnSlices,
        values: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
    ) -> Outcome:
        """Remember what was written, to tell it from what the user draws later, and measure it."""
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
        return _outcome(request, targets, values, arrays, rows, written)

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
        self, node: Any, targets: Mapping[int, Target]
    ) -> tuple[dict[int, Target], Callable[[], None] | None]:
        """Add the segments that exist only in another volume's segmentation; one undo step with the result."""
        save_state = self._undo.saveStateForUndo if self._undo is not None else None
        missing = {label: target for label, target in targets.items() if not target.segment_id}
        if not missing:
            return dict(targets), save_state
        if save_state is not None:
            save_state()
        complete = dict(targets)
        for label, target in missing.items():
            segment_id = node.GetSegmentation().AddEmptySegment("", target.name, target.color)
            complete[label] = replace(target, segment_id=segment_id)
        return complete, None


def _outcome(
    request: FewShotRequest,
    targets: Mapping[int, Target],
    values: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    rows: tuple[ResultRow, ...],
    written: Written,
) -> Outcome:
    next_slice = values.get("next_slice")
    seconds = float(values.get("seconds") or 0.0)
    text = (
        _("Done in {seconds} s{volumes}. Correct a slice that is wrong and apply again.")
        if written.changed
        else _("Done in {seconds} s; the result is the same as before.")
    )
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
        sentence=text.format(seconds=f"{seconds:.1f}" if seconds < 10 else round(seconds), volumes=_volumes(rows)),
        sentences=written.sentences,
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
