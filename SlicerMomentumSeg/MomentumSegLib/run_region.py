"""The part of a volume that a run segments: a range of slices and a box, as voxels."""

from __future__ import annotations

from typing import Any

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.segmentation_output import Region
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.translation import tr as _
from MomentumSegLib.volume_data import VolumeGeometry, array_of, linear_transform_to_world


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


def worker_box(region: Region | None) -> list[list[int]] | None:
    """A region as the worker takes it: [[i0, i1], [j0, j1], [k0, k1]], ends excluded."""
    return None if region is None else [list(bounds) for bounds in reversed(region)]
