"""Prompts: what a user points at on one slice, and which prompts cannot be used.

Coordinates are ``(x, y)`` = (column, row) of the slice in the volume's own layout, voxel centres at whole numbers: the
slice of a ``(K, J, I)`` array orthogonal to the slice axis is indexed ``[row, column]``. Axial slices of an ordinary
scan have x = i and y = j.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from momentumseg.errors import EmptySupportError, GeometryError, InputError

Scribbled = tuple[tuple[float, float], ...]

# Points that a scribble becomes: networks saw a few clicks at a time when they were trained.
SCRIBBLE_POINTS = 6


@dataclass(frozen=True)
class PointPrompt:
    """A click: this voxel belongs to the structure, or (not ``positive``) does not.

    A single click may mean a part or the whole: ``choice`` says which of the offered masks was meant, counted from the
    one with the best predicted IoU; None takes that one.
    """

    x: float
    y: float
    positive: bool = True
    choice: int | None = None

    @property
    def voxel(self) -> tuple[int, int]:
        """Nearest voxel (column, row)."""
        return math.floor(self.x + 0.5), math.floor(self.y + 0.5)


@dataclass(frozen=True)
class BoxPrompt:
    """A box around the structure, from the corner (x0, y0) to (x1, y1) with x0 < x1 and y0 < y1."""

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def between(cls, first: tuple[float, float], second: tuple[float, float]) -> BoxPrompt:
        """Box of two opposite corners in any order."""
        (xa, ya), (xb, yb) = first, second
        return cls(min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb))

    @classmethod
    def around(cls, mask: np.ndarray, margin: float | tuple[float, float] = 0.0) -> BoxPrompt:
        """Box through the outermost voxel centres of a mask (rows, columns), ``margin`` (x, y) voxels further out.

        Raises:
            EmptySupportError: the mask is empty.
        """
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            raise EmptySupportError("The mask is empty, so that no box can be put around it: draw something first.")
        x, y = margin if isinstance(margin, tuple) else (margin, margin)
        return cls(float(columns[0] - x), float(rows[0] - y), float(columns[-1] + x), float(rows[-1] + y))

    def contains(self, point: PointPrompt) -> bool:
        return self.x0 <= point.x <= self.x1 and self.y0 <= point.y <= self.y1

    def clipped(self, shape: tuple[int, int]) -> BoxPrompt:
        """The part of it on a slice of ``shape`` (rows, columns), whose voxels reach half a voxel around centres."""
        rows, columns = shape
        return BoxPrompt(max(self.x0, -0.5), max(self.y0, -0.5), min(self.x1, columns - 0.5), min(self.y1, rows - 0.5))


@dataclass(frozen=True)
class ScribblePrompt:
    """A stroke through the structure, or (not ``positive``) through what does not belong to it."""

    path: Scribbled
    positive: bool = True

    @classmethod
    def from_mask(cls, mask: np.ndarray, positive: bool = True, count: int = SCRIBBLE_POINTS) -> ScribblePrompt:
        """Scribble of painted voxels (rows, columns): voxels of the paint that are far from each other.

        Raises:
            EmptySupportError: nothing is painted.
        """
        y, x = np.nonzero(mask)
        if not len(x):
            raise EmptySupportError("Nothing is painted, so that there is no scribble: paint a stroke first.")
        painted = np.stack([x, y], axis=1).astype(float)
        chosen = [int(((painted - painted.mean(axis=0)) ** 2).sum(axis=1).argmin())]
        distance = np.full(len(painted), np.inf)
        while len(chosen) < min(count, len(painted)):
            distance = np.minimum(distance, ((painted - painted[chosen[-1]]) ** 2).sum(axis=1))
            chosen.append(int(distance.argmax()))
        return cls(tuple((float(px), float(py)) for px, py in painted[chosen]), positive)

    def points(self, count: int = SCRIBBLE_POINTS) -> list[PointPrompt]:
        """At most ``count`` points, at equal distances along the stroke when it has more."""
        path = np.asarray(self.path, dtype=float)
        if len(path) > count:
            steps = np.hypot(*np.diff(path, axis=0).T)
            length = np.concatenate([[0.0], np.cumsum(steps)])
            wanted = np.linspace(0.0, length[-1], count)
            path = np.stack([np.interp(wanted, length, path[:, axis]) for axis in (0, 1)], axis=1)
        return [PointPrompt(float(x), float(y), self.positive) for x, y in path]


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """A mask that exists already and is to be refined, boolean (rows, columns)."""

    mask: np.ndarray = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MaskPrompt) and np.array_equal(self.mask, other.mask)

    def __hash__(self) -> int:
        return hash(self.mask.tobytes())


Prompt = PointPrompt | BoxPrompt | ScribblePrompt | MaskPrompt


def checked_prompt(prompt: Prompt, slice_index: int, shape: tuple[int, int]) -> Prompt:
    """The prompt as it is used on a slice of ``shape`` (rows, columns): boxes are cut to the slice.

    Raises:
        InputError: outside the slice, a box of zero size, or no numbers.
        GeometryError: a mask of another shape.
        EmptySupportError: an empty mask or stroke.
    """
    if isinstance(prompt, PointPrompt):
        _check_inside([(prompt.x, prompt.y)], "point", slice_index, shape)
        return prompt
    if isinstance(prompt, BoxPrompt):
        return _checked_box(prompt, slice_index, shape)
    if isinstance(prompt, ScribblePrompt):
        if not prompt.path:
            raise EmptySupportError(f"The scribble on slice {slice_index} has no points: draw a stroke.")
        _check_inside(prompt.path, "scribble", slice_index, shape)
        return prompt
    return MaskPrompt(_checked_mask(prompt.mask, slice_index, shape))


def check_no_contradiction(prompts: Sequence[Prompt], slice_index: int) -> None:
    """Refuse a place that is said to be both inside and outside.

    Raises:
        InputError: two points with different signs on the same voxel.
    """
    signs: dict[tuple[int, int], bool] = {}
    for point in points_of(prompts):
        if signs.setdefault(point.voxel, point.positive) != point.positive:
            x, y = point.voxel
            raise InputError(
                f"The point ({x}, {y}) on slice {slice_index} is marked as inside and as outside of the structure: "
                "remove one of the two."
            )


def points_of(prompts: Sequence[Prompt]) -> list[PointPrompt]:
    """All points of prompts, those of scribbles among them, in order."""
    points: list[PointPrompt] = []
    for prompt in prompts:
        if isinstance(prompt, PointPrompt):
            points.append(prompt)
        elif isinstance(prompt, ScribblePrompt):
            points += prompt.points()
    return points


def boxes_of(prompts: Sequence[Prompt]) -> list[BoxPrompt]:
    """All boxes of prompts, in order."""
    return [prompt for prompt in prompts if isinstance(prompt, BoxPrompt)]


def _checked_box(box: BoxPrompt, slice_index: int, shape: tuple[int, int]) -> BoxPrompt:
    corners = (box.x0, box.y0, box.x1, box.y1)
    words = ", ".join(f"{value:g}" for value in corners)
    if not all(math.isfinite(value) for value in corners):
        raise InputError(f"The box ({words}) on slice {slice_index} has corners that are no numbers: draw it again.")
    box = BoxPrompt.between((box.x0, box.y0), (box.x1, box.y1))
    if box.x0 == box.x1 or box.y0 == box.y1:
        raise InputError(f"The box ({words}) on slice {slice_index} has no area: give two opposite corners.")
    clipped = box.clipped(shape)
    if clipped.x0 >= clipped.x1 or clipped.y0 >= clipped.y1:
        raise InputError(
            f"The box ({words}) lies outside slice {slice_index}, which has {shape[1]} columns and {shape[0]} rows: "
            "draw it around the structure."
        )
    return clipped


def _check_inside(places: Sequence[tuple[float, float]], what: str, slice_index: int, shape: tuple[int, int]) -> None:
    rows, columns = shape
    for x, y in places:
        if not (-0.5 <= x < columns - 0.5 and -0.5 <= y < rows - 0.5):  # false for NaN too
            raise InputError(
                f"The {what} at ({x:g}, {y:g}) lies outside slice {slice_index}, which has {columns} columns and "
                f"{rows} rows: place it on the image."
            )


def _checked_mask(mask: np.ndarray, slice_index: int, shape: tuple[int, int]) -> np.ndarray:
    voxels = np.asarray(mask)
    if voxels.shape != shape:
        raise GeometryError(
            f"The mask has {voxels.shape} voxels but slice {slice_index} has {shape}: give the slice of a labelmap "
            "with the volume's geometry."
        )
    if voxels.dtype.kind not in "biuf" or (voxels.dtype.kind == "f" and not np.isfinite(voxels).all()):
        raise InputError("The mask holds values that are not numbers: give zeros and ones.")
    drawn = voxels != 0
    if not drawn.any():
        raise EmptySupportError(f"The mask on slice {slice_index} is empty: there is nothing to refine.")
    drawn.setflags(write=False)
    return drawn
