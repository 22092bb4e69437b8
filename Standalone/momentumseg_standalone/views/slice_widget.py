"""A slice view with its bar: orientation, offset slider and fit button."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Qt

from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.views.slice_view import qMRMLSliceView
from momentumseg_standalone.views.view_bar import ViewBar

_ORIENTATIONS = ("Axial", "Coronal", "Sagittal")
_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))  # RAS axes: positive, negative


@stand_in
class qMRMLSliceWidget(QtWidgets.QWidget):
    """Names of Slicer's class; what is ours has a leading underscore.

    Args:
        slice_logic: vtkMRMLSliceLogic with a slice node.
        application_logic: vtkMRMLApplicationLogic.
        parent: of the widget.
    """

    def __init__(self, slice_logic: Any, application_logic: Any, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = slice_logic
        node = slice_logic.GetSliceNode()
        self.setObjectName(f"qMRMLSliceWidget{node.GetLayoutName()}")
        self._view = qMRMLSliceView(slice_logic, application_logic, self)
        self._bar = ViewBar(node.GetLayoutLabel(), node.GetLayoutColor(), f"{node.GetName()} slice")
        self._make_controls()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        layout.addWidget(self._view, 1)
        self._tags = [
            (observed, observed.AddObserver("ModifiedEvent", self._update_controls)) for observed in (node, slice_logic)
        ]
        self._update_controls()

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def viewWidget(self) -> qMRMLSliceView:
        return self._view

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def setSliceOrientation(self, orientation: str) -> None:
        self.mrmlSliceNode().SetOrientation(orientation)

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()
        self._logic.SnapSliceOffsetToIJK()

    def _make_controls(self) -> None:
        self._orientation = QtWidgets.QComboBox()
        self._orientation.addItems(_ORIENTATIONS)
        self._orientation.setFrame(False)
        self._orientation.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._orientation.setToolTip("Direction of the slices")
        self._orientation.setAccessibleName("Slice orientation")
        self._orientation.textActivated.connect(self._choose_orientation)
        self._slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self._slider.setToolTip("Position of the slice")
        self._slider.setAccessibleName("Slice position")
        self._slider.valueChanged.connect(self._slider_moved)
        self._position = QtWidgets.QLabel()
        self._position.setMinimumWidth(self._position.fontMetrics().horizontalAdvance("S: 0000.0 mm"))
        self._position.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        fit = self._bar.tool_button("fit", "Fit the view to the volume")
        fit.clicked.connect(self.fitSliceToBackground)
        self._bar.add(self._orientation)
        self._bar.add(self._slider, 1)
        self._bar.add(self._position)
        self._bar.add(fit)

    def _choose_orientation(self, orientation: str) -> None:
        self.setSliceOrientation(orientation)
        self.fitSliceToBackground()

    def _range(self) -> tuple[float, float, float]:
        """Lowest and highest offset and the step, in mm."""
        bounds, resolution = [0.0, 0.0], vtk.reference(0.0)
        self._logic.GetSliceOffsetRangeResolution(bounds, resolution)
        return bounds[0], bounds[1], max(float(resolution), 1e-3)

    def _slider_moved(self, step: int) -> None:
        lowest, _, resolution = self._range()
        self._logic.StartSliceOffsetInteraction()
        self._logic.SetSliceOffset(lowest + step * resolution)
        self._logic.EndSliceOffsetInteraction()

    def _update_controls(self, *_: Any) -> None:
        node = self.mrmlSliceNode()
        if node is None or node.GetScene() is None:
            return
        lowest, highest, resolution = self._range()
        offset = self._logic.GetSliceOffset()
        blockers = [QtCore.QSignalBlocker(self._slider), QtCore.QSignalBlocker(self._orientation)]
        self._slider.setRange(0, max(0, round((highest - lowest) / resolution)))
        self._slider.setValue(round((offset - lowest) / resolution))
        self._show_orientation(node.GetOrientation())
        del blockers
        self._position.setText(f"{_direction_letter(node, offset)}: {abs(offset):.1f} mm")

    def _show_orientation(self, orientation: str) -> None:
        """An oblique slice has an orientation of its own, which cannot be chosen from the list."""
        index = self._orientation.findText(orientation)
        if index < 0:
            self._orientation.setPlaceholderText(orientation)
        self._orientation.setCurrentIndex(index)

    def _release(self) -> None:
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._view._release()


def _direction_letter(node: Any, offset: float) -> str:
    """The side of the origin on which the slice lies, along the axis that its normal is nearest to."""
    normal = [node.GetSliceToRAS().GetElement(row, 2) for row in range(3)]
    axis = max(range(3), key=lambda row: abs(normal[row]))
    return _LETTERS[axis][int((offset < 0) != (normal[axis] < 0))]


def make_slice_logic(node: Any, application_logic: Any) -> Any:
    """The logic of a slice node, known to the application logic, which fits and links slices."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application_logic)
    logic.SetMRMLScene(node.GetScene())
    logic.SetSliceNode(node)
    application_logic.GetSliceLogics().AddItem(logic)
    return logic
