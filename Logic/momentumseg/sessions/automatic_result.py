"""What automatic segmentation returns: labels, uncertainty and what is measured in them, made layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from momentumseg.geometry.canonical_layers import GridPart
from momentumseg.sessions.label_distribution import mean_uncertainty, normalized_entropy
from momentumseg.transforms.data_statistics import LabelTable
from momentumseg.volumes.volume import Volume


@dataclass(frozen=True)
class AutomaticResult:
    """Segmentation of a volume.

    Attributes:
        labelmap: uint8 (uint16 when a label exceeds 255), geometry of the volume; 0 outside the computed box.
        uncertainty_bytes: uint8 (K, J, I), 0 .. 255 is 0 .. 1; what :attr:`uncertainty` is made of.
        label_names: of all labels that the model knows, also those that were not found.
        volume_ml: of each of them.
        label_uncertainty: mean uncertainty of its voxels; 0 without voxels.
        mean_uncertainty: for each computed slice (the volume's own index) the uncertainty in and around the structures.
        slice_axis: axis of (K, J, I) arrays along which these slices count.
        seconds: that it took.
    """

    labelmap: Volume
    uncertainty_bytes: np.ndarray = field(repr=False)
    label_names: dict[int, str]
    volume_ml: dict[int, float]
    label_uncertainty: dict[int, float]
    mean_uncertainty: dict[int, float]
    slice_axis: int
    seconds: float

    @property
    def uncertainty(self) -> Volume:
        """Float32 volume in [0, 1]: entropy of the label distribution over its maximum; 0 outside the computed box."""
        fractions = self.uncertainty_bytes.astype(np.float32)
        fractions /= np.float32(255.0)
        return self.labelmap.like(fractions)


class LabelWriter:
    """Turns layers of probabilities into labels and uncertainty at their place in the volume.

    Args:
        volume: that is segmented.
        part: of it, and the order in which its slices come.
        labels: what the network's classes after the background are.
    """

    def __init__(self, volume: Volume, part: GridPart, labels: LabelTable) -> None:
        self._volume = volume
        self._part = part
        self._table = labels
        self._labels: np.ndarray = np.zeros(volume.shape, dtype=np.min_scalar_type(labels.values[-1]))
        self._uncertainty: np.ndarray = np.zeros(volume.shape, dtype=np.uint8)
        self._counts, self._doubts = np.zeros(labels.classes), np.zeros(labels.classes)
        self._of_slices: dict[int, float] = {}

    def add(self, first: int, probabilities: np.ndarray) -> None:
        """Take float32 ``(classes, n, h, w)`` of the part's slices from ``first`` on."""
        labels, uncertainty = self._part.view(self._labels), self._part.view(self._uncertainty)
        for number, of_slice in enumerate(np.moveaxis(probabilities, 1, 0), first):
            chosen = of_slice.argmax(axis=0)
            doubt = normalized_entropy(of_slice[1:])
            labels[number] = self._table.to_values(chosen)
            uncertainty[number] = np.rint(doubt * 255.0)
            flat = chosen.ravel()
            self._counts += np.bincount(flat, minlength=self._table.classes)
            self._doubts += np.bincount(flat, weights=doubt.ravel(), minlength=self._table.classes)
            self._of_slices[self._index(number)] = mean_uncertainty(of_slice[1:])

    def result(self, seconds: float) -> AutomaticResult:
        """What was written."""
        ml = abs(float(np.linalg.det(self._volume.ijk_to_ras[:3, :3]))) / 1000.0
        means = self._doubts / np.maximum(self._counts, 1.0)
        positions = list(enumerate(self._table.values, start=1))
        return AutomaticResult(
            labelmap=self._volume.like(self._labels),
            uncertainty_bytes=self._uncertainty,
            label_names=dict(zip(self._table.values, self._table.names, strict=True)),
            volume_ml={label: float(self._counts[position] * ml) for position, label in positions},
            label_uncertainty={label: float(means[position]) for position, label in positions},
            mean_uncertainty=dict(sorted(self._of_slices.items())),
            slice_axis=self._part.grid.slice_axis,
            seconds=seconds,
        )

    def _index(self, number: int) -> int:
        """The volume's own index of a slice of the part."""
        axis = self._part.grid.axes[0]
        oriented = self._part.voxels[0].start + number
        return axis.count - 1 - oriented if axis.flipped else oriented
