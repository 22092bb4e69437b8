"""A generated abdomen for trying the module and for its tests: CT-like, with organs that change from slice to slice.

Only numpy and scipy, which Slicer brings; no network, nobody's image, and the same voxels at every call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

SHAPE = (44, 160, 192)  # (K, J, I)
SPACING_MM = (2.0, 2.0, 4.0)  # along I, J, K
AIR, LUNG_GAS, FAT, MUSCLE, BONE = -1000, -850, -100, 50, 400  # Hounsfield units
NOISE_HU = 14.0


@dataclass(frozen=True)
class _Organ:
    """An ellipsoid with an uneven surface. Lengths in mm from the middle of the volume: right, front, up is positive.

    Attributes:
        value: Hounsfield units.
        waves: amplitude of the unevenness, as a fraction of the radius.
        drift: how far the centre moves to the right and to the front over the organ's half height.
    """

    name: str
    value: float
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    waves: float = 0.0
    drift: tuple[float, float] = (0.0, 0.0)
    tilt_degrees: float = 0.0
    label: int = 0
    texture: float = field(default=6.0)


# Painted one after the other: what comes later lies in front. Labels are the structures worth segmenting.
_ORGANS = (
    _Organ("bowel", 20, (-10, 30, -62), (105, 45, 48), 0.10, texture=45),
    _Organ("psoas, right", MUSCLE, (36, -50, -60), (16, 18, 60)),
    _Organ("psoas, left", MUSCLE, (-36, -50, -60), (16, 18, 60)),
    _Organ("liver", 105, (72, 18, 26), (72, 62, 58), 0.10, (-8, 6), 18, label=1),
    _Organ("stomach", 30, (-52, 42, 40), (38, 30, 34), 0.12, (8, -6), -30),
    _Organ("gas of the stomach", LUNG_GAS, (-50, 58, 40), (20, 9, 20), 0.05),
    _Organ("spleen", 118, (-98, -18, 36), (24, 40, 36), 0.10, (4, 6), 25, label=2),
    _Organ("right kidney", 170, (58, -38, -26), (24, 28, 46), 0.05, (-6, 6), 20, label=3),
    _Organ("left kidney", 170, (-58, -36, -14), (24, 28, 46), 0.05, (6, 6), -20, label=4),
    _Organ("right renal pelvis", 60, (48, -33, -24), (10, 10, 20), 0.05),
    _Organ("left renal pelvis", 60, (-48, -31, -12), (10, 10, 20), 0.05),
    _Organ("aorta", 190, (-10, -22, 0), (10, 10, 900)),
    _Organ("vena cava", 140, (18, -18, 0), (12, 9, 900)),
    _Organ("vertebra", BONE, (0, -62, 0), (22, 19, 900), 0.06, texture=40),
    _Organ("spinal canal", 20, (0, -84, 0), (9, 8, 900)),
)
LABEL_NAMES = {organ.label: organ.name for organ in _ORGANS if organ.label}


@dataclass(frozen=True)
class Phantom:
    """A generated volume.

    Attributes:
        voxels: Hounsfield units, int16 (K, J, I).
        labels: of ``LABEL_NAMES``, uint8 (K, J, I); 0 elsewhere.
        ijk_to_ras: 4x4, mm; axial slices, I to the patient's left, J to the back, K to the head.
    """

    voxels: np.ndarray
    labels: np.ndarray
    ijk_to_ras: np.ndarray


def generate_abdomen(seed: int = 20) -> Phantom:
    """Return an abdomen; another ``seed`` gives another patient, with organs of other shapes and places."""
    rng = np.random.default_rng(seed)
    right, front, up = _coordinates()
    values, cavity = _body(right, front, up, rng)
    labels = np.zeros(SHAPE, np.uint8)
    for organ in _ORGANS:
        inside, box = _region(organ, right, front, up, rng)
        inside &= cavity[box]  # the wall stays where an organ would leave it
        values[box][inside] = organ.value + organ.texture * _smooth_noise(rng, inside.shape)[inside]
        if organ.label or not organ.name.endswith("pelvis"):  # a kidney's pelvis belongs to the kidney
            labels[box][inside] = organ.label
    blurred = ndimage.gaussian_filter(values, (0.3, 0.7, 0.7))
    noise = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE).astype(np.float32), (0, 0.6, 0.6))
    voxels = np.clip(np.rint(blurred + NOISE_HU / noise.std() * noise), -1024, 3071).astype(np.int16)
    return Phantom(voxels, labels, _ijk_to_ras())


def _ijk_to_ras() -> np.ndarray:
    matrix = np.diag((-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0))
    middle = (np.array(SHAPE[::-1]) - 1) / 2
    matrix[:3, 3] = -matrix[:3, :3] @ middle
    return matrix


def _coordinates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Millimetres to the right, front and up of the middle, shaped to broadcast to (K, J, I)."""
    up, front, right = (
        sign * (np.arange(n, dtype=np.float32) - (n - 1) / 2) * step
        for n, step, sign in zip(SHAPE, SPACING_MM[::-1], (1, -1, -1), strict=True)
    )
    return right[None, None, :], front[None, :, None], up[:, None, None]


def _body(
    right: np.ndarray, front: np.ndarray, up: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of fat, the muscles of the wall, ribs and the fat inside it, and a mask of that inside."""
    width, depth = 168 - 0.08 * np.abs(up + 20), 118 + 0.05 * up
    distance = np.hypot(right / width, (front + 4) / depth)
    values = np.full(SHAPE, AIR, np.float32)
    layers = ((1.0, FAT), (0.86, MUSCLE), (0.79, FAT + 8))
    for reach, value in layers:
        np.putmask(values, np.broadcast_to(distance < reach, SHAPE), value)
    angle = np.arctan2(front + 4, right)
    ribs = (np.abs(distance - 0.825) < 0.022) & (np.cos(14 * angle + 0.06 * up) > 0.55) & (front < 70)
    values[np.broadcast_to(ribs, SHAPE)] = BONE - 60
    back = (np.hypot((np.abs(right) - 42) / 36, (front + 84) / 20) < 1) & (distance < 0.86)
    values[np.broadcast_to(back, SHAPE)] = MUSCLE
    values[values > AIR] += (10 * _smooth_noise(rng, SHAPE))[values > AIR]
    return values, np.broadcast_to(distance < layers[-1][0], SHAPE)


def _region(
    organ: _Organ, right: np.ndarray, front: np.ndarray, up: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[slice, slice, slice]]:
    """Return where an organ is, as a mask of the box that it can reach, and the box."""
    centre = np.array(organ.centre) + rng.normal(0, 2.0, 3)
    radii = np.array(organ.radii) * (1 + rng.normal(0, 0.03, 3))
    phases = rng.uniform(0, 2 * np.pi, 4)
    reach = max(radii[0], radii[1]) * 1.5 + 12
    box = (_within(up, centre[2], radii[2] * 1.3), _within(front, centre[1], reach), _within(right, centre[0], reach))
    z = (up[box[0]] - centre[2]) / radii[2]
    x = right[:, :, box[2]] - centre[0] - organ.drift[0] * z
    y = front[:, box[1]] - centre[1] - organ.drift[1] * z
    cosine, sine = np.cos(np.deg2rad(organ.tilt_degrees)), np.sin(np.deg2rad(organ.tilt_degrees))
    u, v = (cosine * x + sine * y) / radii[0], (cosine * y - sine * x) / radii[1]
    angle = np.arctan2(v, u)
    waves = sum(np.cos(n * angle + phase + 1.5 * z) / n for n, phase in zip((2, 3, 4, 5), phases, strict=True))
    # Towards its ends an organ is round: an uneven tip would fall into pieces.
    uneven = organ.waves * np.sqrt(np.clip(1 - z**2, 0, 1))
    return u**2 + v**2 + z**2 < (1 + uneven * waves) ** 2, box


def _within(coordinate: np.ndarray, centre: float, reach: float) -> slice:
    """The stretch of an axis that lies at most ``reach`` from ``centre``."""
    indices = np.flatnonzero(np.abs(coordinate.ravel() - centre) <= reach)
    return slice(int(indices[0]), int(indices[-1]) + 1) if indices.size else slice(0, 0)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise of standard deviation 1 that varies over about a centimetre."""
    coarse = rng.normal(0, 1, [max(n // 4, 2) for n in shape]).astype(np.float32)
    factors = [n / m for n, m in zip(shape, coarse.shape, strict=True)]
    smooth = ndimage.zoom(coarse, factors, order=1)
    return smooth / max(float(smooth.std()), 1e-6)
