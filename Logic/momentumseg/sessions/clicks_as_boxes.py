"""Clicks for networks that were trained on boxes only, such as LiteMedSAM.

Such a network takes points and makes nothing of them (one click: Dice 0.04 on CHAOS MRI, and clicks spoil what a box
found). So a click is answered by boxes: boxes of several sizes around it are tried, the best are drawn again around
what was found in them, and the answer that the network itself expects to be best is taken. In a given box, clicks move
its sides. An answer that contradicts the clicks is taken only if all do.

A further click must not destroy what was right: beside the new answers stands the mask so far, changed only around the
click, up to its border. A new answer has to be clearly better by the network's own estimate to take its place.

Everything here is in pixels of the network's image, (x, y), boxes (x0, y0, x1, y1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

Answers = tuple[np.ndarray, np.ndarray]
"""Logits ``(N, m, m)`` and predicted IoU ``(N,)``."""

# Sides of the boxes around a click, as parts of the image: structures of 1 to 20 cm in an abdominal slice.
_SIDES = (0.0625, 0.1, 0.165, 0.265, 0.43, 0.7)
_DRAWN_AGAIN = 3  # the best of them; every box costs a run of the decoder
_MARGIN = 3.0  # pixels around what was found, for the second box
_ALTERNATIVES = 3
_CLEARLY = 0.03  # predicted IoU by which a new answer must exceed the mask so far
_CERTAIN = 4.0  # logit of what a click changes
_SAME = 0.9  # IoU of two answers above which they are offered once


@dataclass(frozen=True)
class Clicks:
    """Points ``(P, 2)`` and whether each is inside, ``(P,)`` boolean."""

    points: np.ndarray
    inside: np.ndarray

    @property
    def wanted(self) -> np.ndarray:
        return self.points[self.inside]

    @property
    def unwanted(self) -> np.ndarray:
        return self.points[~self.inside]


@dataclass
class BoxSearch:
    """Finds boxes for clicks.

    Args:
        ask: answers boxes ``(N, 4)``, one mask each.
        ask_with_clicks: answers one box ``(4,)`` and the clicks together, as the network itself does.
        image_size: pixels of the network's image.
    """

    ask: Callable[[np.ndarray], Answers]
    ask_with_clicks: Callable[[np.ndarray, Clicks], Answers]
    image_size: int
    _pool: list[tuple[int, float, np.ndarray]] = field(default_factory=list, init=False)

    def answers(
        self, clicks: Clicks, box: np.ndarray | None, before: tuple[np.ndarray, float] | None = None
    ) -> list[tuple[np.ndarray, float]]:
        """(logits ``(m, m)``, predicted IoU), the best first and those that say the same left out.

        Args:
            clicks: at least one of them inside, or a box.
            box: that the user drew, or None.
            before: logits and predicted IoU of the mask so far.
        """
        self._pool = []
        if before is not None:
            mended = self._mended(before[0], clicks)
            self._pool.append((self._obeyed(mended, clicks), before[1] + _CLEARLY, mended))
        if box is None:
            tried = self._try(_boxes_around(clicks, self.image_size), clicks)
            fitted = [self._box_of(logits, clicks) for logits in tried]
            self._try([one for one in fitted if one is not None][:_DRAWN_AGAIN], clicks)
        else:
            self._try([_without(_with(box, clicks.wanted), clicks)], clicks)
            self._keep(*self.ask_with_clicks(_with(box, clicks.wanted), clicks), clicks)
        return self._different()

    def _try(self, boxes: Sequence[np.ndarray], clicks: Clicks) -> list[np.ndarray]:
        """Logits of the answers to boxes, the best first."""
        if not boxes:
            return []
        logits, scores = self.ask(np.stack(boxes))
        self._keep(logits, scores, clicks)
        return [logits[index] for index in np.argsort(-scores, kind="stable")]

    def _keep(self, logits: np.ndarray, scores: np.ndarray, clicks: Clicks) -> None:
        for one, score in zip(logits, scores, strict=True):
            self._pool.append((self._obeyed(one, clicks), float(score), one))

    def _mended(self, logits: np.ndarray, clicks: Clicks) -> np.ndarray:
        """The mask so far with a disc around each click that it contradicts, up to the border of the mask."""
        mended = logits.copy()
        y, x = np.ogrid[: logits.shape[0], : logits.shape[1]]
        for row, column, inside in zip(*self._cells(clicks.points, logits.shape[-1]), clicks.inside, strict=True):
            if (mended[row, column] > 0) == inside:
                continue
            to_border = ndimage.distance_transform_edt((mended > 0) != inside)
            disc = (y - row) ** 2 + (x - column) ** 2 <= max(float(to_border[row, column]), 1.0) ** 2
            mended[disc] = np.maximum(mended[disc], _CERTAIN) if inside else np.minimum(mended[disc], -_CERTAIN)
        return mended

    def _obeyed(self, logits: np.ndarray, clicks: Clicks) -> int:
        """How many clicks an answer agrees with."""
        rows, columns = self._cells(clicks.points, logits.shape[-1])
        return int(np.count_nonzero((logits[rows, columns] > 0) == clicks.inside))

    def _box_of(self, logits: np.ndarray, clicks: Clicks) -> np.ndarray | None:
        """The box around the connected parts of a mask that hold clicks; None when none does."""
        parts, _ = ndimage.label(logits > 0)
        rows, columns = self._cells(clicks.wanted, logits.shape[-1])
        held = np.isin(parts, [part for part in parts[rows, columns] if part])
        if not held.any():
            return None
        cell = self.image_size / logits.shape[-1]
        ys, xs = np.flatnonzero(held.any(axis=1)) * cell, np.flatnonzero(held.any(axis=0)) * cell
        box = np.array([xs[0] - _MARGIN, ys[0] - _MARGIN, xs[-1] + _MARGIN, ys[-1] + _MARGIN])
        return _without(_with(box, clicks.wanted), clicks)

    def _cells(self, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) of points in masks of ``size`` pixels."""
        cells = np.floor((points + 0.5) * size / self.image_size).astype(int).clip(0, size - 1)
        return cells[:, 1], cells[:, 0]

    def _different(self) -> list[tuple[np.ndarray, float]]:
        chosen: list[tuple[np.ndarray, float]] = []
        for _, score, logits in sorted(self._pool, key=lambda entry: (-entry[0], -entry[1])):
            if len(chosen) < _ALTERNATIVES and not any(_is_same(logits, other) for other, _ in chosen):
                chosen.append((logits, min(score, 1.0)))
        return chosen


def _boxes_around(clicks: Clicks, image_size: int) -> list[np.ndarray]:
    """Boxes of several sizes around the middle of the clicks inside, large enough for all of them."""
    wanted = clicks.wanted
    centre = (wanted.min(axis=0) + wanted.max(axis=0)) / 2
    reach = np.abs(wanted - centre).max(axis=0) + 2 * _MARGIN
    found: list[np.ndarray] = []
    for side in _SIDES:
        half = np.maximum(side * image_size / 2, reach)
        box = _without(np.concatenate([centre - half, centre + half]).clip(0, image_size - 1), clicks)
        if not any(np.array_equal(box, other) for other in found):
            found.append(box)
    return found


def _with(box: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The box, made larger where points lie outside."""
    if not len(points):
        return box
    low = np.minimum(box[:2], np.where(points < box[:2], points - _MARGIN, box[:2]).min(axis=0))
    high = np.maximum(box[2:], np.where(points > box[2:], points + _MARGIN, box[2:]).max(axis=0))
    return np.concatenate([low, high])


def _without(box: np.ndarray, clicks: Clicks) -> np.ndarray:
    """The box, cut at unwanted points in it where the cut leaves most of it and all wanted points."""
    for point in clicks.unwanted:
        x0, y0, x1, y1 = box
        if not (x0 < point[0] < x1 and y0 < point[1] < y1):
            continue
        cuts = [
            np.array([point[0] + 1, y0, x1, y1]),
            np.array([x0, point[1] + 1, x1, y1]),
            np.array([x0, y0, point[0] - 1, y1]),
            np.array([x0, y0, x1, point[1] - 1]),
        ]
        kept = [cut for cut in cuts if _area(cut) > 0 and _holds(cut, clicks.wanted)]
        box = max(kept, key=_area, default=box)
    return box


def _holds(box: np.ndarray, points: np.ndarray) -> bool:
    return bool(((points >= box[:2]) & (points <= box[2:])).all())


def _area(box: np.ndarray) -> float:
    width, height = np.maximum(box[2:] - box[:2], 0)
    return float(width * height)


def _is_same(first: np.ndarray, second: np.ndarray) -> bool:
    one, other = first > 0, second > 0
    union = np.count_nonzero(one | other)
    return bool(union == 0 or np.count_nonzero(one & other) / union > _SAME)
