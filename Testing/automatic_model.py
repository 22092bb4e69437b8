"""A tiny automatic model with random weights, for tests of every room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from momentumseg.networks.registry import build_segmentation_network
from momentumseg.transforms.data_statistics import DataStatistics, LabelTable
from momentumseg.weights.segmentation_models import save_segmentation_model

NAMES = {1: "organ", 2: "tumour"}


def save_automatic_model(path: Path, seed: int = 0, training_cases: tuple[str, ...] = (), **changes: Any) -> Path:
    """Write it; ``changes`` are those of its data statistics."""
    facts: dict[str, Any] = {
        "spacing": (None, 3.0, 3.0),
        "plane": "volume",
        "patch": (8, 16, 16),
        "channels": ("CT",),
        "intensity": "percentile",
        "labels": LabelTable.of(NAMES),
    }
    statistics = DataStatistics(**{**facts, **changes})
    torch.manual_seed(seed)
    network = build_segmentation_network(
        {
            "name": "resunet",
            "in_channels": statistics.in_channels,
            "classes": statistics.classes,
            "dimensions": statistics.dimensions,
            "widths": [4, 8],
            "norm": "instance",
        }
    )
    save_segmentation_model(
        network,
        path,
        recipe={"inference": {"mirror": False}, "training": {"seed": seed}},
        card={"name": "abdomen", "licence": "CC BY 4.0", "extra": {"training_cases": list(training_cases)}},
        statistics=statistics.to_mapping(),
    )
    return path
