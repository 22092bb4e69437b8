"""Where one may paint, and what happens to other segments there: written into the segment editor node."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

_EDITOR, _SEGMENTATION = slicer.vtkMRMLSegmentEditorNode, slicer.vtkMRMLSegmentationNode
_AREAS = (
    ("Everywhere", _SEGMENTATION.EditAllowedEverywhere),
    ("Inside all segments", _SEGMENTATION.EditAllowedInsideAllSegments),
    ("Inside all visible segments", _SEGMENTATION.EditAllowedInsideVisibleSegments),
    ("Outside all segments", _SEGMENTATION.EditAllowedOutsideAllSegments),
    ("Outside all visible segments", _SEGMENTATION.EditAllowedOutsideVisibleSegments),
)
_OVERWRITE = (
    ("Overwrite all segments", _EDITOR.OverwriteAllSegments),
    ("Overwrite visible segments", _EDITOR.OverwriteVisibleSegments),
    ("Allow overlap", _EDITOR.OverwriteNone),
)


class MaskingSection(QtWidgets.QGroupBox):
    """Controls of the masking settings."""

    def __init__(self) -> None:
        super().__init__("Masking")
        self._node: Any = None
        form = QtWidgets.QFormLayout(self)
        self._area = QtWidgets.QComboBox()
        self._area.setToolTip("Where the segment may change")
        self._area.setAccessibleName("Editable area")
        self._overwrite = QtWidgets.QComboBox()
        self._overwrite.setToolTip("What happens to other segments under the brush")
        self._overwrite.setAccessibleName("Modify other segments")
        for text, value in _OVERWRITE:
            self._overwrite.addItem(text, value)
        self._intensity = QtWidgets.QCheckBox("Intensity:")
        self._intensity.setToolTip("Change only voxels whose intensity is within this range")
        self._low, self._high = self._spin("Lowest editable intensity"), self._spin("Highest editable intensity")
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self._low, 1)
        row.addWidget(QtWidgets.QLabel("to"))
        row.addWidget(self._high, 1)
        form.addRow("Editable area:", self._area)
        form.addRow(self._intensity, row)
        form.addRow("Other segments:", self._overwrite)
        self._area.activated.connect(lambda index: self._choose_area(self._area.itemData(index)))
        self._overwrite.activated.connect(lambda index: self._node.SetOverwriteMode(self._overwrite.itemData(index)))
        self._intensity.toggled.connect(lambda on: self._node.SetSourceVolumeIntensityMask(on))

    def set_node(self, node: Any) -> None:
        """Show another segment editor node; None for none."""
        self._node = node
        self.setEnabled(node is not None)
        self.refresh()

    def refresh(self) -> None:
        """Show what the node says."""
        if self._node is None:
            return
        widgets = (self._area, self._overwrite, self._intensity, self._low, self._high)
        blockers = [QtCore.QSignalBlocker(widget) for widget in widgets]
        self._fill_areas()
        inside = self._node.GetMaskMode() == _SEGMENTATION.EditAllowedInsideSingleSegment
        chosen = self._node.GetMaskSegmentID() if inside else self._node.GetMaskMode()
        self._area.setCurrentIndex(self._area.findData(chosen))
        self._overwrite.setCurrentIndex(self._overwrite.findData(self._node.GetOverwriteMode()))
        masked = bool(self._node.GetSourceVolumeIntensityMask())
        self._intensity.setChecked(masked)
        low, high = self._node.GetSourceVolumeIntensityMaskRange()
        self._low.setValue(low)
        self._high.setValue(high)
        for spin in (self._low, self._high):
            spin.setEnabled(masked)
        del blockers

    def _fill_areas(self) -> None:
        """The fixed areas, then each segment."""
        self._area.clear()
        for text, value in _AREAS:
            self._area.addItem(text, value)
        node = self._node.GetSegmentationNode()
        if node is not None:
            for segment_id in node.GetSegmentation().GetSegmentIDs():
                self._area.addItem(f"Inside {node.GetSegmentation().GetSegment(segment_id).GetName()}", segment_id)

    def _choose_area(self, value: Any) -> None:
        if isinstance(value, str):
            self._node.SetMaskSegmentID(value)
            self._node.SetMaskMode(_SEGMENTATION.EditAllowedInsideSingleSegment)
        else:
            self._node.SetMaskMode(value)

    def _spin(self, name: str) -> QtWidgets.QDoubleSpinBox:
        spin = QtWidgets.QDoubleSpinBox()
        spin.setRange(-1e9, 1e9)
        spin.setDecimals(1)
        spin.setToolTip(name)
        spin.setAccessibleName(name)
        spin.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)
        spin.valueChanged.connect(lambda _: self._range_edited())
        return spin

    def _range_edited(self) -> None:
        self._node.SetSourceVolumeIntensityMaskRange(float(self._low.value), float(self._high.value))
