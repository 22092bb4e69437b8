"""A data folder of phantoms and a network that needs no training: it segments by brightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.evaluation.models import EvaluatedModel, FoldModels
from momentumseg.io.write import write_volume
from momentumseg.networks.few_shot import FewShotNetwork, FewShotOutput, SupportSummary
from momentumseg.volumes.volume import Volume

SIZE = 64
BRIGHTNESS = (0.0, 100.0, 200.0)


class CountingBackbone(nn.Module):
    """Brightness in cells of 4x4 pixels; counts the slices that it encoded."""

    out_channels = 1
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0

    def forward(self, images: Tensor) -> Tensor:
        self.encoded += len(images)
        return functional.avg_pool2d(images[:, 1:2], 4)


class BrightnessHead(nn.Module):
    """Foreground is what is as bright as the support."""

    def summarize(self, features: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> SupportSummary:
        cells = functional.interpolate(masks[:, None].float(), scale_factor=0.25, mode="area")
        prototype = (features * cells).sum() / cells.sum()
        return SupportSummary(prototype.view(1), prototype.view(1, 1))

    def forward(self, features: Tensor, summary: SupportSummary) -> FewShotOutput:
        return FewShotOutput(20 * (1.0 - (features[:, 0] - summary.prototype).abs()))


def a_labelmap(case: int) -> np.ndarray:
    """(12, 64, 64): a box (1) whose place and length depend on the case, and in most cases a smaller one (2)."""
    labels = np.zeros((12, SIZE, SIZE), np.uint8)
    labels[2 : 8 + case % 3, 8 + 4 * (case % 2) : 28, 12:36] = 1
    if case != 3:
        labels[4:9, 36:56, 40 : 52 + 4 * (case % 2)] = 2
    return labels


@pytest.fixture
def a_data_folder(tmp_path: Path) -> Path:
    """Six cases, ``case_1`` to ``case_6``; the fourth has no label 2."""
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for case in range(6):
        labels = Volume(a_labelmap(case), np.diag((1.5, 1.5, 4.0, 1.0)))
        noise = np.random.default_rng(case).normal(0, 3, labels.shape)
        image = np.array(BRIGHTNESS)[labels.array] + noise
        write_volume(labels.like(image.astype(np.float32)), tmp_path / "data" / "images" / f"case_{case + 1}.nii.gz")
        write_volume(labels, tmp_path / "data" / "labels" / f"case_{case + 1}.nii.gz")
    return tmp_path / "data"


@pytest.fixture
def a_model() -> EvaluatedModel:
    """The brightness network, trained on a case that is in no data folder."""
    network = FewShotNetwork(CountingBackbone(), BrightnessHead(), {}).eval()
    recipe = {"data": {"size": SIZE}}
    return EvaluatedModel(network, "brightness", "0" * 64, recipe, training_cases=frozenset({"elsewhere"}))


@pytest.fixture
def models(a_model: EvaluatedModel) -> FoldModels:
    return FoldModels(lambda _fold: a_model)
