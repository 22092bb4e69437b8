"""A run over all frames of a volume sequence; slices drawn on one frame serve as examples for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from MomentumSegLib.drawn_slices import DrawnSlices
from MomentumSegLib.errors import UserError
from MomentumSegLib.run_request import Answer
from MomentumSegLib.segment_voxels import Crop
from MomentumSegLib.segmentation_output import Region, Result, write_result
from MomentumSegLib.sequences import VolumeSequence
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import VolumeGeometry, linear_transform_to_world


@dataclass(eq=False)
class FramesRun:
    """Which frames are done and which wait. Nothing is written before the last one is done.

    Attributes:
        sequence: of the volume.
        shown: the frame that Apply was pressed on; it comes first.
        waiting: the other frames, in order.
        answers: of the worker, by frame.
    """

    sequence: VolumeSequence
    shown: int
    waiting: list[int]
    answers: dict[int, Answer] = field(default_factory=dict)

    @classmethod
    def of(cls, sequence: VolumeSequence) -> FramesRun:
        shown = sequence.current_frame
        return cls(sequence, shown, [frame for frame in range(sequence.frame_count) if frame != shown])

    @property
    def count(self) -> int:
        return self.sequence.frame_count

    def fraction(self, fraction_of_frame: float) -> float:
        """Return the finished part of all frames."""
        return (len(self.answers) + max(fraction_of_frame, 0.0)) / max(self.count, 1)

    @property
    def in_order(self) -> Sequence[Answer]:
        """The answers, that for the frame that is shown first."""
        return [self.answers[frame] for frame in (self.shown, *self.waiting)]

    def take(self, answer: Answer) -> int | None:
        """Keep the answer for the frame that was asked; return the next frame to ask for, None after the last."""
        frame = self.shown if not self.answers else self.waiting[len(self.answers) - 1]
        self.answers[frame] = answer
        done = len(self.answers) - 1
        return self.waiting[done] if done < len(self.waiting) else None

    def check(self) -> None:
        """Raise `UserError` when the user shows another frame than at the beginning."""
        if self.sequence.current_frame != self.shown:
            raise UserError(
                _("Another frame is shown than when Apply was pressed: go back to frame {frame} and apply again.")
                .format(frame=self.shown)
            )  # fmt: skip

    def write(
        self,
        frame: int,
        segmentation_node: Any,
        slices: SliceGeometry,
        segments: Mapping[int, str],
        region: Region | None,
        tracker: DrawnSlices,
        plane: str,
    ) -> None:
        """Write the answer for a frame that is not shown into its segmentation. Raises `UserError`."""
        values, arrays = self.answers[frame]
        node = self.sequence.segmentation_of(segmentation_node, frame)
        _add_missing_segments(segmentation_node, node, segments)
        k, j, i = (int(first) for first in values["origin"])
        result = Result(arrays["labelmap"], (k, j, i), segments, slices.axis, region=region)
        written = write_result(node, _in_own_space(slices.volume, segmentation_node, node), result)
        nothing = {segment_id: Crop.nothing() for segment_id in written.after}
        tracker.remember_result(slices.volume, nothing, written.after, plane)


def _in_own_space(volume: VolumeGeometry, shown_node: Any, frame_node: Any) -> VolumeGeometry:
    """Frames that are not shown are under no transform: take that of the shown segmentation off the volume."""
    if frame_node is shown_node:
        return volume
    to_world = linear_transform_to_world(shown_node)
    return replace(volume, ijk_to_ras=np.linalg.solve(to_world, volume.ijk_to_ras))


def _add_missing_segments(shown_node: Any, frame_node: Any, segments: Mapping[int, str]) -> None:
    shown, own = shown_node.GetSegmentation(), frame_node.GetSegmentation()
    for segment_id in segments.values():
        segment = shown.GetSegment(segment_id)
        if segment is not None and own.GetSegment(segment_id) is None:
            own.AddEmptySegment(segment_id, segment.GetName(), segment.GetColor())
