"""Pictures of segmented structures as lit surfaces, by casting rays: needs numpy and scipy only.

Coordinates are millimetres along the axes of a display array, see `figures.DisplayArrays`: z from the feet to the head,
y from the front to the back, x from the patient's right to the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_SMOOTHING_MM = 0.7  # of the mask before its surface is taken: removes the stairs of voxels, keeps folds
_SURFACE = 0.5
_THICK = 2.0  # times the pixel: slices farther apart are interpolated by shape
_MOST_VOXELS = 3e7
_SKIP_SPACING_MM = 2.0  # grid of the distances that rays may leap over
_REFINEMENTS = 6
_SUPERSAMPLING = 2
_KEY_LIGHT = (-0.45, -0.55, -0.75)  # in view coordinates (right, down, away): from the upper left, behind the viewer
_FILL_LIGHT = (0.7, 0.25, -0.45)


@dataclass(frozen=True)
class Camera:
    """An orthographic view from the direction (azimuth, elevation), head up.

    Attributes:
        azimuth: degrees; 0 from the front, 90 from the patient's left.
        elevation: degrees above the horizontal.
    """

    azimuth: float = 40.0
    elevation: float = 22.0

    @property
    def axes(self) -> np.ndarray:
        """Unit vectors (right, down, away from the viewer) of the view as rows, in (z, y, x)."""
        a, e = np.radians(self.azimuth), np.radians(self.elevation)
        away = np.array([-np.sin(e), np.cos(e) * np.cos(a), -np.cos(e) * np.sin(a)])
        right = np.array([0.0, np.sin(a), np.cos(a)])
        # right x down = away in a system in which (x, y, z) turn like (right, down, away) of an image.
        down = np.array([-np.cos(e), -np.sin(e) * np.cos(a), np.sin(e) * np.sin(a)])
        return np.stack([right, down, away])


@dataclass(frozen=True)
class _View:
    """Parallel rays through the pixels of a square.

    Attributes:
        corner: (z, y, x) mm where the upper left ray starts.
        axes: see :class:`Camera`.
        size: pixels of a side.
        pixel_mm: size of a pixel.
        length: of the rays, mm.
    """

    corner: np.ndarray
    axes: np.ndarray
    size: int
    pixel_mm: float
    length: float

    @classmethod
    def on(cls, points: np.ndarray, camera: Camera, size: int) -> _View:
        """The view that holds (n, 3) mm, with a small margin."""
        axes = camera.axes
        seen = points @ axes.T  # (right, down, away)
        lowest, highest = seen.min(axis=0), seen.max(axis=0)
        side = 1.06 * max(float((highest - lowest)[:2].max()), 1.0)
        middle = (lowest + highest) / 2
        corner = np.array([middle[0] - side / 2, middle[1] - side / 2, lowest[2] - 10.0]) @ axes
        return cls(corner, axes, size, side / size, float(highest[2] - lowest[2]) + 20.0)

    def starts(self) -> np.ndarray:
        """(z, y, x) mm where the ray of each pixel starts, ``(size, size, 3)``."""
        steps = (np.arange(self.size) + 0.5) * self.pixel_mm
        return self.corner + steps[None, :, None] * self.axes[0] + steps[:, None, None] * self.axes[1]

    def project(self, points: np.ndarray) -> np.ndarray:
        """(column, row) in pixels and depth in mm of (n, 3) mm."""
        seen = (points - self.corner) @ self.axes.T
        return seen / (self.pixel_mm, self.pixel_mm, 1.0)


@dataclass(frozen=True)
class Surfaces:
    """What rays met. Arrays ``(rows, columns)`` of a picture.

    Attributes:
        label: index of the mask that was met first, -1 for none.
        depth: mm along the ray.
        position: (z, y, x) mm, ``(rows, columns, 3)``.
        normal: outward unit vectors in (z, y, x).
        view: the rays.
    """

    label: np.ndarray
    depth: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    view: _View

    @property
    def met(self) -> np.ndarray:
        """Where a surface is seen."""
        return self.label >= 0


def render_surfaces(
    masks: Sequence[np.ndarray],
    spacing: tuple[float, float, float],
    colours: Sequence[tuple[float, float, float]],
    *,
    size: int = 700,
    camera: Camera | None = None,
    also_seen: np.ndarray | None = None,
) -> tuple[np.ndarray, Surfaces]:
    """A square picture of masks as smooth lit surfaces.

    Args:
        masks: boolean display arrays (z, y, x) of one shape.
        spacing: mm along (z, y, x).
        colours: RGB in [0, 1] of each mask.
        size: pixels.
        camera: default: from the front left, a little above.
        also_seen: (n, 3) mm that the view must hold too.

    Returns:
        ``(size, size, 4)`` float32, transparent where nothing is, and the surfaces (with more pixels) behind it.
    """
    surfaces = cast_rays(masks, spacing, size * _SUPERSAMPLING, camera or Camera(), also_seen)
    picture = np.zeros((*surfaces.label.shape, 4), dtype=np.float32)
    picture[..., 3] = surfaces.met
    picture[..., :3] = shade(surfaces, colours) * picture[..., 3:]
    return _averaged(picture), surfaces


def cast_rays(
    masks: Sequence[np.ndarray],
    spacing: tuple[float, float, float],
    size: int,
    camera: Camera,
    also_seen: np.ndarray | None = None,
) -> Surfaces:
    """The first surface on the ray through each pixel of a square view that holds all masks (display arrays)."""
    fields = [_Field.of(*_thinned(mask, spacing)) if mask.any() else None for mask in masks]
    points = [field.block_centres() for field in fields if field is not None]
    points += [] if also_seen is None else [also_seen]
    view = _View.on(np.concatenate(points) if points else np.zeros((1, 3)), camera, size)
    shape = (size, size)
    result = Surfaces(
        label=np.full(shape, -1, dtype=np.int64),
        depth=np.full(shape, np.inf),
        position=np.zeros((*shape, 3)),
        normal=np.zeros((*shape, 3)),
        view=view,
    )
    for index, field in enumerate(fields):
        if field is not None:
            _merge(result, index, field)
    return result


def shade(surfaces: Surfaces, colours: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """RGB ``(rows, columns, 3)``: two lights, a soft highlight, and darker folds where little of the sky is seen."""
    normal = surfaces.normal @ surfaces.view.axes.T  # in view coordinates
    key, fill = (_unit(np.array(light)) for light in (_KEY_LIGHT, _FILL_LIGHT))
    diffuse = 0.74 * np.clip(normal @ key, 0, None) + 0.22 * np.clip(normal @ fill, 0, None)
    halfway = _unit(key + np.array([0.0, 0.0, -1.0]))
    highlight = 0.22 * np.clip(normal @ halfway, 0, None) ** 28
    facing = np.clip(-normal[..., 2], 0, 1)
    light = (0.34 + diffuse) * _openness(surfaces) * (0.72 + 0.28 * facing)
    palette = np.asarray([*colours, (0.0, 0.0, 0.0)], dtype=np.float64)
    picture = palette[surfaces.label] * light[..., None] + (highlight * surfaces.met)[..., None]
    return np.clip(picture, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class _Field:
    """A smooth function that exceeds one half inside a mask, and the distance that a ray may safely leap."""

    values: np.ndarray
    occupied: np.ndarray
    leaps: np.ndarray
    origin: np.ndarray
    spacing: np.ndarray
    leap_spacing: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, spacing: np.ndarray) -> _Field:
        """Field of a mask that is not empty; ``spacing`` (3,) mm."""
        window = ndimage.find_objects(mask.astype(np.uint8))[0]
        margin = np.maximum(2, np.ceil(3 * _SMOOTHING_MM / spacing).astype(int))
        values = _smooth_inside(np.pad(mask[window], [(pad, pad) for pad in margin]), spacing)
        factors = np.maximum(1, np.round(_SKIP_SPACING_MM / spacing).astype(int))
        occupied = _largest_in_blocks(values, factors) >= _SURFACE
        block = factors * spacing
        distance = ndimage.distance_transform_edt(~occupied, sampling=block)
        leaps = np.clip(distance - np.linalg.norm(block) - spacing.max(), 0, None).astype(np.float32)
        origin = (np.array([axis.start for axis in window]) - margin) * spacing
        return cls(values, ndimage.binary_dilation(occupied, np.ones((3, 3, 3))), leaps, origin, spacing, block)

    def block_centres(self) -> np.ndarray:
        """(n, 3) mm of the blocks that may hold the surface."""
        return self.origin + (np.argwhere(self.occupied) + 0.5) * self.leap_spacing - self.spacing / 2

    def at(self, points: np.ndarray) -> np.ndarray:
        """Values at (n, 3) mm, linear; zero outside."""
        return ndimage.map_coordinates(self.values, ((points - self.origin) / self.spacing).T, order=1)

    def leap_at(self, points: np.ndarray) -> np.ndarray:
        """Distance in mm within which nothing lies around (..., 3) mm."""
        indices, inside = self._block_of(points)
        return np.where(inside, self.leaps[indices], 0)

    def may_hold(self, points: np.ndarray) -> np.ndarray:
        """Whether the mask may be near (..., 3) mm."""
        indices, inside = self._block_of(points)
        return inside & self.occupied[indices]

    def _block_of(self, points: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Indices of the blocks of voxels at points (the nearest ones outside), and whether the points are inside."""
        indices = np.floor((points - self.origin + self.spacing / 2) / self.leap_spacing).astype(np.intp)
        last = np.array(self.leaps.shape) - 1
        inside = ((indices >= 0) & (indices <= last)).all(axis=-1)
        return tuple(np.moveaxis(np.clip(indices, 0, last), -1, 0)), inside

    def normals_at(self, points: np.ndarray) -> np.ndarray:
        """Outward unit normals (n, 3), in (z, y, x)."""
        step = 0.75 * np.min(self.spacing)
        offsets = step * np.eye(3)
        gradient = np.stack([self.at(points - offset) - self.at(points + offset) for offset in offsets], axis=1)
        return gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-9)


def _merge(result: Surfaces, index: int, field: _Field) -> None:
    """Put what rays meet of one mask in front of what they met before."""
    start, away = result.view.starts(), result.view.axes[2]
    depth = _first_crossing(field, start, away, result.view.length)
    nearer = depth < result.depth
    points = start[nearer] + depth[nearer][:, None] * away
    result.label[nearer] = index
    result.depth[nearer] = depth[nearer]
    result.position[nearer] = points
    result.normal[nearer] = field.normals_at(points)


def _first_crossing(field: _Field, start: np.ndarray, away: np.ndarray, length: float) -> np.ndarray:
    """Depth ``(rows, columns)`` at which each ray enters the surface, infinite where it does not."""
    step = 0.6 * float(np.min(field.spacing))
    entry, end = (bound.ravel() for bound in _bounds(field, start, away, length))
    origins = start.reshape(-1, 3)
    found = np.full(len(origins), np.inf)
    active = np.flatnonzero(np.isfinite(entry))
    depth = entry[active]
    while len(active):
        points = origins[active] + depth[:, None] * away
        inside = field.at(points) >= _SURFACE
        found[active[inside]] = depth[inside]
        depth = depth + np.maximum(field.leap_at(points), step)
        going = ~inside & (depth < end[active])
        active, depth = active[going], depth[going]
    met = np.flatnonzero(np.isfinite(found))
    low, high = found[met] - step, found[met].copy()
    for _ in range(_REFINEMENTS):
        middle = (low + high) / 2
        inside = field.at(origins[met] + middle[:, None] * away) >= _SURFACE
        high, low = np.where(inside, middle, high), np.where(inside, low, middle)
    found[met] = (low + high) / 2
    return found.reshape(start.shape[:2])


def _bounds(field: _Field, start: np.ndarray, away: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Depths ``(rows, columns)`` before and behind everything that a ray can meet; infinite where it meets nothing.

    One ray for a block of pixels asks blocks of voxels that are grown by one, so that no pixel's surface is missed.
    """
    stride = max(1, int(0.5 * np.min(field.leap_spacing) / np.linalg.norm(start[0, 1] - start[0, 0])))
    sparse = start[stride // 2 :: stride, stride // 2 :: stride]
    depths = np.arange(0, length, 0.5 * np.min(field.leap_spacing))
    near = np.full(sparse.shape[:2], np.inf)
    far = np.full(sparse.shape[:2], -np.inf)
    for depth in depths:
        occupied = field.may_hold(sparse + depth * away)
        near = np.where(occupied, np.minimum(near, depth), near)
        far = np.where(occupied, depth, far)
    near, far = ndimage.minimum_filter(near, 3), ndimage.maximum_filter(far, 3)
    margin = float(np.max(field.leap_spacing))
    rows, columns = start.shape[:2]
    nearest = [np.minimum(np.arange(count) // stride, len(near) - 1) for count in (rows, columns)]
    return near[np.ix_(*nearest)] - margin, far[np.ix_(*nearest)] + margin


def _openness(surfaces: Surfaces) -> np.ndarray:
    """In [0.35, 1]: how little the neighbourhood lies in front of a pixel (ambient occlusion in the picture)."""
    met = surfaces.met
    depth = np.where(met, surfaces.depth, 0.0)
    light = np.ones(met.shape)
    for radius_mm, reach_mm, strength in ((2.0, 4.0, 0.45), (7.0, 12.0, 0.35)):
        sigma = radius_mm / surfaces.view.pixel_mm
        weight = ndimage.gaussian_filter(met.astype(np.float64), sigma)
        mean = ndimage.gaussian_filter(depth, sigma) / np.maximum(weight, 1e-6)
        light -= strength * np.clip((depth - mean) / reach_mm, 0, 1)
    return np.clip(light, 0.35, 1.0)


def _smooth_inside(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Float32 function that exceeds one half inside a mask and has no stairs.

    Between thick slices it interpolates the outline's signed distance (Raya and Udupa 1990, shape-based interpolation).
    """
    thick = int(np.argmax(spacing))
    if spacing[thick] < _THICK * spacing.min():
        deviation = np.maximum(_SMOOTHING_MM / spacing, 0.5)
        return ndimage.gaussian_filter(mask.astype(np.float32), deviation)
    in_plane = np.delete(spacing, thick)
    slices = np.moveaxis(mask, thick, 0)
    far = 2 * spacing[thick]
    distance = np.full(slices.shape, -far, dtype=np.float32)
    for index in np.flatnonzero(slices.any(axis=(1, 2))):
        inside = ndimage.distance_transform_edt(slices[index], sampling=in_plane)
        outside = ndimage.distance_transform_edt(~slices[index], sampling=in_plane)
        distance[index] = np.clip(inside - outside, -far, far)
    distance = ndimage.gaussian_filter(distance, (0.5, 1.0, 1.0))
    return np.moveaxis(_SURFACE + distance / far, 0, thick)


def _thinned(mask: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Every n-th voxel of a large mask, and the spacing then: a picture shows no more."""
    every = int(np.ceil((mask.size / _MOST_VOXELS) ** (1 / 3)))
    thinned = mask[::every, ::every, ::every]
    return (thinned, every * np.array(spacing)) if thinned.any() else (mask, np.array(spacing))


def _largest_in_blocks(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    padding = [(0, int(-count % factor)) for count, factor in zip(values.shape, factors, strict=True)]
    padded = np.pad(values, padding)
    z, y, x = (count // factor for count, factor in zip(padded.shape, factors, strict=True))
    return padded.reshape(z, factors[0], y, factors[1], x, factors[2]).max(axis=(1, 3, 5))


def _averaged(picture: np.ndarray) -> np.ndarray:
    """Mean of blocks of pixels: smooth outlines. Colours are premultiplied and come back plain."""
    n = _SUPERSAMPLING
    rows, columns = picture.shape[0] // n, picture.shape[1] // n
    mean = picture.reshape(rows, n, columns, n, 4).mean(axis=(1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
    return np.clip(mean, 0, 1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
