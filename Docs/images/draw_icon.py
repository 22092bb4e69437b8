"""Draw the modules' icons: three slices of a body, an organ drawn on the middle one and found in the others; for the
training module the organ is known in all of them, and a curve rises over it.

python Docs/images/draw_icon.py SlicerMomentumSeg/Resources/Icons/MomentumSeg.png
python Docs/images/draw_icon.py SlicerMomentumSeg/Resources/Icons/MomentumSegTraining.png
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib import image

SIZE = 128
OVERSAMPLING = 8
SLICES = (100.0, 64.0, 28.0)  # heights of the slices, bottom first; the middle one is the drawn one
BODY, EDGE, ORGAN, DRAWN, PENCIL = (
    np.array(colour) / 255
    for colour in ((52, 84, 124), (150, 184, 220), (246, 173, 92), (240, 120, 32), (255, 255, 255))
)


def blob(x: np.ndarray, y: np.ndarray, lift: float) -> np.ndarray:
    """Signed distance (about pixels) to a bean-shaped organ on the slice at height ``lift``; negative inside."""
    shift = (64.0 - lift) / 6
    u, v = (x - 56 - shift) / 27, (y - lift) / 10.5
    angle = np.arctan2(v, u)
    return (np.hypot(u, v) - 1 - 0.16 * np.cos(2 * angle + 0.6) - 0.1 * np.cos(3 * angle)) * 12


def draw(training: bool = False) -> np.ndarray:
    """Return the icon (128, 128, 4), colours and opacity from 0 to 1."""
    steps = (np.arange(SIZE * OVERSAMPLING) + 0.5) / OVERSAMPLING
    x, y = np.meshgrid(steps, steps)
    picture = np.zeros((*x.shape, 4))
    for lift in SLICES:
        body = (np.hypot((x - 64) / 60, (y - lift) / 24) - 1) * 24
        organ, drawn = blob(x, y, lift), lift == SLICES[1] and not training
        paint(picture, body < 0, EDGE)
        paint(picture, body < -2.5, BODY)
        paint(picture, organ < 0, PENCIL if drawn else ORGAN)
        if drawn:
            paint(picture, organ < -3.2, DRAWN)
    if training:
        height = 112 - 88 * (1 - np.exp(-np.clip(x - 14, 0, None) / 26))
        distance = np.abs(y - height) / np.hypot(1, 88 / 26 * np.exp(-np.clip(x - 14, 0, None) / 26))
        inside = (x > 14) & (x < 116)
        paint(picture, inside & (distance < 6), EDGE * 0.35)
        paint(picture, inside & (distance < 4), PENCIL)
    return picture.reshape(SIZE, OVERSAMPLING, SIZE, OVERSAMPLING, 4).mean((1, 3))


def paint(picture: np.ndarray, where: np.ndarray, colour: np.ndarray) -> None:
    picture[where] = (*colour, 1)


def unblended(picture: np.ndarray) -> np.ndarray:
    """Averaging mixed the colours of edge pixels with the empty background's black; take that out again."""
    opacity = picture[..., 3:]
    colours = np.divide(picture[..., :3], opacity, out=np.zeros_like(picture[..., :3]), where=opacity > 0)
    return np.clip(np.concatenate((colours, opacity), axis=-1), 0, 1)


if __name__ == "__main__":
    image.imsave(sys.argv[1], unblended(draw(training="Training" in sys.argv[1])))
