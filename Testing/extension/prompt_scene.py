"""A scene with prompts, for tests: markups as the mouse would place them, and a worker that the test plays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from a_scene import add_volume, new_scene
from fake_client import FakeClient, FakeJob

from MomentumSegLib.phase import Phase
from MomentumSegLib.prompt_controller import PromptController
from MomentumSegLib.prompt_nodes import NEGATIVE, POSITIVE
from MomentumSegLib.prompt_request import PromptRequest
from MomentumSegLib.segment_voxels import oriented_image, read_segment
from MomentumSegLib.segmentation_output import create_output_segmentation
from MomentumSegLib.slice_geometry import nodes_of_class
from MomentumSegLib.ticks import QueuedTicks
from MomentumSegLib.volume_data import read_volume_geometry
from MomentumSegLib.volume_sender import VolumeSender

SHAPE = (10, 12, 14)
IJK_TO_RAS = np.array([[-2.0, 0, 0, 10], [0, -2.0, 0, 5], [0, 0, 4.0, -30], [0, 0, 0, 1]])


class View:
    """Keeps what the controller tells."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.progress: list[float] = []
        self.sentences: list[str] = []
        self.answers: list[Any] = []
        self.results: list[Any] = []
        self.failures: list[tuple[str, str, str]] = []

    def phase_changed(self, phase: Phase) -> None:
        self.phases.append(phase)

    def progressed(self, fraction: float, remaining_seconds: float | None) -> None:
        self.progress.append(fraction)

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def prompts_changed(self) -> None:
        """Of no interest here."""

    def answered(self, answer: Any) -> None:
        self.answers.append(answer)

    def followed(self, followed: Any) -> None:
        self.results.append(followed)

    def failed(self, kind: str, sentence: str, reason: str) -> None:
        self.failures.append((kind, sentence, reason))


class Editor:
    """The segment editor's undo, without a window."""

    def __init__(self, scene: Any, segmentation: Any) -> None:
        self.states = 0
        self.node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.node.SetOverwriteMode(self.node.OverwriteNone)
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(scene)
        self.logic.SetSegmentEditorNode(self.node)
        self.logic.SetSegmentationNode(segmentation)

    def saveStateForUndo(self) -> None:
        self.states += 1
        self.logic.SaveStateForUndo()


class PromptScene:
    """A volume, a segmentation with two segments, and a controller."""

    def __init__(self) -> None:
        self.scene, self._logics = new_scene()
        self.client, self.ticks, self.view = FakeClient(), QueuedTicks(), View()
        voxels = np.random.default_rng(3).integers(0, 100, SHAPE).astype(np.int16)
        self.volume = add_volume(self.scene, voxels, IJK_TO_RAS)
        self.segmentation = create_output_segmentation(self.scene, self.volume)
        self.segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
        self.segmentation.GetSegmentation().AddEmptySegment("kidney", "Kidney")
        self.editor = Editor(self.scene, self.segmentation)
        self.sender = VolumeSender(self.scene, self.client, self.ticks)
        self.controller = self.new_controller()
        self.request = PromptRequest(
            volume_id=self.volume.GetID(),
            segmentation_id=self.segmentation.GetID(),
            segment_id="liver",
            plane="axial",
            model="lite-medsam",
            device="cpu",
        )

    def new_controller(self) -> PromptController:
        return PromptController(
            self.scene,
            self.client,
            self.ticks,
            self.view,
            self.sender,
            undo=self.editor,
            editor_node=lambda: self.editor.node,
        )

    def close(self) -> None:
        """Before Python collects the parts in any order."""
        self.controller.close()
        self.sender.close()
        self.scene.Clear(True)

    # What the user does

    def look(self, slice_on_screen: int | None = None, **changes: Any) -> None:
        """The panel refreshes."""
        self.request = replace(self.request, **changes)
        self.controller.update(self.request, slice_on_screen)
        self.ticks.run()

    def ras(self, k: float, j: float, i: float) -> np.ndarray:
        return (IJK_TO_RAS @ (i, j, k, 1.0))[:3]

    def click(self, k: float, j: float, i: float, *, positive: bool = True) -> Any:
        """Place a point."""
        kind = POSITIVE if positive else NEGATIVE
        node = self.controller.nodes.points_node(self.segmentation, self.request.segment_id, kind)
        node.AddControlPointWorld(*self.ras(k, j, i))
        self.ticks.run()
        return node

    def box(self, k: float, low: tuple[float, float], high: tuple[float, float]) -> Any:
        """Place a box by two corners (j, i) on a slice."""
        node = self.controller.nodes.new_box(self.segmentation, self.request.segment_id)
        for j, i in (low, high):
            node.AddControlPointWorld(*self.ras(k, j, i))
        self.ticks.run()
        return node

    # What the worker does

    @property
    def question(self) -> FakeJob:
        """The last question for a mask."""
        return self.client.last("prompt_predict")

    def answer(self, mask: np.ndarray, job: FakeJob | None = None, **values: Any) -> None:
        """Answer a question with the (rows, columns) mask of the whole slice."""
        job = job or self.question
        reply = {"slice_index": job.parameters["slice_index"], "origin": [0, 0], "predicted_iou": 0.9}
        job.result({**reply, "alternatives": [], **values}, mask=mask.astype(np.uint8))
        self.ticks.run()

    # What there is

    def voxels(self, segment_id: str = "liver") -> np.ndarray:
        volume = read_volume_geometry(self.volume)
        return read_segment(self.segmentation, segment_id, volume).window((0, 0, 0), SHAPE)

    def set_voxels(self, voxels: np.ndarray, segment_id: str = "liver") -> None:
        image = oriented_image(voxels, (0, 0, 0), IJK_TO_RAS)
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, self.segmentation, segment_id)

    @property
    def previews(self) -> list[Any]:
        return [n for n in nodes_of_class(self.scene, "vtkMRMLSegmentationNode") if n.GetName().endswith("preview")]

    def previewed(self) -> np.ndarray:
        """(K, J, I) of the masks that are shown but not accepted."""
        volume = read_volume_geometry(self.volume)
        return read_segment(self.previews[0], "label1", volume).window((0, 0, 0), SHAPE)


def a_square(first: int, end: int) -> np.ndarray:
    """(rows, columns) mask of an axial slice."""
    mask = np.zeros(SHAPE[1:], dtype=np.uint8)
    mask[first:end, first:end] = 1
    return mask
