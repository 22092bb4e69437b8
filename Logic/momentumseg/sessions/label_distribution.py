"""Several labels that compete for a voxel: one distribution over background and labels, from independent logits.

p_l = exp(z_l) / (1 + sum_m exp(z_m)) is the softmax over [0, z_1, ..., z_L]; the background has the rest. With one
label it is the sigmoid, so that the label wins exactly where its probability exceeds 0.5.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# Expected foreground that a slice must have, as a part of its pixels, before its uncertainty counts in full.
_FOREGROUND_FLOOR = 0.002


def label_probabilities(logits: Tensor) -> Tensor:
    """Probability of each label, ``(L, ...) -> (L, ...)``, of independent foreground logits."""
    if len(logits) == 1:
        return torch.sigmoid(logits)
    return torch.softmax(torch.cat([torch.zeros_like(logits[:1]), logits]), dim=0)[1:]


def upsample_logits(logits: Tensor, size: int) -> Tensor:
    """Bilinear with aligned corners, ``(L, h, w) -> (L, size, size)``; as they are when they have that size."""
    if logits.shape[-1] == size:
        return logits
    return functional.interpolate(logits[None], size=(size, size), mode="bilinear", align_corners=True)[0]


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """Index of the most probable class, 0 the background and 1 .. L the labels, of ``(L, ...)`` probabilities.

    The background wins ties, the earlier label among labels.
    """
    if len(probabilities) == 1:
        return (probabilities[0] > 0.5).astype(np.intp)
    background = 1.0 - probabilities.sum(axis=0, keepdims=True)
    return np.concatenate([background, probabilities]).argmax(axis=0)


def normalized_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of the label distribution over its maximum ln(L + 1), in [0, 1], of ``(L, ...)`` probabilities."""
    background = np.clip(1.0 - probabilities.sum(axis=0, keepdims=True), 0.0, 1.0)
    distribution = torch.from_numpy(np.concatenate([background, probabilities]))
    entropy = torch.special.entr(distribution).sum(dim=0) / np.log(len(distribution))
    return entropy.clamp_(0.0, 1.0).numpy()


def uncertain_pixels(probabilities: np.ndarray) -> np.ndarray:
    """Of one slice ``(L, rows, columns)``, how many pixels of each label are open, ``(L,)``.

    The geometric mean of the label's expected pixels, sum p, and of the undecided ones among them, sum p times entropy
    over its maximum: a large part of the structure counts even where the network is rather sure, as it may be surely
    wrong; what is quite certain counts nothing, and faint pixels next to nothing, however many they are.
    """
    by_label = [float(label.sum()) * float((normalized_entropy(label[None]) * label).sum()) for label in probabilities]
    return np.sqrt(by_label)


def mean_uncertainty(probabilities: np.ndarray) -> float:
    """Mean normalised entropy of one slice ``(L, rows, columns)``, weighted with the probability of any label.

    A slice with next to no expected foreground counts little, however undecided its faint pixels are.
    """
    foreground = probabilities.sum(axis=0)
    floor = _FOREGROUND_FLOOR * foreground.size
    return float((normalized_entropy(probabilities) * foreground).sum() / max(foreground.sum(), floor))
