"""What a user does in the module's panel, done by the program: for the demo and the pictures of the tutorial."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import vtk
from PySide6 import QtWidgets

from momentumseg_standalone.errors import UserError
from momentumseg_standalone.segment_editor.labelmaps import array_of
from momentumseg_standalone.segment_editor.shapes import Mask

PLANE_VIEWS = {"axial": "Red", "coronal": "Green", "sagittal": "Yellow"}
_COLORS = ((0.90, 0.74, 0.35), (0.45, 0.75, 0.85))


def draw_slice(panel: Any, volume: Any, drawings: dict[str, np.ndarray], index: int, axis: int) -> None:
    """One segment for each structure, drawn on one slice as with the brush: one undo step each."""
    editor = panel.ui.segmentEditorWidget
    for number, (name, truth) in enumerate(drawings.items()):
        drawn = np.zeros_like(truth)
        np.moveaxis(drawn, axis, 0)[index] = np.moveaxis(truth, axis, 0)[index]
        segmentation = editor.segmentationNode().GetSegmentation()
        empty = [segment for segment in segmentation.GetSegmentIDs() if segment == name]
        segment_id = empty[0] if empty else segmentation.AddEmptySegment(name, name, _COLORS[number % len(_COLORS)])
        editor.setCurrentSegmentID(segment_id)
        effect = editor.effectByName("Paint")
        k, j, i = (int(size) - 1 for size in drawn.shape)
        effect._modify(Mask(drawn, (0, i, 0, j, 0, k)), "Add")
    for segment_id in list(editor.segmentationNode().GetSegmentation().GetSegmentIDs()):
        if segment_id not in drawings:
            editor.segmentationNode().GetSegmentation().RemoveSegment(segment_id)


def show_slice(host: Any, volume: Any, plane: str, index: int) -> None:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    size = volume.GetImageData().GetDimensions()
    axis = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
    ijk = [size[n] / 2 for n in range(3)]
    ijk[axis] = index
    ras = array_of(matrix) @ (*ijk, 1.0)
    host.layout_manager.sliceWidget(PLANE_VIEWS[plane]).mrmlSliceNode().JumpSliceByCentering(*ras[:3])


class Waiting:
    """Waits for the panel, says what its status line says, and gives up in words.

    Args:
        ui: widgets of the panel.
        say: is told each new sentence of the status line.
    """

    def __init__(self, ui: Any, say: Callable[[str], None]) -> None:
        self._ui, self._say, self._said = ui, say, ""

    def until(self, condition: Callable[[], Any], seconds: float) -> None:
        """Run the event loop until a condition holds.

        Raises:
            UserError: it did not within ``seconds``.
        """
        end = time.monotonic() + seconds
        while not condition():
            status = str(self._ui.statusLabel.text)
            if status != self._said:
                self._said = status
                self._say(status)
            if time.monotonic() > end:
                raise UserError(
                    f'Given up after {seconds:.0f} s; the last that the panel said was "{status}". '
                    "Run it again when the computer is less busy."
                )
            settle(0.05)


def settle(seconds: float) -> None:
    """Let events, and the threads that read from the worker, run for a while."""
    end = time.monotonic() + seconds
    while True:
        QtWidgets.QApplication.processEvents()
        if time.monotonic() >= end:
            return
        time.sleep(0.01)
