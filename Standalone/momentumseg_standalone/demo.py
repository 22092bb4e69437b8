"""``--demo``: what a user does, done by the program: load, draw one slice, apply, look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from momentumseg.errors import MomentumSegError
from momentumseg_standalone.acting import PLANE_VIEWS, Waiting, draw_slice, settle, show_slice
from momentumseg_standalone.errors import UserError
from momentumseg_standalone.files.loading import add_volume

_PATIENCE_SECONDS = 600.0  # for the segmentation; with two busy processor cores it takes two minutes
_PREPARATION_SECONDS = 120.0  # for each step before it; the worker may have to import torch from a slow disk
_OUTER_OPACITY, _AZIMUTH = 0.35, 30  # of the surfaces in the picture; degrees


def run_demo(host: Any, path: Path | None, *, say: Callable[[str], None] = lambda sentence: None) -> None:
    """Segment a structure of a real volume from one slice, in the module's panel. It ends after some minutes at most.

    Args:
        host: shown, with the module MomentumSeg.
        path: of a volume that is already loaded; a blob in its middle slice is drawn. None: the volume of
            ``momentumseg demo``, whose ground truth of one slice is drawn.
        say: is told what goes on, now and then.

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
    ui.planeComboBox.currentIndex = list(PLANE_VIEWS).index(plane)
    wait = Waiting(ui, say)
    wait.until(lambda: ui.outputSegmentationSelector.currentNode() is not None, _PREPARATION_SECONDS)
    draw_slice(panel, volume, drawings, index, "kji".index({"axial": "k", "coronal": "j", "sagittal": "i"}[plane]))
    show_slice(host, volume, plane, index)
    wait.until(lambda: ui.applyButton.enabled, _PREPARATION_SECONDS)
    ui.applyButton.click()
    wait.until(lambda: panel.controller.phase.is_busy, _PREPARATION_SECONDS)
    wait.until(lambda: not panel.controller.phase.is_busy, _PATIENCE_SECONDS)
    segmentation = ui.outputSegmentationSelector.currentNode()
    if panel.controller.outcome(segmentation.GetID()) is None:
        raise UserError(f"The demo could not be finished: {ui.statusLabel.text}")
    settle(2.0)  # the surface is made a moment later
    _look_inside(host, segmentation)


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


def _look_inside(host: Any, segmentation: Any) -> None:
    """Of several structures the outer ones are seen through, from a little beside."""
    display, ids = segmentation.GetDisplayNode(), list(segmentation.GetSegmentation().GetSegmentIDs())
    for segment_id in ids[1:]:
        display.SetSegmentOpacity3D(segment_id, _OUTER_OPACITY)
    camera = host.layout_manager.threeDWidget(0).threeDView().cameraNode()
    camera.GetCamera().Azimuth(_AZIMUTH)
    camera.ResetClippingRange()
    settle(1.0)
