"""What a few-shot run is asked to do, as IDs and plain values, and what it asks of the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MomentumSegLib.drawn_slices import Drawn
from MomentumSegLib.errors import UserError
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import VolumeGeometry, array_of, linear_transform_to_world

Region = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

# Slices that are taken of each segment of another, finished segmentation: enough for the method, and soon encoded.
MOST_OTHER_SLICES = 5


@dataclass(frozen=True)
class FewShotRequest:
    """A run, by node IDs, which may vanish at any time.

    Attributes:
        volume_id: of the volume to segment.
        segmentation_id: of the segmentation that is drawn in and receives the result.
        plane: axial, coronal or sagittal.
        model, device: as the worker names them.
        model_title, device_name: as people name them.
        slice_range: first slice and the one behind the last; None: all.
        region_id: of a markups ROI; empty: the whole volume.
        support_volume_id, support_segmentation_id: another segmented volume as example; empty: none.
        all_frames: segment every frame of the sequence whose present frame the volume shows.
    """

    volume_id: str
    segmentation_id: str
    plane: str
    model: str
    device: str
    model_title: str = ""
    device_name: str = ""
    slice_range: tuple[int, int] | None = None
    region_id: str = ""
    support_volume_id: str = ""
    support_segmentation_id: str = ""
    all_frames: bool = False


@dataclass(frozen=True)
class Target:
    """Where the result of a label goes.

    Attributes:
        segment_id: of the output segmentation; empty where the segment does not exist yet.
        name, color: of the segment.
    """

    segment_id: str
    name: str
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)


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


def region_to_segment(roi_node: Any, slices: SliceGeometry, slice_range: tuple[int, int] | None) -> Region | None:
    """Return the part of a volume to segment as ((k0, k1), (j0, j1), (i0, i1)), ends excluded; None: all of it.

    A box that is turned against the volume is taken with its corners, so that all of it is segmented.

    Raises:
        UserError: the box or the range lies outside the volume, or the box has no size.
    """
    bounds = [[0, count] for count in slices.volume.shape]
    if slice_range is not None:
        first, end = max(0, slice_range[0]), min(slices.count, slice_range[1])
        if first >= end:
            raise UserError(
                _("The range of slices {first} to {last} is not in the volume, which has {count}: choose it again.")
                .format(first=slice_range[0], last=slice_range[1] - 1, count=slices.count)
            )  # fmt: skip
        bounds[slices.axis] = [first, end]
    if roi_node is not None:
        box = _box_of(roi_node, slices.volume)
        for axis in range(3):
            bounds[axis] = [max(bounds[axis][0], box[axis][0]), min(bounds[axis][1], box[axis][1])]
        if any(first >= end for first, end in bounds):
            raise UserError(
                _("The box '{name}' does not cover any of the volume's slices to segment: move it, or choose no box.")
                .format(name=roi_node.GetName())
            )  # fmt: skip
    if [end - first for first, end in bounds] == list(slices.volume.shape):
        return None
    (k0, k1), (j0, j1), (i0, i1) = bounds
    return (k0, k1), (j0, j1), (i0, i1)


def _box_of(roi_node: Any, volume: VolumeGeometry) -> list[tuple[int, int]]:
    """Bounds of a ROI along K, J and I: the voxels whose centres lie in it."""
    size = np.array(roi_node.GetSize())
    if not (size > 0).all():
        raise UserError(
            _("The box '{name}' has no size: place it in a slice view, or choose no box.")
            .format(name=roi_node.GetName())
        )  # fmt: skip
    signs = np.array([(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    corners = np.column_stack([signs * size / 2, np.ones(8)])
    to_world = linear_transform_to_world(roi_node) @ array_of(roi_node.GetObjectToNodeMatrix())
    ijk = np.linalg.solve(volume.ijk_to_ras, to_world @ corners.T)[:3]
    first = np.ceil(ijk.min(axis=1) - 1e-6).astype(int)
    end = np.floor(ijk.max(axis=1) + 1e-6).astype(int) + 1
    return [(int(first[axis]), int(end[axis])) for axis in (2, 1, 0)]
