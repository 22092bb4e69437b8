"""The table of segments: visible or not, colour, name."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt

from momentumseg_standalone import icons

_VISIBLE, _COLOR, _NAME = range(3)
_HEIGHT = 88  # heading and two rows, more by scrolling
_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


class SegmentsTable(QtWidgets.QTableWidget):
    """Follows a segmentation node; the selected row is the selected segment."""

    segmentSelected = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setObjectName("SegmentsTable")
        self.setAccessibleName("Segments")
        self.setToolTip("Click a name to draw in that segment; double click to change name or colour")
        self.setHorizontalHeaderLabels(["", "", "Segment"])
        header = self.horizontalHeader()
        header.setSectionResizeMode(QtWidgets.QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(_NAME, QtWidgets.QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(28)
        for column in (_VISIBLE, _COLOR):
            self.setColumnWidth(column, 30)
        self.verticalHeader().hide()
        self.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setFixedHeight(_HEIGHT)
        self._node: Any = None
        self._tags: list[tuple[Any, int]] = []
        self._filling = False
        self.itemSelectionChanged.connect(self._row_selected)
        self.itemChanged.connect(self._item_edited)
        self.cellClicked.connect(self._cell_clicked)
        self.cellDoubleClicked.connect(self._cell_double_clicked)

    def set_segmentation_node(self, node: Any) -> None:
        """Show another segmentation; None for none."""
        if node is self._node:
            return
        self.stop_observing()
        self._node = node
        if node is not None:
            segmentation = node.GetSegmentation()
            for name in _EVENTS:
                event = getattr(segmentation, name)
                self._tags.append((segmentation, segmentation.AddObserver(event, self._refill)))
            self._tags.append((node, node.AddObserver(node.DisplayModifiedEvent, self._refill)))
        self._refill()

    def select(self, segment_id: str) -> None:
        """Mark a segment's row; "" for none."""
        row = next((row for row in range(self.rowCount) if self._id(row) == segment_id), -1)
        blocker = QtCore.QSignalBlocker(self)
        if row < 0:
            self.clearSelection()
        else:
            self.selectRow(row)
        del blocker

    def stop_observing(self) -> None:
        """Let go of the segmentation."""
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []

    def _id(self, row: int) -> str:
        return str(self.item(row, _NAME).data(Qt.ItemDataRole.UserRole))

    def _refill(self, *_: Any) -> None:
        if self._filling:
            return
        self._filling = True
        selected = self.selectedItems()
        chosen = self._id(selected[0].row()) if selected else ""
        ids = list(self._node.GetSegmentation().GetSegmentIDs()) if self._node is not None else []
        blocker = QtCore.QSignalBlocker(self)
        self.setRowCount(len(ids))
        for row, segment_id in enumerate(ids):
            self._fill_row(row, segment_id)
        del blocker
        self._filling = False
        self.select(chosen)

    def _fill_row(self, row: int, segment_id: str) -> None:
        segment = self._node.GetSegmentation().GetSegment(segment_id)
        display = self._node.GetDisplayNode()
        visible = display is None or display.GetSegmentVisibility(segment_id)
        fixed = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        eye = QtWidgets.QTableWidgetItem(icons.icon("visible" if visible else "hidden"), "")
        eye.setToolTip("Shown; click to hide" if visible else "Hidden; click to show")
        eye.setFlags(fixed)
        color = QtWidgets.QTableWidgetItem()
        color.setIcon(_swatch(QtGui.QColor.fromRgbF(*segment.GetColor())))
        color.setToolTip("Double click to change the colour")
        color.setFlags(fixed)
        name = QtWidgets.QTableWidgetItem(segment.GetName())
        name.setData(Qt.ItemDataRole.UserRole, segment_id)
        for column, item in ((_VISIBLE, eye), (_COLOR, color), (_NAME, name)):
            self.setItem(row, column, item)

    def _row_selected(self) -> None:
        items = self.selectedItems()
        if items:
            self.segmentSelected.emit(self._id(items[0].row()))

    def _item_edited(self, item: QtWidgets.QTableWidgetItem) -> None:
        if item.column() == _NAME and item.text().strip():
            self._node.GetSegmentation().GetSegment(self._id(item.row())).SetName(item.text().strip())

    def _cell_clicked(self, row: int, column: int) -> None:
        display = self._node.GetDisplayNode()
        if column == _VISIBLE and display is not None:
            segment_id = self._id(row)
            display.SetSegmentVisibility(segment_id, not display.GetSegmentVisibility(segment_id))

    def _cell_double_clicked(self, row: int, column: int) -> None:
        if column != _COLOR:
            return
        segment = self._node.GetSegmentation().GetSegment(self._id(row))
        before = QtGui.QColor.fromRgbF(*segment.GetColor())
        color = QtWidgets.QColorDialog.getColor(before, self, "Colour of the segment")
        if color.isValid():
            segment.SetColor(color.redF(), color.greenF(), color.blueF())


def _swatch(color: QtGui.QColor) -> QtGui.QIcon:
    pixmap = QtGui.QPixmap(16, 16)
    pixmap.fill(color)
    return QtGui.QIcon(pixmap)
