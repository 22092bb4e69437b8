"""What following objects through a volume returns: slices as they come, and one label map of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.sessions.label_distribution import normalized_entropy
from momentumseg.sessions.prompt_decoder import SlicePrediction
from momentumseg.volumes.volume import Volume

Source = Literal["prompted", "followed", "between"]

# Logit below which a voxel is certainly outside (probability 0.05): nothing is kept there.
_CERTAINLY_OUTSIDE = -3.0


@dataclass(frozen=True)
class FollowedSlice:
    """One object on one slice, in half precision and cut to where it may be.

    Attributes:
        object_id, label, slice_index: which object, where.
        origin: (row, column) of the cut in the volume's own slice layout.
        logits: float16 (rows, columns) of the cut; the mask is where they are positive.
        predicted_iou: what the network expects the overlap with the truth to be.
        source: "prompted" by the user, "followed" from one side, or "between" two prompted slices.
        is_final: False when a later one of the same slice will replace it.
    """

    object_id: int
    label: int
    slice_index: int
    origin: tuple[int, int]
    logits: np.ndarray = field(repr=False)
    predicted_iou: float
    source: Source
    is_final: bool = True

    @classmethod
    def of(
        cls, prediction: SlicePrediction, object_id: int, label: int, source: Source, is_final: bool = True
    ) -> FollowedSlice:
        """Cut a prediction; one that is certainly empty has no rows and columns."""
        possible = prediction.logits > _CERTAINLY_OUTSIDE
        rows, columns = np.flatnonzero(possible.any(axis=1)), np.flatnonzero(possible.any(axis=0))
        row, column = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
        row_end, column_end = (int(rows[-1]) + 1, int(columns[-1]) + 1) if len(rows) else (0, 0)
        cut = np.clip(prediction.logits[row:row_end, column:column_end], -60, 60).astype(np.float16)
        return cls(
            object_id,
            label,
            prediction.slice_index,
            (row, column),
            cut,
            prediction.predicted_iou,
            source,
            is_final,
        )

    @property
    def mask(self) -> np.ndarray:
        """Boolean mask of the cut."""
        return self.logits > 0

    @property
    def window(self) -> tuple[slice, slice]:
        """Where the cut lies in its slice."""
        row, column = self.origin
        return slice(row, row + self.logits.shape[0]), slice(column, column + self.logits.shape[1])

    @property
    def uncertainty(self) -> np.ndarray:
        """Float32 of the cut in [0, 1]: the entropy of each voxel; inside the mask at least 1 - predicted IoU."""
        probability = torch.sigmoid(torch.from_numpy(self.logits.astype(np.float32))).numpy()
        entropy = normalized_entropy(probability[None])
        return np.where(self.mask, np.maximum(entropy, np.float32(1.0 - self.predicted_iou)), entropy)


OnFollowed = Callable[[FollowedSlice], None]


@dataclass(frozen=True)
class FollowedEnds:
    """Why an object was not followed further, on each side.

    Attributes:
        first, last: its outermost slices.
        before_first, after_last: sentences without a full stop.
    """

    first: int
    last: int
    before_first: str
    after_last: str


@dataclass(frozen=True)
class FollowResult:
    """Objects that were followed through a volume.

    Attributes:
        volume: that they are in.
        space: of its slices.
        slices: object id -> slice index -> what was found.
        ends: object id -> why it was not followed further.
        seconds: that it took.
    """

    volume: Volume = field(repr=False)
    space: NetworkSpace = field(repr=False)
    slices: Mapping[int, Mapping[int, FollowedSlice]] = field(repr=False)
    ends: Mapping[int, FollowedEnds]
    seconds: float

    @property
    def labels(self) -> list[int]:
        """Labels of the objects, ascending."""
        return sorted({found.label for by_slice in self.slices.values() for found in by_slice.values()})

    @property
    def slice_indices(self) -> list[int]:
        """Slices on which something was looked for and found, ascending."""
        return sorted({index for by_slice in self.slices.values() for index in by_slice})

    def on_slice(self, slice_index: int) -> list[FollowedSlice]:
        """All objects on a slice, in the order of their labels."""
        found = [by_slice[slice_index] for by_slice in self.slices.values() if slice_index in by_slice]
        return sorted(found, key=lambda one: (one.label, one.object_id))

    @cached_property
    def labelmap(self) -> Volume:
        """Uint8 (uint16 when a label exceeds 255) label map; where objects overlap the surer one has the voxel."""
        dtype = np.uint16 if self.labels and self.labels[-1] > 255 else np.uint8
        voxels: np.ndarray = np.zeros(self.space.shape, dtype=dtype)
        along = np.moveaxis(voxels, self.space.slice_axis, 0)
        for index in self.slice_indices:
            resolve_labels(self.on_slice(index), along[index])
        return Volume(voxels, self.volume.ijk_to_ras, self.volume.name)

    @property
    def uncertainty(self) -> Volume:
        """Float32 volume in [0, 1], see :attr:`FollowedSlice.uncertainty`; 0 where nothing was found. Not kept."""
        voxels: np.ndarray = np.zeros(self.space.shape, dtype=np.float32)
        along = np.moveaxis(voxels, self.space.slice_axis, 0)
        for index in self.slice_indices:
            for found in self.on_slice(index):
                part = along[index][found.window]
                np.maximum(part, found.uncertainty, out=part)
        return Volume(voxels, self.volume.ijk_to_ras, self.volume.name)

    @property
    def least_certain_slice(self) -> int | None:
        """The slice most worth another prompt: the least predicted IoU of an object, prompted slices left out."""
        open_slices = [
            (found.predicted_iou, index)
            for by_slice in self.slices.values()
            for index, found in by_slice.items()
            if found.source != "prompted"
        ]
        return min(open_slices)[1] if open_slices else None


def resolve_labels(objects: Sequence[FollowedSlice], labels: np.ndarray) -> None:
    """Write the labels of objects on one slice: a voxel goes to the object with the largest logit, if positive.

    The lower label wins ties, so that the order of the objects has no influence.
    """
    best = np.zeros(labels.shape, dtype=np.float16)
    for found in sorted(objects, key=lambda one: (one.label, one.object_id)):
        surer = found.logits > best[found.window]
        labels[found.window][surer] = found.label
        best[found.window][surer] = found.logits[surer]
