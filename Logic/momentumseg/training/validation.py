"""How good a network is on the cases that it does not train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from momentumseg.errors import InputError
from momentumseg.inference.sliding_window import predict_probabilities
from momentumseg.training.prepared_case import PreparedCase
from momentumseg.training.progress import ValidationReport

_PICTURE_PERCENTILES = (1.0, 99.0)


class SlidingWindowValidator:
    """Mean Dice over whole cases, segmented as a user's volume will be, on the grid of training.

    Args:
        cases: labelled; their labels are 0 .. n.
        names: of the labels 1 .. n, in order.
        patch: of the sliding window.
        overlap: of its windows.
        device: that the network is on.
        cancelled: asked between windows.

    Raises:
        InputError: no case has labels.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        names: Sequence[str],
        patch: Sequence[int],
        overlap: float = 0.25,
        device: torch.device | str = "cpu",
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self._cases = [case for case in cases if case.labels is not None]
        if not self._cases:
            raise InputError("No validation case has labels; choose others or set data.validation to 0.")
        self._names = list(names)
        self._patch = tuple(patch)
        self._overlap = overlap
        self._device = device
        self._cancelled = cancelled
        self._shown = _most_instructive_slice(self._cases[0].labels)

    def __call__(self, network: nn.Module) -> ValidationReport:
        """Segment every case. Raises `Cancelled` when the user stopped meanwhile."""
        found = [self._segmented(network, case) for case in self._cases]
        dice = dice_by_label(found, [np.asarray(case.labels) for case in self._cases], len(self._names))
        by_name = {name: value for name, value in zip(self._names, dice, strict=True) if not np.isnan(value)}
        first = self._cases[0]
        return ValidationReport(
            score=float(np.mean(list(by_name.values()))) if by_name else 0.0,
            dice=by_name,
            case=first.name,
            image=as_picture(np.asarray(first.image[0, self._shown])),
            reference=np.asarray(first.labels)[self._shown].astype(np.uint8),
            predicted=found[0][self._shown],
        )

    def _segmented(self, network: nn.Module, case: PreparedCase) -> np.ndarray:
        """Labels (D, H, W) uint8."""
        probabilities = predict_probabilities(
            network,  # type: ignore[arg-type]  # a strategy's model is a segmentation network here
            np.asarray(case.image),
            patch=self._patch,
            overlap=self._overlap,
            device=self._device,
            cancelled=self._cancelled,
        )
        return probabilities.argmax(axis=0).astype(np.uint8)


def dice_by_label(predicted: Sequence[np.ndarray], reference: Sequence[np.ndarray], labels: int) -> list[float]:
    """Dice of each label 1 .. ``labels``, mean over the cases that have it or were given it; NaN where none has."""
    return [_mean_dice(predicted, reference, label) for label in range(1, labels + 1)]


def metrics_of(report: Mapping[str, float]) -> dict[str, float]:
    """The figures of a trainer's metrics that belong on a model card."""
    card = {"validation Dice, mean": report["best_score"]} if "best_score" in report else {}
    dice = {f"validation Dice, {key[5:]}": value for key, value in report.items() if key.startswith("dice_")}
    return {**card, **dice}


def _mean_dice(predicted: Sequence[np.ndarray], reference: Sequence[np.ndarray], label: int) -> float:
    values = []
    for guess, truth in zip(predicted, reference, strict=True):
        a, b = guess == label, truth == label
        total = int(a.sum()) + int(b.sum())
        if total:
            values.append(2.0 * int((a & b).sum()) / total)
    return float(np.mean(values)) if values else float("nan")


def _most_instructive_slice(labels: np.ndarray | None) -> int:
    """The slice with the largest labelled area: what is shown while the network learns."""
    return int(np.argmax((np.asarray(labels) > 0).sum(axis=(1, 2))))


def as_picture(values: np.ndarray) -> np.ndarray:
    """Grey values 0 .. 255 of a slice (H, W)."""
    low, high = np.percentile(values.astype(np.float32), _PICTURE_PERCENTILES)
    scaled = (values.astype(np.float32) - low) / max(float(high - low), 1e-6)
    return np.rint(np.clip(scaled, 0.0, 1.0) * 255.0).astype(np.uint8)
