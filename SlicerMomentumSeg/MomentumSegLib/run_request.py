"""What a run over a volume is asked to do, whatever its method: IDs and plain values, and the plan made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from MomentumSegLib.drawn_slices import Collected
from MomentumSegLib.segmentation_output import Region
from MomentumSegLib.slice_geometry import SliceGeometry

# What the worker answered for a volume, or for one frame of a sequence: values and arrays.
Answer = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class RunRequest:
    """A run, by node IDs, which may vanish at any time. Each method has its own kind of request.

    Attributes:
        volume_id: of the volume to segment.
        segmentation_id: of the segmentation that is drawn in and receives the result.
        plane: axial, coronal or sagittal: of drawn slices, and of the slice range.
        model, device: as the worker names them.
        model_title, device_name: as people name them.
        slice_range: first slice and the one behind the last; None: all.
        region_id: of a markups ROI; empty: the whole volume.
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
    all_frames: bool = False

    def plan(self, scene: Any, slices: SliceGeometry, region: Region | None, drawn: Collected) -> RunPlan:
        """Read the rest of what the run needs from the scene.

        Args:
            scene: the MRML scene.
            slices: of the volume.
            region: to segment; None: all.
            drawn: what the user drew in the segmentation.

        Raises:
            UserError: something is missing.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Target:
    """Where the result of a label goes.

    Attributes:
        segment_id: of the output segmentation; empty where the segment does not exist yet.
        name: of the segment.
        color: of the segment; None: the segmentation chooses one.
        tag: remembered with the segment, so that it is found again after it was renamed; empty: nothing.
    """

    segment_id: str
    name: str
    color: tuple[float, float, float] | None = (0.5, 0.5, 0.5)
    tag: str = ""


class RunPlan(Protocol):
    """What is particular to a method, once the scene was read.

    Attributes:
        method: of the worker.
        arrays: for the worker, by name.
        other_volumes: IDs of further volumes that the worker must know.
        has_stages: whether the worker keeps the stages of its refinement.
        advice: what the user can do with the result, in one sentence.
        shown: segments of the labels that arrive slice by slice; empty: nothing is shown before the end.
    """

    method: str
    arrays: Mapping[str, np.ndarray]
    other_volumes: Sequence[str]
    has_stages: bool
    advice: str
    shown: Mapping[int, Target]

    def parameters(self, volume_id: str) -> Mapping[str, Any]:
        """What the worker's method takes beside volume, model and device."""

    def targets(self, segmentation_node: Any, answers: Sequence[Answer]) -> Mapping[int, Target]:
        """Segment of each label number of the answers. Raises `UserError` where there is nothing to write."""

    def superseded(self, segmentation_node: Any) -> Sequence[str]:
        """IDs of unused segments that go when new ones come."""

    def remarks(self, answers: Sequence[Answer], drawn: Collected) -> Sequence[str]:
        """Sentences about the result, for the status line."""
