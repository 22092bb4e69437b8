"""Generated volumes for training without anybody's images: organ-like shapes with textures, bias field and noise.

A network that learns only from these and from permissively licensed images may be given away without conditions.
Shapes change smoothly through the slices, as organs do, so that successive slices make few-shot episodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from momentumseg.training.prepared_volume import PreparedVolume
from momentumseg.transforms.intensity import IntensityNormalization

_HARMONICS = np.arange(2, 6)
_KINDS = ("whole", "nested", "touching", "crescent")
_LEAST_CONTRAST = 0.1  # between a region and the bulk around it: what cannot be seen cannot be learnt


@dataclass(frozen=True)
class _Shape:
    """A star-shaped region whose centre, size and outline change smoothly along the slices.

    ``depth`` is half the number of slices it spans, ``radii`` its half axes in the middle (pixels), ``wobble`` the
    amplitude of each angular harmonic (fractions of the radius), ``drift`` the path of its centre (pixels over the
    whole depth), ``tube`` whether it keeps its size up to its ends.
    """

    centre: np.ndarray
    depth: float
    radii: np.ndarray
    angle: float
    wobble: np.ndarray
    phase: np.ndarray
    twist: np.ndarray
    drift: np.ndarray
    bend: np.ndarray
    tube: bool

    def box(self, shape: tuple[int, int, int]) -> tuple[slice, slice, slice]:
        """The part of a volume that the shape can reach."""
        reach = self.radii.max() * (1 + np.abs(self.wobble).sum()) + np.abs(self.drift) + np.abs(self.bend)
        extents = (self.depth, *reach)
        return tuple(  # type: ignore[return-value]
            slice(int(np.clip(np.floor(c - e), 0, n)), int(np.clip(np.ceil(c + e) + 1, 0, n)))
            for c, e, n in zip(self.centre, extents, shape, strict=True)
        )

    def coordinates(self, box: tuple[slice, slice, slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance (1 on the surface), and the two in-plane coordinates in half axes, on the voxels of ``box``."""
        z, y, x = np.ogrid[box]
        t = ((z - self.centre[0]) / self.depth).astype(np.float32)
        y = y - self.centre[1] - self.drift[0] * t - self.bend[0] * t**2
        x = x - self.centre[2] - self.drift[1] * t - self.bend[1] * t**2
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u = ((cos * x + sin * y) / self.radii[0]).astype(np.float32)
        v = ((cos * y - sin * x) / self.radii[1]).astype(np.float32)
        theta = np.arctan2(v, u)
        outline = np.ones_like(theta)
        for order, amplitude, phase, twist in zip(_HARMONICS, self.wobble, self.phase, self.twist, strict=True):
            if amplitude:
                outline += np.float32(amplitude) * np.cos(np.float32(order) * theta + (phase + twist * t))
        inside = np.clip(1 - t**2, 0, 1)
        size = (inside > 0).astype(np.float32) if self.tube else np.sqrt(inside)
        return np.hypot(u, v) / np.maximum(outline * size, 1e-6), u, v


def generate_phantom_volume(
    rng: np.random.Generator, shape: tuple[int, int, int] = (24, 256, 256), *, organs: tuple[int, int] = (6, 14)
) -> PreparedVolume:
    """A generated body with organs, z-scored, and its true regions.

    Args:
        rng: the volume depends on it alone.
        shape: (slices, rows, columns).
        organs: range of the number of organs; some make two regions (nested or touching).

    Returns:
        The stack ``shape`` float16 and one source of regions, labels from 1; 0 is outside and the body's bulk.
    """
    labels = np.zeros(shape, dtype=np.int32)
    body = _body(rng, shape)
    fat = rng.uniform(0.82, 0.97)
    distance, _, _ = body.coordinates(body.box(shape))
    inside_body = np.zeros(shape, dtype=bool)
    inside_body[body.box(shape)] = distance < 1
    labels[body.box(shape)][(distance < 1) & (distance > fat)] = 1
    following = 2
    for _ in range(rng.integers(organs[0], organs[1] + 1)):
        following = _paint_organ(labels, _organ(rng, shape), following, rng)
    labels[~inside_body] = 0
    array = _render(rng, labels, inside_body)
    stack = IntensityNormalization.fit(array).apply(array)
    regions = labels.astype(np.min_scalar_type(int(labels.max())))
    return PreparedVolume(stack.astype(np.float16), regions, "phantom")


def _body(rng: np.random.Generator, shape: tuple[int, int, int]) -> _Shape:
    """An outline that fills most of every slice."""
    slices, rows, columns = shape
    return _Shape(
        centre=np.array([slices / 2, rows * rng.uniform(0.46, 0.54), columns * rng.uniform(0.46, 0.54)]),
        depth=slices * rng.uniform(0.8, 3.0),
        radii=np.array([columns * rng.uniform(0.38, 0.52), rows * rng.uniform(0.3, 0.48)]),
        angle=rng.uniform(-0.2, 0.2),
        wobble=rng.uniform(0, 0.05, len(_HARMONICS)),
        phase=rng.uniform(0, 2 * np.pi, len(_HARMONICS)),
        twist=rng.uniform(-0.5, 0.5, len(_HARMONICS)),
        drift=rng.uniform(-0.05, 0.05, 2) * rows,
        bend=np.zeros(2),
        tube=False,
    )


def _organ(rng: np.random.Generator, shape: tuple[int, int, int]) -> _Shape:
    """A smooth ellipsoid, a warped blob or a tube, anywhere in the body."""
    slices, rows, columns = shape
    tube = rng.random() < 0.25
    smooth = rng.random() < 0.3
    pixels = min(rows, columns) * (rng.uniform(0.02, 0.07) if tube else np.exp(rng.uniform(np.log(0.05), np.log(0.25))))
    path = 0.2 * min(rows, columns) if tube else 0.6 * pixels
    return _Shape(
        centre=np.array([slices, rows, columns]) * (rng.uniform(0.1, 0.9), *rng.uniform(0.2, 0.8, 2)),
        depth=max(2.0, slices * (rng.uniform(0.3, 1.0) if tube else rng.uniform(0.12, 0.6))),
        radii=pixels * rng.uniform(0.6, 1.4, 2),
        angle=rng.uniform(0, np.pi),
        wobble=rng.uniform(0, 0.0 if smooth else 0.45, len(_HARMONICS)) / _HARMONICS,
        phase=rng.uniform(0, 2 * np.pi, len(_HARMONICS)),
        twist=rng.uniform(-1.5, 1.5, len(_HARMONICS)),
        drift=rng.uniform(-1, 1, 2) * path,
        bend=rng.uniform(-1, 1, 2) * path / 2,
        tube=tube,
    )


def _paint_organ(labels: np.ndarray, organ: _Shape, label: int, rng: np.random.Generator) -> int:
    """Draw the organ over what is there (whole, nested, touching pair or crescent); returns the next free label."""
    box = organ.box(labels.shape)  # type: ignore[arg-type]
    view = labels[box]
    distance, u, v = organ.coordinates(box)
    inside = distance < 1
    kind = "whole" if organ.tube else str(rng.choice(_KINDS, p=[0.5, 0.2, 0.2, 0.1]))
    if kind == "crescent":
        inside &= np.hypot(u - rng.uniform(0.4, 0.8), v) > rng.uniform(0.7, 0.9)
    view[inside] = label
    if kind == "nested":
        view[distance < rng.uniform(0.45, 0.8)] = label + 1
    if kind == "touching":
        border = rng.uniform(-0.3, 0.3) + rng.uniform(-0.4, 0.4) * v + rng.uniform(-0.4, 0.4) * v**2
        view[inside & (u > border)] = label + 1
    return label + (2 if kind in ("nested", "touching") else 1)


def _render(rng: np.random.Generator, labels: np.ndarray, inside_body: np.ndarray) -> np.ndarray:
    """Intensities: a mean and a texture for every region, partial volume, bias field, gamma and noise."""
    count = int(labels.max()) + 1
    means = _region_means(rng, count)
    fine, coarse = (_smooth_noise(rng, labels.shape, size) for size in (rng.uniform(2, 4), rng.uniform(6, 20)))
    amplitudes = rng.uniform(0, 0.12, (2, count)).astype(np.float32)
    array = means[labels] + amplitudes[0][labels] * fine + amplitudes[1][labels] * coarse
    array *= inside_body
    blur = rng.uniform(0.3, 1.2)
    array = ndimage.gaussian_filter(array, (rng.uniform(0, 0.4), blur, blur), truncate=2.5)
    array *= np.exp(rng.uniform(0, 0.35) * _smooth_noise(rng, labels.shape, min(labels.shape[1:]) / 3))
    array = np.clip(array, 0, None) ** rng.uniform(0.6, 1.6)
    noise = np.float32(rng.uniform(0.005, 0.08)) * rng.standard_normal((2, *labels.shape), dtype=np.float32)
    return np.hypot(array + noise[0], noise[1])  # Rician, as the magnitude of an MR image


def _region_means(rng: np.random.Generator, count: int) -> np.ndarray:
    """Mean intensity of the bulk (index 0) and of every region, ``(count,)`` float32: a random contrast."""
    means = rng.uniform(0.15, 1.0, count)
    contrast = means[1:] - means[0]
    means[1:] = means[0] + np.copysign(np.maximum(np.abs(contrast), _LEAST_CONTRAST), contrast)
    return means.astype(np.float32)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    """Smooth noise of unit deviation at its nodes, which lie ``size`` pixels (and about as many slices / 4) apart."""
    slices = max(2, int(shape[0] * 4 / size)) if size < 4 * shape[0] else 2
    nodes = (min(slices, shape[0]), *(max(2, int(np.ceil(extent / size))) for extent in shape[1:]))
    coarse = torch.from_numpy(rng.standard_normal(nodes, dtype=np.float32))[None, None]
    return functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0, 0].numpy()
