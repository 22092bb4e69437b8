"""The ``[data]`` table of a recipe, checked: on which grid, in which patches and with which cases a network trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from momentumseg.errors import InputError
from momentumseg.geometry.canonical_grid import VOLUME
from momentumseg.geometry.network_space import ACQUISITION, PLANES
from momentumseg.io.datasets import patient_pattern
from momentumseg.transforms.case_intensity import PERCENTILE, IntensityRule, checked_intensity_rule

MEDIAN, OWN = "median", "own"
_COUNTS = ("split_seed",)
_SHARES = ("validation", "test")
_MAY_BE_MISSING = ("labelled", "fold")


@dataclass(frozen=True)
class DataSettings:
    """How cases become patches, and which cases are for what.

    Attributes:
        patch: sides of a patch in grid voxels, (D, H, W), or (H, W) of a slice.
        spacing: of the grid in mm (d, h, w); "median" of the labelled cases; "own" of each volume. Nothing is
            interpolated across the slices of a network of two dimensions unless three numbers ask for it.
        plane: "volume" for patches in three dimensions; for slices axial, coronal, sagittal or acquisition.
        intensity: "zscore", "percentile" or a window [low, high] in the volume's own units.
        foreground: part of the patches that is centred on a structure.
        patient: regular expression whose first group is the patient of a case name; by default a trailing time, phase
            or side is left out of the name, see :func:`momentumseg.io.datasets.patient_of`.
        validation, test: part of the labelled patients, or their number from 1 up.
        labelled: number of training patients whose labels are used; the others count as unlabelled. For experiments.
        fold: of the data folder's ``splits_final.json`` (nnU-Net); None splits by patient at random.
        split_seed: of that random split.
        labels: name of each label value; by default from ``dataset.json`` or as found in the labelmaps.

    Raises:
        InputError: a value out of its range.
    """

    patch: tuple[int, ...]
    spacing: str | tuple[float, ...] = MEDIAN
    plane: str = VOLUME
    intensity: IntensityRule = PERCENTILE
    foreground: float = 0.5
    patient: str | None = None
    validation: float = 0.2
    test: float = 0.0
    labelled: int | None = None
    fold: int | None = None
    split_seed: int = 0
    labels: Mapping[int, str] | None = None

    def __post_init__(self) -> None:
        self._check_patch()
        self._check_spacing()
        for name in _SHARES:
            value = getattr(self, name)
            if not _is_number(value) or value < 0 or (value >= 1 and value != int(value)):
                raise InputError(
                    f"The recipe's data.{name} is {value!r}; use a part of the patients below 1, or their number."
                )
        for name in (*_COUNTS, *_MAY_BE_MISSING):
            value, least = getattr(self, name), 1 if name == "labelled" else 0
            if value is None and name in _MAY_BE_MISSING:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"The recipe's data.{name} is {value!r}; use a whole number of {least} or more.")
        if not _is_number(self.foreground) or not 0 <= self.foreground <= 1:
            raise InputError(f"The recipe's data.foreground is {self.foreground!r}; use a number from 0 to 1.")
        checked_intensity_rule(self.intensity)
        if self.patient is not None:
            patient_pattern(self.patient)

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> DataSettings:
        """Settings of a recipe.

        Raises:
            InputError: no patch, an unknown option or a value out of its range.
        """
        table = recipe.get("data", {})
        if not isinstance(table, Mapping) or "patch" not in table:
            raise InputError(
                "The recipe does not say how large its patches are; set data.patch, for example [32,32,32]."
            )
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(table) - known)
        if unknown:
            raise InputError(
                f"The recipe's [data] table has the unknown option {unknown[0]!r}; "
                f"known are {', '.join(sorted(known))}."
            )
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
        }
        if values.get("labels") is not None:
            values["labels"] = _label_names(values["labels"])
        return cls(**values)

    @property
    def dimensions(self) -> int:
        """2 for slices, 3 for volumes."""
        return len(self.patch)

    def _check_patch(self) -> None:
        sides = self.patch
        if not isinstance(sides, tuple) or len(sides) not in (2, 3) or not all(_is_side(side) for side in sides):
            raise InputError(
                f"The recipe's data.patch is {_listed(sides)}; use two whole numbers for slices or three for volumes."
            )
        if self.plane not in (VOLUME, ACQUISITION, *PLANES):
            raise InputError(
                f"The recipe's data.plane is {self.plane!r}; use {VOLUME}, {ACQUISITION}, {', '.join(PLANES)}."
            )
        if (self.plane == VOLUME) != (len(sides) == 3):
            wanted = "three sides" if self.plane == VOLUME else "two sides"
            raise InputError(
                f"The recipe's data.patch {_listed(sides)} does not fit data.plane = {self.plane!r}, "
                f"which needs {wanted}."
            )

    def _check_spacing(self) -> None:
        spacing = self.spacing
        if spacing in (MEDIAN, OWN):
            return
        is_lengths = isinstance(spacing, tuple) and all(_is_number(value) and value > 0 for value in spacing)
        if not is_lengths or len(spacing) not in (self.dimensions, 3):
            raise InputError(
                f"The recipe's data.spacing is {_listed(spacing)}; use '{MEDIAN}', '{OWN}' or lengths in mm such as "
                "[1.0, 1.0, 1.0]."
            )


def _label_names(table: object) -> dict[int, str]:
    """Names by value of the recipe's [data.labels] table, whose keys are texts."""
    if not isinstance(table, Mapping) or not all(str(value).isdigit() for value in table):
        raise InputError(f"The recipe's data.labels is {table!r}; use label = name, for example 1 = 'liver'.")
    return {int(value): str(name) for value, name in table.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _listed(value: object) -> object:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else repr(value)
