"""What all effects of the segment editor share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.segment_editor.labelmaps import array_of, grid_of, labelmap_of
from momentumseg_standalone.segment_editor.shapes import Grid, Mask, Plane
from momentumseg_standalone.views.slice_widget import qMRMLSliceWidget

if TYPE_CHECKING:
    from momentumseg_standalone.segment_editor.widget import qMRMLSegmentEditorWidget

ADD, REMOVE, SET = "Add", "Remove", "Set"


@stand_in
class qSlicerSegmentEditorAbstractEffect(QtCore.QObject):
    """Names of Slicer's class; what is ours has a leading underscore. Parameters live in the segment editor node.

    Args:
        editor: the widget that the effect belongs to.
    """

    _NAME = ""
    _TITLE = ""
    _HELP = ""
    _DEFAULTS: dict[str, str] = {}
    _COMMON_DEFAULTS: dict[str, str] = {}

    ModificationModeSet = 0
    ModificationModeAdd = 1
    ModificationModeRemove = 2
    ModificationModeRemoveAll = 3

    def __init__(self, editor: qMRMLSegmentEditorWidget) -> None:
        super().__init__(editor)
        self._editor = editor
        self._options = QtWidgets.QFrame()
        self._form = QtWidgets.QFormLayout(self._options)
        self._form.setContentsMargins(0, 4, 0, 0)
        self._active = False
        self._add_help()
        self._make_options()

    name = QtCore.Property(str, lambda self: self._NAME)
    title = QtCore.Property(str, lambda self: self._TITLE)
    perSegment = QtCore.Property(bool, lambda self: True)

    def helpText(self) -> str:
        return self._HELP

    def optionsFrame(self) -> QtWidgets.QFrame:
        return self._options

    def active(self) -> bool:
        return self._active

    def activate(self) -> None:
        self._active = True
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        self._active = False

    def parameter(self, name: str) -> str:
        node = self._editor.mrmlSegmentEditorNode()
        common = name in self._COMMON_DEFAULTS
        value = node.GetAttribute(name if common else f"{self._NAME}.{name}") if node else None
        if value is None:
            return (self._COMMON_DEFAULTS if common else self._DEFAULTS).get(name, "")
        return str(value)

    def integerParameter(self, name: str) -> int:
        return int(float(self.parameter(name) or 0))

    def doubleParameter(self, name: str) -> float:
        return float(self.parameter(name) or 0)

    def setParameter(self, name: str, value: Any) -> None:
        node = self._editor.mrmlSegmentEditorNode()
        if node is not None:
            node.SetAttribute(f"{self._NAME}.{name}", _text(value))
            self.updateGUIFromMRML()

    def setCommonParameter(self, name: str, value: Any) -> None:
        node = self._editor.mrmlSegmentEditorNode()
        if node is not None:
            node.SetAttribute(name, _text(value))
            self.updateGUIFromMRML()

    def updateGUIFromMRML(self) -> None:
        """Show the parameters; effects with options override it."""

    def saveStateForUndo(self) -> None:
        self._editor.saveStateForUndo()

    # What ours use.

    def _make_options(self) -> None:
        """Put the effect's controls into its frame."""

    def _add_help(self) -> None:
        if self._HELP:
            label = QtWidgets.QLabel(self._HELP)
            label.setWordWrap(True)
            label.setForegroundRole(label.foregroundRole())
            self._form.addRow(label)

    def _process(self, event: str, interactor: Any, widget: Any) -> bool:
        """Deal with an event of a view. True if nobody else should."""
        return False

    def _paint_overlay(self, painter: Any, widget: qMRMLSliceWidget) -> None:
        """Draw on top of a slice view, in Qt pixels."""

    def _grid(self) -> Grid | None:
        """The segmentation's grid, in its own coordinates; None if nothing can be edited."""
        logic = self._editor._logic
        if logic.GetSegmentationNode() is None or not logic.UpdateReferenceGeometryImage():
            return None
        return grid_of(logic.GetReferenceGeometryImage())

    def _plane(self, slice_node: Any) -> Plane:
        """The slice in the segmentation's own coordinates, whose parent transform moves and turns only."""
        matrix = np.linalg.solve(self._to_world(), array_of(slice_node.GetSliceToRAS()))
        axes = matrix[:3, :3].T
        axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        return Plane(matrix[:3, 3], axes)

    def _points(self, slice_node: Any, xy: np.ndarray) -> np.ndarray:
        """(N, 2) device pixels of a slice view, from below, as (N, 3) mm in the segmentation's coordinates."""
        to_ras = np.linalg.solve(self._to_world(), array_of(slice_node.GetXYToRAS()))
        return np.c_[xy, np.zeros(len(xy)), np.ones(len(xy))] @ to_ras[:3].T

    def _to_world(self) -> np.ndarray:
        node = self._editor.segmentationNode()
        transform = node.GetParentTransformNode() if node else None
        matrix = vtk.vtkMatrix4x4()
        if transform is not None:
            transform.GetMatrixTransformToWorld(matrix)
        return array_of(matrix)

    def _modify(self, mask: Mask | None, mode: str, *, save_state: bool = True) -> None:
        """Change the selected segment, by the rules of masking and overwriting; one undo step."""
        grid = self._grid()
        node, segment_id = self._editor.segmentationNode(), self._editor.currentSegmentID()
        if grid is None or not segment_id or self._editor.readOnly or (mask is None and mode != SET):
            return
        if mask is None:
            mask = Mask(np.zeros((1, 1, 1), dtype=bool), tuple(np.repeat(grid.extent[::2], 2)))  # type: ignore[arg-type]
        if save_state:
            self.saveStateForUndo()
        logic = self._editor._logic
        modes = {
            ADD: logic.ModificationModeAdd,
            REMOVE: logic.ModificationModeRemove,
            SET: logic.ModificationModeSet,
        }
        labelmap = labelmap_of(mask, grid)
        if mode == SET:
            logic.ModifySegmentByLabelmap(node, segment_id, labelmap, modes[mode], True, False)
        else:
            logic.ModifySegmentByLabelmap(node, segment_id, labelmap, modes[mode], list(mask.extent), True, False)
        _mark_in_progress(node.GetSegmentation().GetSegment(segment_id))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mark_in_progress(segment: Any) -> None:
    status = slicer.vtkSlicerSegmentationsModuleLogic
    if status.GetSegmentStatus(segment) == status.NotStarted:
        status.SetSegmentStatus(segment, status.InProgress)
