"""``--demo``: what a user does, done by the program: load, draw one slice, apply, look."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtWidgets

from momentumseg.errors import MomentumSegError
from momentumseg_standalone.errors import UserError
from momentumseg_standalone.files.loading import add_volume
from momentumseg_standalone.segment_editor.labelmaps import array_of
from momentumseg_standalone.segment_editor.shapes import Mask

_PATIENCE_SECONDS = 900
_COLORS = ((0.90, 0.74, 0.35), (0.45, 0.75, 0.85))
_PLANE_VIEWS = {"axial": "Red", "coronal": "Green", "sagittal": "Yellow"}


def run_demo(host: Any, path: Path | None) -> None:
    """Segment a structure of a real volume from one slice, in the module's panel.

    Args:
        host: shown, with the module MomentumSeg.
        path: of a volume that is already loaded; a blob in its middle slice is drawn. None: the volume of
            ``momentumseg demo``, whose ground truth of one slice is drawn.

    Raises:
        UserError: the volume cannot be had, or the run failed.
    """
    panel = slicer.modules.MomentumSegWidget.panel
    if path is None:
        volume, drawings, plane, index = _demo_volume(host)
    else:
        volume = host.core.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        drawings, plane, index = _middle_blob(volume)
    ui = panel.ui
    ui.inputVolumeSelector.setCurrentNode(volume)
    ui.planeComboBox.currentIndex = list(_PLANE_VIEWS).index(plane)
    _wait(lambda: ui.outputSegmentationSelector.currentNode() is not None, "no segmentation was made", 20)
    _draw(panel, volume, drawings, index, "kji".index({"axial": "k", "coronal": "j", "sagittal": "i"}[plane]))
    _show_slice(host, volume, plane, index)
    _wait(lambda: ui.applyButton.enabled, "Apply cannot be pressed", 60)
    ui.applyButton.click()
    _wait(lambda: panel.controller.phase.is_busy, ui.statusLabel.text or "the run did not start", 60)
    _wait(lambda: not panel.controller.phase.is_busy, "it took too long", _PATIENCE_SECONDS)
    segmentation = ui.outputSegmentationSelector.currentNode()
    if panel.controller.outcome(segmentation.GetID()) is None:
        raise UserError(f"The demo could not be finished: {ui.statusLabel.text}")
    _show_result(host, segmentation)


def _demo_volume(host: Any) -> tuple[Any, dict[str, np.ndarray], str, int]:
    from momentumseg.cli.demo_data import load_demo_case

    try:
        case = load_demo_case()
    except MomentumSegError as error:
        raise UserError(str(error)) from error
    node = add_volume(host.core.scene, case.volume, case.volume.name)
    selection = host.core.application_logic.GetSelectionNode()
    selection.SetActiveVolumeID(node.GetID())
    host.core.application_logic.PropagateVolumeSelection()
    drawings = {name: case.reference.array == label for label, name in case.label_names.items()}
    index = case.description.drawn_slices[0]
    return node, drawings, case.description.plane, index


def _middle_blob(volume: Any) -> tuple[dict[str, np.ndarray], str, int]:
    """The roundest bright blob of the middle slice: some structure, whatever the volume shows."""
    from scipy import ndimage

    array = slicer.util.arrayFromVolume(volume)
    index = array.shape[0] // 2
    smooth = ndimage.gaussian_filter(array[index].astype(np.float32), 2)
    bright = smooth > np.quantile(smooth, 0.9)
    depth = ndimage.distance_transform_edt(bright)
    if not bright.any():
        raise UserError("The middle slice is uniform; give a volume that shows something in its middle.")
    # What hangs on the roundest part by thin bridges is left out.
    cores, _ = ndimage.label(depth > depth.max() / 2)
    core = cores == cores[np.unravel_index(depth.argmax(), depth.shape)]
    blob = np.zeros(array.shape, dtype=bool)
    blob[index] = bright & (ndimage.distance_transform_edt(~core) <= depth.max() / 2)
    return {"structure": blob}, "axial", index


def _draw(panel: Any, volume: Any, drawings: dict[str, np.ndarray], index: int, axis: int) -> None:
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


def _show_slice(host: Any, volume: Any, plane: str, index: int) -> None:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    size = volume.GetImageData().GetDimensions()
    axis = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
    ijk = [size[n] / 2 for n in range(3)]
    ijk[axis] = index
    ras = array_of(matrix) @ (*ijk, 1.0)
    host.layout_manager.sliceWidget(_PLANE_VIEWS[plane]).mrmlSliceNode().JumpSliceByCentering(*ras[:3])


def _show_result(host: Any, segmentation: Any) -> None:
    """Surfaces in the 3D view, and no brush in the way."""
    segmentation.CreateClosedSurfaceRepresentation()
    _settle(1.0)
    host.layout_manager.resetThreeDViews()
    _settle(1.0)


def _wait(condition: Any, failure: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise UserError(f"The demo could not be finished: {failure}.")
        _settle(0.05)


def _settle(seconds: float) -> None:
    """Let events, and the threads that read from the worker, run for a while."""
    end = time.monotonic() + seconds
    while True:
        QtWidgets.QApplication.processEvents()
        if time.monotonic() >= end:
            return
        time.sleep(0.01)
