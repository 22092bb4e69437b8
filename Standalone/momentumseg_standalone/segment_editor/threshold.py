"""Threshold: everything within a range of intensities becomes the segment, or is where one may paint."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.segment_editor.effect import SET, qSlicerSegmentEditorAbstractEffect
from momentumseg_standalone.segment_editor.labelmaps import grid_of, voxels_of
from momentumseg_standalone.segment_editor.shapes import Mask
from momentumseg_standalone.views.slice_widget import qMRMLSliceWidget

_PREVIEW_OPACITY = 0.5


class ThresholdEffect(qSlicerSegmentEditorAbstractEffect):
    """A preview in the slice views shows what Apply would do."""

    _NAME = "Threshold"
    _TITLE = "Threshold"
    _HELP = "Choose a range of intensities."
    _DEFAULTS = {"MinimumThreshold": "0", "MaximumThreshold": "0"}

    def _make_options(self) -> None:
        self._previews: dict[qMRMLSliceWidget, _Preview] = {}
        self._lowest, self._highest = self._spin("Lowest intensity"), self._spin("Highest intensity")
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self._lowest, 1)
        row.addWidget(QtWidgets.QLabel("to"))
        row.addWidget(self._highest, 1)
        self._form.addRow("Range:", row)
        buttons = QtWidgets.QHBoxLayout()
        use = QtWidgets.QPushButton("Use for masking")
        use.setToolTip("Paint only where the intensity is within this range")
        apply = QtWidgets.QPushButton("Apply")
        apply.setToolTip("Replace the segment by everything within this range")
        buttons.addWidget(use)
        buttons.addWidget(apply)
        self._form.addRow(buttons)
        use.clicked.connect(lambda: self._use_for_masking())
        apply.clicked.connect(lambda: self._apply())

    def _spin(self, name: str) -> QtWidgets.QDoubleSpinBox:
        spin = QtWidgets.QDoubleSpinBox()
        spin.setDecimals(1)
        spin.setRange(-1e9, 1e9)
        spin.setToolTip(name)
        spin.setAccessibleName(name)
        spin.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)
        spin.valueChanged.connect(lambda _: self._range_edited())
        return spin

    def activate(self) -> None:
        if self.doubleParameter("MinimumThreshold") == self.doubleParameter("MaximumThreshold"):
            self._choose_range()
        super().activate()
        for widget in self._editor._slice_widgets():
            self._previews[widget] = _Preview(widget)
        self._show_preview()

    def deactivate(self) -> None:
        super().deactivate()
        for preview in self._previews.values():
            preview.remove()
        self._previews = {}

    def updateGUIFromMRML(self) -> None:
        blockers = [QtCore.QSignalBlocker(spin) for spin in (self._lowest, self._highest)]
        self._lowest.setValue(self.doubleParameter("MinimumThreshold"))
        self._highest.setValue(self.doubleParameter("MaximumThreshold"))
        del blockers
        self._show_preview()

    def _choose_range(self) -> None:
        """From the middle of the intensities up, as Slicer suggests."""
        volume = self._editor.sourceVolumeNode()
        if volume is None or volume.GetImageData() is None:
            return
        low, high = volume.GetImageData().GetScalarRange()
        self.setParameter("MinimumThreshold", low + (high - low) / 3)
        self.setParameter("MaximumThreshold", high)
        step = max((high - low) / 200, 0.1)
        for spin in (self._lowest, self._highest):
            spin.setSingleStep(step)

    def _range_edited(self) -> None:
        low, high = float(self._lowest.value), float(self._highest.value)
        self.setParameter("MinimumThreshold", low)
        self.setParameter("MaximumThreshold", high)

    def _range(self) -> tuple[float, float]:
        values = self.doubleParameter("MinimumThreshold"), self.doubleParameter("MaximumThreshold")
        return min(values), max(values)

    def _show_preview(self) -> None:
        for preview in self._previews.values():
            preview.update(*self._range(), self._editor._segment_color())

    def _use_for_masking(self) -> None:
        node = self._editor.mrmlSegmentEditorNode()
        node.SetSourceVolumeIntensityMaskRange(*self._range())
        node.SetSourceVolumeIntensityMask(True)
        self._editor.setActiveEffectByName("Paint")

    def _apply(self) -> None:
        if not self._editor._can_edit(tell=True):
            return
        logic = self._editor._logic
        logic.ResetModifierLabelmapToDefault()
        if not logic.UpdateAlignedSourceVolume():
            return
        image = logic.GetAlignedSourceVolume()
        low, high = self._range()
        voxels = voxels_of(image) if image.GetNumberOfScalarComponents() == 1 else _first_component(image)
        self._modify(Mask((voxels >= low) & (voxels <= high), grid_of(image).extent), SET)
        self._editor.setActiveEffectByName("")


def _first_component(image: Any) -> np.ndarray:
    single = vtk.vtkImageExtractComponents()
    single.SetInputData(image)
    single.SetComponents(0)
    single.Update()
    return voxels_of(single.GetOutput())


class _Preview:
    """Colours what lies within the range in one slice view."""

    def __init__(self, widget: qMRMLSliceWidget) -> None:
        self._view = widget.sliceView()
        self._threshold = vtk.vtkImageThreshold()
        self._threshold.SetInValue(1)
        self._threshold.SetOutValue(0)
        self._threshold.SetOutputScalarTypeToUnsignedChar()
        self._table = vtk.vtkLookupTable()
        self._table.SetNumberOfTableValues(2)
        self._table.SetRange(0, 1)
        self._table.SetTableValue(0, 0, 0, 0, 0)
        colors = vtk.vtkImageMapToColors()
        colors.SetOutputFormatToRGBA()
        colors.SetLookupTable(self._table)
        colors.SetInputConnection(self._threshold.GetOutputPort())
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(colors.GetOutputPort())
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(mapper)
        self._actor.VisibilityOff()
        self._layer = widget.sliceLogic().GetBackgroundLayer()
        self._view._renderer.AddViewProp(self._actor)

    def update(self, low: float, high: float, color: Any) -> None:
        reslice = self._layer.GetReslice()
        shown = self._layer.GetVolumeNode() is not None
        self._actor.SetVisibility(shown)
        if shown:
            self._threshold.SetInputConnection(reslice.GetOutputPort())
            self._threshold.ThresholdBetween(low, high)
            self._table.SetTableValue(1, color.redF(), color.greenF(), color.blueF(), _PREVIEW_OPACITY)
        self._view.scheduleRender()

    def remove(self) -> None:
        self._view._renderer.RemoveViewProp(self._actor)
        self._view.scheduleRender()
