"""Small scans with segmentations for the tests of the training module, and a view that keeps what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
from a_scene import add_volume
from bridge import ball

from MomentumSegLib.segment_voxels import oriented_image
from MomentumSegLib.segmentation_output import add_segment

SHAPE = (9, 10, 11)
GRID = np.array([[-1.0, 0, 0, 5], [0, -1.0, 0, 5], [0, 0, 2.0, -9], [0, 0, 0, 1]])
ORGAN = ball(SHAPE, (4, 5, 5), 3)
TUMOUR = ball(SHAPE, (4, 5, 5), 1)


def add_scan(scene: Any, name: str, ijk_to_ras: np.ndarray = GRID) -> Any:
    return add_volume(scene, np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE), ijk_to_ras, name)


def add_segmentation(scene: Any, volume: Any, segments: Mapping[str, np.ndarray | None], name: str = "") -> Any:
    """A segmentation of a scan in the scan's grid; None: an empty segment."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name or f"{volume.GetName()} segmentation")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    for title, mask in segments.items():
        segment_id = add_segment(node, title)
        if mask is not None:
            draw(node, segment_id, mask)
    return node


def draw(node: Any, segment_id: str, mask: np.ndarray, ijk_to_ras: np.ndarray = GRID) -> None:
    """Have a segment hold a (K, J, I) mask."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = oriented_image(mask, (0, 0, 0), ijk_to_ras)
    logic.SetBinaryLabelmapToSegment(image, node, segment_id, logic.MODE_REPLACE)


def two_cases(scene: Any) -> tuple[Any, Any]:
    """Two scans, "CT 1" and "CT 2", with the organ drawn in both; returns the volumes."""
    volumes = add_scan(scene, "CT 1"), add_scan(scene, "CT 2")
    for volume in volumes:
        add_segmentation(scene, volume, {"organ": ORGAN})
    return volumes


REPORT = {
    "cases": 2,
    "labelled": 2,
    "unlabelled": 0,
    "patients": 2,
    "labels": ["organ"],
    "problems": [],
    "warnings": [],
    "memory": {"estimate_bytes": 4e8, "available_bytes": 8e9, "by_mode": {}, "fits": True, "proposal": None},
    "seconds_per_iteration": 0.5,
    "estimated_seconds": 500.0,
    "iterations": 1000,
}
RECIPES = [
    {
        "name": "automatic-laptop",
        "title": "Automatic model, laptop",
        "purpose": "Segments without drawing",
        "needs": "two segmented scans",
        "network": "ResUNet",
        "strategy": "supervised",
        "dimensions": 3,
    }
]


def progress(iteration: int, iterations: int = 1000, dice: float | None = None) -> dict[str, Any]:
    """Values of one message of a training."""
    metrics = {} if dice is None else {"organ": dice, "mean": dice}
    return {
        "iteration": iteration,
        "iterations": iterations,
        "losses": {"loss": 1.0 / (1 + iteration)},
        "metrics": metrics,
        "seconds": 0.5 * iteration,
        "remaining_seconds": 0.5 * (iterations - iteration),
        "epoch": 1,
        "case": "CT_2" if dice is not None else None,
    }


class ViewOfTest:
    """Keeps what a controller tells."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.sentences: list[str] = []
        self.failures: list[str] = []
        self.reports: list[Mapping[str, Any]] = []
        self.preparations: list[tuple[float, str]] = []
        self.values: list[Mapping[str, Any]] = []
        self.ended: list[tuple[Any, Mapping[str, Any]]] = []
        self.begun: list[Any] = []
        self.answer = True
        self.questions: list[str] = []

    def phase_changed(self, phase: Any) -> None:
        self.phases.append(phase.value)

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def preparing(self, fraction: float, sentence: str) -> None:
        self.preparations.append((fraction, sentence))

    def checked(self, report: Mapping[str, Any]) -> None:
        self.reports.append(report)

    def confirms(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def training_began(self, run: Any) -> None:
        self.begun.append(run)

    def progressed(self, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.values.append(values)

    def finished(self, run: Any, values: Mapping[str, Any]) -> None:
        self.ended.append((run, values))

    def failed(self, sentence: str, reason: str) -> None:
        self.failures.append(sentence)
