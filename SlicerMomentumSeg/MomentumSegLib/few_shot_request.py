"""A few-shot run: segment a volume from drawn slices of it, of another volume, or of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MomentumSegLib.drawn_slices import Collected, Drawn, all_drawn, evenly_chosen
from MomentumSegLib.errors import UserError
from MomentumSegLib.run_region import worker_box
from MomentumSegLib.run_request import Answer, RunRequest, Target
from MomentumSegLib.segmentation_output import Region
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import read_volume_geometry

# Slices that are taken of each segment of another, finished segmentation: enough for the method, and soon encoded.
MOST_OTHER_SLICES = 5


@dataclass(frozen=True)
class FewShotRequest(RunRequest):
    """See :class:`RunRequest`.

    Attributes:
        support_volume_id, support_segmentation_id: another segmented volume as example; empty: none.
    """

    support_volume_id: str = ""
    support_segmentation_id: str = ""

    def plan(self, scene: Any, slices: SliceGeometry, region: Region | None, drawn: Collected) -> FewShotPlan:
        """Gather the drawn slices. Raises `UserError`: nothing is drawn, or the other volume cannot be used."""
        other_node, other_drawn = self._other_supports(scene)
        segmentation = scene.GetNodeByID(self.segmentation_id)
        return FewShotPlan(self, region, gather_supports(segmentation, drawn.supports, other_node, other_drawn))

    def _other_supports(self, scene: Any) -> tuple[Any, Sequence[Drawn]]:
        if not (self.support_volume_id and self.support_segmentation_id):
            return None, ()
        volume_node = scene.GetNodeByID(self.support_volume_id)
        node = scene.GetNodeByID(self.support_segmentation_id)
        if volume_node is None or node is None:
            return None, ()
        if self.support_segmentation_id == self.segmentation_id:
            raise UserError(_("The other volume's segmentation is the output segmentation: choose another one there."))
        drawn = all_drawn(node, read_volume_geometry(volume_node), self.plane)
        return node, evenly_chosen(drawn, MOST_OTHER_SLICES)


@dataclass(frozen=True, eq=False)
class Supports:
    """Drawn slices in the worker's terms.

    Attributes:
        targets: segment of each label number.
        entries: for the worker's parameters.
        masks: by the name that an entry gives.
    """

    targets: dict[int, Target]
    entries: list[dict[str, Any]] = field(default_factory=list)
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, label: int, drawn: Drawn) -> None:
        name = f"mask{len(self.masks)}"
        self.masks[name] = np.ascontiguousarray(drawn.mask, dtype=np.uint8)
        self.entries.append(
            {"volume": drawn.volume_node_id, "label": label, "slice_index": int(drawn.slice_index), "mask": name}
        )


class FewShotPlan:
    """See :class:`MomentumSegLib.run_request.RunPlan`.

    Args:
        request: that is run.
        region: to segment; None: all.
        supports: the drawn slices.
    """

    method = "segment"
    has_stages = True

    def __init__(self, request: FewShotRequest, region: Region | None, supports: Supports) -> None:
        self._request = request
        self._region = region
        self._supports = supports
        self.arrays = supports.masks
        self.shown: Mapping[int, Target] = supports.targets
        self.other_volumes = sorted({str(entry["volume"]) for entry in supports.entries} - {request.volume_id})
        self.advice = _("Correct a slice that is wrong and apply again.")

    def parameters(self, volume_id: str) -> dict[str, Any]:
        request = self._request
        return {
            "plane": request.plane,
            "supports": self._supports.entries,
            "slice_range": None if request.slice_range is None else list(request.slice_range),
            "box": worker_box(self._region),
            "consistency": None,
            "keep_iterates": volume_id == request.volume_id,
        }

    def targets(self, segmentation_node: Any, answers: Sequence[Answer]) -> Mapping[int, Target]:
        return self._supports.targets

    def superseded(self, segmentation_node: Any) -> Sequence[str]:
        return ()

    def remarks(self, answers: Sequence[Answer], drawn: Collected) -> Sequence[str]:
        return ()


def gather_supports(
    segmentation_node: Any, drawn: Sequence[Drawn], other_node: Any = None, other_drawn: Sequence[Drawn] = ()
) -> Supports:
    """Number the segments that have drawn slices; those of another segmentation are matched by name.

    Raises:
        UserError: nothing is drawn.
    """
    segmentation = segmentation_node.GetSegmentation()
    labels: dict[str, int] = {}  # by name
    supports = Supports({})
    for entry in drawn:
        segment = segmentation.GetSegment(entry.segment_id)
        name = segment.GetName()
        key = entry.segment_id
        if key not in labels:
            labels[key] = len(supports.targets) + 1
            supports.targets[labels[key]] = Target(entry.segment_id, name, tuple(segment.GetColor()))
        supports.add(labels[key], entry)
    for entry in other_drawn:
        segment = other_node.GetSegmentation().GetSegment(entry.segment_id)
        here = segmentation.GetSegmentIdBySegmentName(segment.GetName())
        key = here or f"name: {segment.GetName()}"
        if key not in labels:
            labels[key] = len(supports.targets) + 1
            supports.targets[labels[key]] = Target(here, segment.GetName(), tuple(segment.GetColor()))
        supports.add(labels[key], entry)
    if not supports.entries:
        raise UserError(_("Nothing is drawn yet: add a segment and draw the structure on at least one slice."))
    return supports
