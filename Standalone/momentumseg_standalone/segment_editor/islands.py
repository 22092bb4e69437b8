"""Islands: parts of a segment that do not touch each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.segment_editor.effect import REMOVE, qSlicerSegmentEditorAbstractEffect
from momentumseg_standalone.segment_editor.labelmaps import segment_mask
from momentumseg_standalone.segment_editor.shapes import Mask
from momentumseg_standalone.views.slice_widget import qMRMLSliceWidget

_KEEP_LARGEST, _REMOVE_SMALL, _KEEP_SELECTED, _REMOVE_SELECTED = (
    "KEEP_LARGEST_ISLAND",
    "REMOVE_SMALL_ISLANDS",
    "KEEP_SELECTED_ISLAND",
    "REMOVE_SELECTED_ISLAND",
)
_OPERATIONS = (
    (_KEEP_LARGEST, "Keep the largest island"),
    (_REMOVE_SMALL, "Remove small islands"),
    (_KEEP_SELECTED, "Keep the island that is clicked"),
    (_REMOVE_SELECTED, "Remove the island that is clicked"),
)


class IslandsEffect(qSlicerSegmentEditorAbstractEffect):
    """Voxels belong to one island when they share a face."""

    _NAME = "Islands"
    _TITLE = "Islands"
    _HELP = "Tidy up parts of the segment that do not touch each other."
    _DEFAULTS = {"Operation": _KEEP_LARGEST, "MinimumSize": "1000"}

    def _make_options(self) -> None:
        self._operation = QtWidgets.QComboBox()
        for value, text in _OPERATIONS:
            self._operation.addItem(text, value)
        self._operation.setToolTip("What to do with the islands")
        self._operation.setAccessibleName("Operation on islands")
        self._size = QtWidgets.QSpinBox()
        self._size.setRange(1, 10_000_000)
        self._size.setSuffix(" voxels")
        self._size.setToolTip("Islands with fewer voxels are removed")
        self._size.setAccessibleName("Minimum size of an island")
        self._apply_button = QtWidgets.QPushButton("Apply")
        self._apply_button.setToolTip("Change the segment")
        self._form.addRow("Operation:", self._operation)
        self._form.addRow("Minimum size:", self._size)
        self._form.addRow(self._apply_button)
        self._operation.activated.connect(lambda index: self.setParameter("Operation", self._operation.itemData(index)))
        self._size.valueChanged.connect(lambda value: self.setParameter("MinimumSize", value))
        self._apply_button.clicked.connect(lambda: self._apply(None))

    def updateGUIFromMRML(self) -> None:
        blockers = [QtCore.QSignalBlocker(widget) for widget in (self._operation, self._size)]
        operation = self.parameter("Operation")
        self._operation.setCurrentIndex(self._operation.findData(operation))
        self._size.setValue(self.integerParameter("MinimumSize"))
        del blockers
        self._size.setEnabled(operation == _REMOVE_SMALL)
        self._apply_button.setEnabled(operation in (_KEEP_LARGEST, _REMOVE_SMALL))

    def _process(self, event: str, interactor: Any, widget: Any) -> bool:
        clicked = event == "LeftButtonPressEvent" and isinstance(widget, qMRMLSliceWidget)
        if not clicked or self.parameter("Operation") not in (_KEEP_SELECTED, _REMOVE_SELECTED):
            return False
        grid = self._grid()
        if grid is not None and self._editor._can_edit(tell=True):
            xy = np.array([interactor.GetEventPosition()], dtype=float)
            ras = np.append(self._points(widget.mrmlSliceNode(), xy)[0], 1.0)
            self._apply(np.rint(np.linalg.solve(grid.ijk_to_ras, ras)[:3]).astype(int))
        return True

    def _apply(self, ijk: np.ndarray | None) -> None:
        own = segment_mask(self._editor.segmentationNode(), self._editor.currentSegmentID())
        if own is None or not self._editor._can_edit(tell=True):
            return
        removed = islands_to_remove(
            own, self.parameter("Operation"), smallest=self.integerParameter("MinimumSize"), ijk=ijk
        )
        if removed.any():
            self._modify(Mask(removed, own.extent), REMOVE)


def islands_to_remove(own: Mask, operation: str, *, smallest: int = 1, ijk: np.ndarray | None = None) -> np.ndarray:
    """(K, J, I) voxels that an operation takes away.

    Args:
        own: the segment.
        operation: one of Slicer's names.
        smallest: voxels of the smallest island that stays.
        ijk: the clicked voxel.
    """
    from scipy import ndimage

    numbers, _ = ndimage.label(own.voxels)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    if operation == _KEEP_LARGEST:
        stay = np.arange(len(sizes)) == sizes.argmax()
    elif operation == _REMOVE_SMALL:
        stay = sizes >= smallest
    else:
        number = _number_at(numbers, own.extent, ijk)
        if number == 0:
            return np.zeros_like(own.voxels)  # the click hit none
        chosen = np.arange(len(sizes)) == number
        stay = chosen if operation == _KEEP_SELECTED else ~chosen
    return own.voxels & ~stay[numbers]


def _number_at(numbers: np.ndarray, extent: tuple[int, ...], ijk: np.ndarray | None) -> int:
    if ijk is None:
        return 0
    index = tuple(int(ijk[axis]) - extent[2 * axis] for axis in (2, 1, 0))
    if any(not 0 <= value < size for value, size in zip(index, numbers.shape, strict=True)):
        return 0
    return int(numbers[index])
