"""What was learnt from the training data and inference needs again: grid, patch, channels, intensities and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from momentumseg.errors import InputError
from momentumseg.geometry.canonical_grid import VOLUME, CanonicalGrid
from momentumseg.transforms.case_intensity import IntensityRule, checked_intensity_rule

MOST_LABELS = 255
"""Structures that a network can tell apart: indices are kept in 8 bits."""


@dataclass(frozen=True)
class LabelTable:
    """The structures of a data set: a network counts them 1, 2, ..., files have ``values`` of their own.

    Attributes:
        values: label of each structure in files, ascending.
        names: of each structure.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.names) or list(self.values) != sorted(set(self.values)):
            raise InputError(f"The labels {self.values} and their names {self.names} do not belong together.")
        if not self.values or self.values[0] < 1:
            raise InputError(f"The labels {self.values} cannot be trained; structures have labels from 1 up.")
        if len(self.values) > MOST_LABELS:
            raise InputError(f"There are {len(self.values)} labels; at most {MOST_LABELS} can be trained at once.")

    @classmethod
    def of(cls, names: Mapping[int, str]) -> LabelTable:
        """Table of label value -> name."""
        return cls(tuple(sorted(names)), tuple(names[value] for value in sorted(names)))

    @property
    def classes(self) -> int:
        """Channels of a network's output, background included."""
        return len(self.values) + 1

    def to_indices(self, labelmap: np.ndarray) -> np.ndarray:
        """uint8 indices 0, 1, ... of a label map with the files' values; values that are not in the table become 0."""
        table = np.zeros(max(int(labelmap.max(initial=0)), self.values[-1]) + 1, dtype=np.uint8)
        table[list(self.values)] = np.arange(1, self.classes)
        return table[labelmap]

    def to_values(self, indices: np.ndarray) -> np.ndarray:
        """Label map with the files' values, in the smallest type that holds them, of indices 0, 1, ..."""
        table = np.array((0, *self.values), dtype=np.min_scalar_type(self.values[-1]))
        return table[indices]


@dataclass(frozen=True)
class DataStatistics:
    """How a volume becomes the network's input, and what its output means.

    Attributes:
        spacing: (d, h, w) of the network's grid in mm; None keeps a volume's own.
        plane: see :class:`CanonicalGrid`; "volume" for patches in three dimensions.
        patch: sides of the patches the network was trained with, (D, H, W) or (H, W).
        channels: names of the input channels.
        intensity: see :data:`IntensityRule`.
        labels: the structures.
        cases: number of labelled cases behind these numbers.
    """

    spacing: tuple[float | None, float | None, float | None]
    plane: str
    patch: tuple[int, ...]
    channels: tuple[str, ...]
    intensity: IntensityRule
    labels: LabelTable
    cases: int = 0

    @property
    def classes(self) -> int:
        """Channels of the network's output, background included."""
        return self.labels.classes

    @property
    def in_channels(self) -> int:
        """Channels of the network's input."""
        return len(self.channels)

    @property
    def dimensions(self) -> int:
        """2 for slices, 3 for volumes."""
        return len(self.patch)

    def grid_of(self, shape: tuple[int, int, int], ijk_to_ras: np.ndarray) -> CanonicalGrid:
        """The grid on which a volume of (K, J, I) voxels is given to the network."""
        return CanonicalGrid.of(shape, ijk_to_ras, spacing=self.spacing, plane=self.plane)

    def to_mapping(self) -> dict[str, Any]:
        """The same as JSON can keep it; the inverse of :meth:`from_mapping`."""
        return {
            "spacing": list(self.spacing),
            "plane": self.plane,
            "patch": list(self.patch),
            "channels": list(self.channels),
            "intensity": self.intensity if isinstance(self.intensity, str) else list(self.intensity),
            "labels": [
                {"value": value, "name": name}
                for value, name in zip(self.labels.values, self.labels.names, strict=True)
            ],
            "cases": self.cases,
        }

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any]) -> DataStatistics:
        """Statistics of a model file or of a run.

        Raises:
            InputError: something is missing or is not what it should be.
        """
        try:
            labels = {int(entry["value"]): str(entry["name"]) for entry in table["labels"]}
            return cls(
                spacing=_spacing(table["spacing"]),
                plane=str(table.get("plane", VOLUME)),
                patch=tuple(int(side) for side in table["patch"]),
                channels=tuple(str(name) for name in table["channels"]),
                intensity=checked_intensity_rule(table["intensity"]),
                labels=LabelTable.of(labels),
                cases=int(table.get("cases", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"The description of the training data is damaged ({type(error).__name__}: {error}); use another model."
            ) from error


def _spacing(values: Sequence[Any]) -> tuple[float | None, float | None, float | None]:
    depth, height, width = (None if value is None else float(value) for value in values)
    return depth, height, width
