"""The picture of a result: slices with overlay and the drawn slice, the uncertainty, and the surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from momentumseg.cli.surface import Surfaces, render_surfaces
from momentumseg.errors import DependencyError, GeometryError, InputError
from momentumseg.geometry.directions import patient_axes
from momentumseg.io.atomic import atomic_path
from momentumseg.volumes.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLANES = ("axial", "coronal", "sagittal")  # in the order of the display array's axes
_EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}  # left, right, top, bottom
_EDGE_PLACES = ((0.028, 0.5), (0.972, 0.5), (0.5, 0.972), (0.5, 0.028))  # of the axes
_PALETTE = ("#1fc7b6", "#ffb454", "#ef6f9a", "#9ad14b", "#6ea8fe", "#c792ea", "#ffe066", "#ff8a65")
_BACKGROUND, _TEXT, _FAINT, _DRAWN, _REFERENCE = "#0b0d10", "#e8eaed", "#9aa0a6", "#ffe066", "#ffffff"
_WINDOW_PERCENTILES = (0.5, 99.5)
_BACKGROUND_LEVEL = 0.06  # of the window: darker voxels at the border of the image are cut off
_SAMPLE = 2e6  # voxels that the window is estimated from
_SCALE_BARS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
_DPI = 130
_HIDDEN = 0.7  # a structure of which less is seen makes the surface be cut open
_CUT_BESIDE = 0.14  # of the extent: how far beside the middle the other two faces of the opening lie
_CUT_FROM = 0.75  # of the middle height: where the opening begins, if the drawn slices are upright
_SURFACE_PIXELS = 760
_MOST_FRAMES = 12  # of drawn slices around the surface


@dataclass(frozen=True)
class DisplayArrays:
    """A volume and what belongs to it in the orientation of radiologists' screens.

    Axes (z, y, x): from the feet to the head, from the front to the back, from the patient's right to the left.

    Attributes:
        image, labels: (z, y, x).
        uncertainty, reference: (z, y, x), or None.
        spacing: mm along (z, y, x).
        axes: axis of the (K, J, I) array that z, y and x are, and whether each was flipped.
    """

    image: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray | None
    reference: np.ndarray | None
    spacing: tuple[float, float, float]
    axes: tuple[tuple[int, bool], ...]

    def display_index(self, plane: str, slice_index: int) -> int:
        """Index along the display axis of a slice of the volume."""
        axis = PLANES.index(plane)
        return self.image.shape[axis] - 1 - slice_index if self.axes[axis][1] else slice_index

    def section(self, array: np.ndarray, plane: str, index: int) -> np.ndarray:
        """Slice ``(rows, columns)`` as it is shown: head or front up, the patient's right (or front) on the left."""
        pixels = np.take(array, index, axis=PLANES.index(plane))
        return pixels if plane == "axial" else pixels[::-1]

    def size_mm(self, plane: str) -> tuple[float, float]:
        """Height and width of a slice."""
        extents = [count * size for count, size in zip(self.image.shape, self.spacing, strict=True)]
        height, width = (extent for axis, extent in enumerate(extents) if axis != PLANES.index(plane))
        return height, width


def display_arrays(
    volume: Volume, labelmap: Volume, uncertainty: Volume | None = None, reference: Volume | None = None
) -> DisplayArrays:
    """Views (nothing is copied) along the axes nearest to the patient's.

    Raises:
        GeometryError: the arrays differ in their number of voxels.
    """
    given = [volume, labelmap, *(other for other in (uncertainty, reference) if other is not None)]
    if any(other.shape != volume.shape for other in given):
        raise GeometryError("The picture's volume and label maps differ in their voxels; give those of one geometry.")
    left_right, posterior_anterior, inferior_superior = patient_axes(volume.ijk_to_ras)
    axes = (
        (inferior_superior.axis, not inferior_superior.increases),
        (posterior_anterior.axis, posterior_anterior.increases),
        (left_right.axis, left_right.increases),
    )

    def turned(array: np.ndarray) -> np.ndarray:
        ordered = array.transpose([axis for axis, _ in axes])
        return ordered[tuple(slice(None, None, -1 if flipped else 1) for _, flipped in axes)]

    spacing = volume.spacing[::-1]
    return DisplayArrays(
        image=turned(volume.array),
        labels=turned(labelmap.array),
        uncertainty=None if uncertainty is None else turned(uncertainty.array),
        reference=None if reference is None else turned(reference.array),
        spacing=(spacing[axes[0][0]], spacing[axes[1][0]], spacing[axes[2][0]]),
        axes=axes,
    )


def render_result(
    volume: Volume,
    labelmap: Volume,
    uncertainty: Volume | None,
    drawn_slices: Sequence[int],
    path: Path | str,
    title: str,
    *,
    plane: str = "axial",
    subtitle: str = "",
    label_names: Mapping[int, str] | None = None,
    notes: Mapping[int, str] | None = None,
    reference: Volume | None = None,
) -> None:
    """Write a PNG of a segmentation that explains itself.

    Args:
        volume: the image.
        labelmap, uncertainty, reference: on the volume's voxels; the reference's outline is shown too.
        drawn_slices: drawn slices of this volume, in its own indexing; may be empty.
        path: of the PNG.
        title, subtitle: above the panels.
        plane: axial, coronal or sagittal: of the drawn slices.
        label_names: names for the legend.
        notes: a few words for each label in the legend, such as its volume.

    Raises:
        InputError: unknown plane.
        GeometryError: the arrays differ in their number of voxels.
        DependencyError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    if plane not in PLANES:
        raise InputError(f"There is no plane '{plane}' for the picture; choose one of {', '.join(PLANES)}.")
    figure = _new_figure()
    picture = _Picture(
        figure,
        display_arrays(volume, labelmap, uncertainty, reference),
        plane,
        [int(index) for index in drawn_slices],
    )
    picture.draw(title, subtitle, label_names or {}, notes or {})
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor=_BACKGROUND)


def _new_figure() -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(
            "Pictures need the package matplotlib; install it with: pip install 'momentumseg[cli]'."
        ) from error
    figure = Figure(figsize=(16.0, 11.6), facecolor=_BACKGROUND)
    FigureCanvasAgg(figure)
    return figure


class _Picture:
    """Six panels: the drawn slice, the three planes, the uncertainty and the surface."""

    def __init__(self, figure: Figure, arrays: DisplayArrays, plane: str, drawn_slices: Sequence[int]) -> None:
        self._figure = figure
        self._arrays = arrays
        self._plane = plane
        self._drawn = [arrays.display_index(plane, index) for index in drawn_slices]
        self._slice_numbers = dict(zip(self._drawn, drawn_slices, strict=True))
        self._labels = [int(label) for label in np.unique(arrays.labels) if label]
        self._colours = {label: _PALETTE[n % len(_PALETTE)] for n, label in enumerate(self._labels)}
        self._window = _intensity_window(arrays.image)
        content = _content(arrays.image, arrays.labels, self._window)
        self._content_mm = [
            (first * size, last * size) for (first, last), size in zip(content, arrays.spacing, strict=True)
        ]
        self._shown = {name: self._telling_index(name) for name in PLANES}

    def draw(self, title: str, subtitle: str, label_names: Mapping[int, str], notes: Mapping[int, str]) -> None:
        grid = self._figure.add_gridspec(
            2, 3, left=0.012, right=0.988, top=0.905, bottom=0.065, wspace=0.025, hspace=0.03
        )
        panels = [self._figure.add_subplot(grid[row, column]) for row in range(2) for column in range(3)]
        first, uncertain, surface, *results = (panels[index] for index in (0, 4, 5, 1, 2, 3))
        others = [name for name in PLANES if name != self._plane]
        self._draw_drawn(first)
        for axes, name in zip(results, [self._plane, *others], strict=True):
            self._draw_section(axes, name, self._shown[name], f"{name}, result")
            self._mark_drawn(axes, name)
        self._draw_uncertainty(uncertain)
        self._draw_surface(surface)
        self._write(title, subtitle, label_names, notes)

    def _telling_index(self, plane: str) -> int:
        """The slice with most of the structure, in the drawn plane not one next to a drawn slice."""
        axis = PLANES.index(plane)
        area = np.count_nonzero(self._arrays.labels, axis=tuple(other for other in range(3) if other != axis))
        if plane != self._plane or not self._drawn:
            return int(area.argmax()) if area.any() else len(area) // 2
        found = np.flatnonzero(area)
        extent = int(found[-1] - found[0] + 1) if len(found) else len(area)
        distance = np.min([np.abs(np.arange(len(area)) - index) for index in self._drawn], axis=0)
        far = np.where(distance >= min(0.18 * extent, distance.max()), area, -1)
        return int(far.argmax())

    def _draw_drawn(self, axes: Axes) -> None:
        if not self._drawn:
            self._draw_section(axes, self._plane, self._shown[self._plane], f"{self._plane}, image", overlay=False)
            return
        index = self._drawn[len(self._drawn) // 2]
        self._draw_section(axes, self._plane, index, "", reference=False)
        count = f"drawn (1 of {len(self._drawn)})" if len(self._drawn) > 1 else "drawn"
        axes.text(
            0.028, 0.968, f"{self._plane} {self._slice_numbers[index]}: {count}", transform=axes.transAxes, va="top",
            fontsize=12, fontweight="bold", color=_BACKGROUND,
            bbox={"facecolor": _DRAWN, "edgecolor": "none", "boxstyle": "round,pad=0.25"},
        )
        for spine in axes.spines.values():
            spine.set(visible=True, color=_DRAWN, linewidth=2.0)

    def _draw_section(
        self, axes: Axes, plane: str, index: int, title: str, *, overlay: bool = True, reference: bool = True
    ) -> None:
        arrays = self._arrays
        height, width = arrays.size_mm(plane)
        extent = (0.0, width, height, 0.0)
        pixels = arrays.section(arrays.image, plane, index).astype(np.float32)
        low, high = self._window
        axes.imshow(pixels, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
        if overlay:
            labels = arrays.section(arrays.labels, plane, index)
            axes.imshow(self._tint(labels), extent=extent, interpolation="nearest")
            for label in self._labels:
                _outline(axes, labels == label, extent, self._colours[label], 1.4)
        if reference and arrays.reference is not None:
            truth = arrays.section(arrays.reference, plane, index)
            for label in np.unique(truth[truth != 0]):
                _outline(axes, truth == label, extent, _REFERENCE, 0.7)
        self._frame(axes, plane)
        axes.text(0.025, 0.972, title, transform=axes.transAxes, va="top", fontsize=12, color=_TEXT)

    def _tint(self, labels: np.ndarray) -> np.ndarray:
        from matplotlib.colors import to_rgb

        tint = np.zeros((*labels.shape, 4), dtype=np.float32)
        for label, colour in self._colours.items():
            tint[labels == label] = (*to_rgb(colour), 0.34)
        return tint

    def _frame(self, axes: Axes, plane: str) -> None:
        """One scale for all panels, orientation letters and a scale bar."""
        side = 1.16 * max(last - first for first, last in self._content_mm)
        (first, last), (left, right) = (
            bounds for axis, bounds in enumerate(self._content_mm) if axis != PLANES.index(plane)
        )
        middle = (first + last) / 2
        if plane != "axial":
            middle = self._arrays.size_mm(plane)[0] - middle  # the head is up
        left, top = (left + right - side) / 2, middle - side / 2
        axes.set(xlim=(left, left + side), ylim=(top + side, top), facecolor="black", xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        style: dict[str, Any] = {
            "transform": axes.transAxes, "fontsize": 13, "fontweight": "bold", "color": _DRAWN, "ha": "center",
            "va": "center",
        }
        for letter, (x, y) in zip(_EDGES[plane], _EDGE_PLACES, strict=True):
            axes.text(x, y, letter, **style)
        bar = max((size for size in _SCALE_BARS_MM if size <= 0.25 * side), default=_SCALE_BARS_MM[0])
        start, base = left + 0.03 * side, top + 0.965 * side
        axes.plot([start, start + bar], [base, base], color=_TEXT, linewidth=2.4, solid_capstyle="butt")
        words = f"{bar // 10} cm" if bar >= 10 else f"{bar} mm"
        axes.text(start + bar / 2, base - 0.012 * side, words, color=_TEXT, fontsize=10, ha="center", va="bottom")

    def _mark_drawn(self, axes: Axes, plane: str) -> None:
        """Where drawn slices cross another plane."""
        if plane == self._plane:
            return
        axis, (height, width) = PLANES.index(self._plane), self._arrays.size_mm(plane)
        is_row = axis == next(other for other in range(3) if other != PLANES.index(plane))
        for index in self._drawn:
            position = (index + 0.5) * self._arrays.spacing[axis]
            if is_row:
                position = height - position if plane != "axial" else position
                axes.plot([0, width], [position, position], color=_DRAWN, linewidth=0.9, linestyle=(0, (5, 4)))
            else:
                axes.plot([position, position], [0, height], color=_DRAWN, linewidth=0.9, linestyle=(0, (5, 4)))

    def _draw_uncertainty(self, axes: Axes) -> None:
        plane, index = self._plane, self._shown[self._plane]
        if self._arrays.uncertainty is None:
            self._draw_section(axes, plane, index, f"{plane}, image", overlay=False, reference=False)
            return
        from matplotlib import colormaps

        self._draw_section(axes, plane, index, f"{plane}, uncertainty", overlay=False, reference=False)
        height, width = self._arrays.size_mm(plane)
        extent = (0.0, width, height, 0.0)
        values = self._arrays.section(self._arrays.uncertainty, plane, index).astype(np.float32)
        glow = colormaps["inferno"](0.25 + 0.75 * np.clip(values, 0, 1))
        glow[..., 3] = np.clip((values - 0.08) / 0.92, 0, 1) ** 0.8
        axes.imshow(glow, extent=extent, interpolation="nearest")
        for label in self._labels:
            labels = self._arrays.section(self._arrays.labels, plane, index)
            _outline(axes, labels == label, extent, self._colours[label], 0.8)
        scale = axes.inset_axes((0.70, 0.035, 0.24, 0.018))
        scale.imshow(colormaps["inferno"](np.linspace(0.25, 1, 64))[None], aspect="auto", extent=(0, 1, 0, 1))
        scale.set(yticks=[], xticks=[])
        scale.text(0, 1.3, "sure", color=_TEXT, fontsize=10, ha="left", va="bottom")
        scale.text(1, 1.3, "unsure", color=_TEXT, fontsize=10, ha="right", va="bottom")

    def _draw_surface(self, axes: Axes) -> None:
        from matplotlib.colors import to_rgb

        axes.set(facecolor="black", xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0), aspect="equal")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.text(0.025, 0.972, "surface", transform=axes.transAxes, va="top", fontsize=12, color=_TEXT)
        if not self._labels:
            axes.text(0.5, 0.5, "nothing found", color=_FAINT, fontsize=14, ha="center", va="center")
            return
        masks = [self._arrays.labels == label for label in self._labels]
        if _one_hides_others(masks):
            middle = self._drawn[len(self._drawn) // 2] if self._drawn else self._shown[self._plane]
            masks = _opened(masks, PLANES.index(self._plane), middle)
        colours = [to_rgb(self._colours[label]) for label in self._labels]
        axis, spacing = PLANES.index(self._plane), self._arrays.spacing
        frames = [_frame_around(self._arrays.labels, spacing, axis, index) for index in self._drawn[:_MOST_FRAMES]]
        picture, surfaces = render_surfaces(
            masks, spacing, colours, size=_SURFACE_PIXELS, also_seen=np.concatenate(frames) if frames else None
        )
        axes.imshow(picture, extent=(0, 1, 1, 0), interpolation="antialiased")
        for frame in frames:
            _draw_frame(axes, surfaces, frame)
        _draw_compass(axes, surfaces.view.axes)

    def _write(self, title: str, subtitle: str, label_names: Mapping[int, str], notes: Mapping[int, str]) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        self._figure.text(0.014, 0.966, title, color=_TEXT, fontsize=21, fontweight="bold", va="center")
        self._figure.text(0.014, 0.928, subtitle, color=_FAINT, fontsize=13, va="center")
        handles: list[Any] = []
        for label in self._labels:
            words = [label_names.get(label, f"label {label}"), *([notes[label]] if label in notes else [])]
            handles.append(Patch(facecolor=self._colours[label], label=": ".join(words)))
        if self._arrays.reference is not None:
            handles.append(Line2D([], [], color=_REFERENCE, linewidth=0.9, label="reference"))
        if self._drawn:
            handles.append(Line2D([], [], color=_DRAWN, linewidth=1.4, linestyle=(0, (4, 3)), label="drawn slice"))
        self._figure.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.008, 0.006), ncols=max(1, len(handles)), frameon=False,
            labelcolor=_TEXT, fontsize=13, handlelength=1.6, columnspacing=2.2,
        )


def _intensity_window(image: np.ndarray) -> tuple[float, float]:
    """Grey values shown as black and white; the brightest tissue stays below white, so that overlays show on it."""
    sample = _sample(image)
    sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample, _WINDOW_PERCENTILES))
    return low, low + 1.3 * max(high - low, 1e-6)


def _content(image: np.ndarray, labels: np.ndarray, window: tuple[float, float]) -> list[tuple[int, int]]:
    """First and last voxel along each axis of what is brighter than the background, or labelled."""
    every = _stride(image)
    threshold = window[0] + _BACKGROUND_LEVEL * (window[1] - window[0])
    bright = (_sample(image) > threshold) | (_sample(labels) != 0)
    bounds = []
    for axis, count in enumerate(image.shape):
        share = bright.mean(axis=tuple(other for other in range(3) if other != axis))
        found = np.flatnonzero(share > 0.002)
        bounds.append((int(found[0]) * every, min((int(found[-1]) + 1) * every, count)) if len(found) else (0, count))
    return bounds


def _stride(image: np.ndarray) -> int:
    return max(1, round((image.size / _SAMPLE) ** (1 / 3)))


def _sample(image: np.ndarray) -> np.ndarray:
    every = _stride(image)
    return image[::every, ::every, ::every]


def _outline(axes: Axes, mask: np.ndarray, extent: tuple[float, ...], colour: str, width: float) -> None:
    """The border of a mask on its pixels' grid."""
    if not mask.any() or min(mask.shape) < 2:
        return
    left, right, bottom, top = extent
    rows, columns = mask.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    axes.contour(x, y, mask.astype(np.float32), levels=[0.5], colors=[colour], linewidths=width)


def _one_hides_others(masks: Sequence[np.ndarray]) -> bool:
    """Whether a structure lies within the others, as seen along the three axes."""
    hidden = []
    for index, mask in enumerate(masks):
        others = np.any([other for place, other in enumerate(masks) if place != index], axis=0) if masks[1:] else mask
        hidden.append(min(_hidden_share(mask, others, axis) for axis in range(3)) if masks[1:] else 0.0)
    return max(hidden, default=0.0) > _HIDDEN


def _hidden_share(mask: np.ndarray, others: np.ndarray, axis: int) -> float:
    """Part of a mask's silhouette with something else in front of it, from both ends of an axis."""
    silhouette = mask.any(axis=axis)
    first, before = mask.argmax(axis=axis), others.argmax(axis=axis)
    last = np.flip(mask, axis).argmax(axis=axis)
    behind = np.flip(others, axis).argmax(axis=axis)
    covered = others.any(axis=axis) & (before < first) & (behind < last)
    return float(covered[silhouette].mean()) if silhouette.any() else 0.0


def _opened(masks: Sequence[np.ndarray], axis: int, index: int) -> list[np.ndarray]:
    """Masks without the part that faces the camera and lies before slice ``index`` of ``axis``: a look inside.

    The camera sees from the head, the front and the patient's left: high z, low y, high x.
    """
    union = np.any(masks, axis=0)
    taken = []
    for other in range(3):
        present = np.flatnonzero(union.any(axis=tuple(a for a in range(3) if a != other)))
        place = index if other == axis else int(present.mean() + _CUT_BESIDE * (1 if other == 2 else -1) * len(present))
        taken.append(slice(0, place) if other == 1 else slice(place + 1, None))
    if axis != 0:
        taken[0] = slice(int(np.flatnonzero(union.any(axis=(1, 2))).mean() * _CUT_FROM), None)
    opened = [mask.copy() for mask in masks]
    for mask in opened:
        mask[tuple(taken)] = False
    return opened


def _frame_around(labels: np.ndarray, spacing: tuple[float, float, float], axis: int, index: int) -> np.ndarray:
    """(n, 3) mm along a rectangle in slice ``index`` of ``axis`` around what is labelled there, else anywhere."""
    others = [other for other in range(3) if other != axis]
    mask = np.take(labels, [index], axis=axis) != 0
    mask = mask if mask.any() else labels != 0
    bounds = []
    for other in others:
        present = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != other)))
        margin = 0.05 * len(present) + 1
        bounds.append(((present[0] - margin) * spacing[other], (present[-1] + margin) * spacing[other]))
    (top, bottom), (left, right) = bounds
    corners = np.array([(top, left), (top, right), (bottom, right), (bottom, left), (top, left)])
    steps = np.linspace(0, 1, 200)[:, None]
    path = np.concatenate([a + (b - a) * steps for a, b in zip(corners[:-1], corners[1:], strict=True)])
    points = np.zeros((len(path), 3))
    points[:, axis] = index * spacing[axis]
    points[:, others[0]], points[:, others[1]] = path.T
    return points


def _draw_frame(axes: Axes, surfaces: Surfaces, points: np.ndarray) -> None:
    """A drawn slice around the structure: bright in front of the surface, faint behind it."""
    column, row, depth = surfaces.view.project(points).T
    size = surfaces.view.size
    rows, columns = (np.clip(value.astype(int), 0, size - 1) for value in (row, column))
    hidden = surfaces.depth[rows, columns] < depth
    for behind, alpha in ((True, 0.25), (False, 0.95)):
        shown = np.where(hidden == behind, 1.0, np.nan)
        axes.plot(column / size * shown, row / size * shown, color=_DRAWN, linewidth=1.4, alpha=alpha)


def _draw_compass(axes: Axes, view_axes: np.ndarray) -> None:
    """Arrows to the patient's left, back and head in the corner of the surface's panel."""
    centre = np.array([0.10, 0.90])
    for direction, letter in (((1.0, 0, 0), "S"), ((0, -1.0, 0), "A"), ((0, 0, 1.0), "L")):
        right, down, away = view_axes @ np.array(direction)
        tip = centre + 0.055 * np.array([right, down])
        faint = 0.55 if away > 0.2 else 1.0
        axes.plot(*zip(centre, tip, strict=True), color=_TEXT, linewidth=1.6, alpha=faint)
        x, y = centre + 0.078 * np.array([right, down])
        axes.text(x, y, letter, color=_DRAWN, fontsize=12, fontweight="bold", ha="center", va="center", alpha=faint)
