"""Widgets for segmentations: qMRMLSegmentationShow3DButton, qMRMLSegmentSelectorWidget."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from vtkmodules.vtkCommonCore import vtkCommand

from momentumseg_standalone.ctk_widgets.buttons import ctkMenuButton
from momentumseg_standalone.ctk_widgets.properties import forwarded, stored
from momentumseg_standalone.mrml_widgets.base import qMRMLWidget
from momentumseg_standalone.mrml_widgets.node_combo_box import qMRMLNodeComboBox
from momentumseg_standalone.mrml_widgets.node_observer import NodeObserver
from momentumseg_standalone.pythonqt.rules import stand_in

_SEGMENTATION_CLASS = "vtkMRMLSegmentationNode"
_SMOOTHING_FACTORS = (("No smoothing", "0.0"), ("Default smoothing", "0.5"), ("Strong smoothing", "0.8"))


@stand_in
class qMRMLSegmentationShow3DButton(ctkMenuButton):  # noqa: N801 - the name of the class it plays
    """Makes the closed surface of a segmentation and shows it in the 3D views; its menu sets the smoothing."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make a button without a segmentation."""
        self._node: Any = None
        self._locked = False
        super().__init__(parent)
        self.text = "Show 3D"
        self.toolTip = "Show the segments in the 3D views"
        self.checkable = True
        menu = QtWidgets.QMenu(self)
        for label, factor in _SMOOTHING_FACTORS:
            action = menu.addAction(label)
            action.connect("triggered(bool)", lambda chosen=factor: self._smooth(str(chosen)))
        self.setMenu(menu)
        self._observer = NodeObserver(self, self._show_state)
        QtCore.QObject.connect(self, QtCore.SIGNAL("clicked(bool)"), self._on_clicked)
        self._show_state()

    def segmentationNode(self) -> Any:
        """Return the vtkMRMLSegmentationNode or None."""
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        """Set the vtkMRMLSegmentationNode (None for none)."""
        self._node = node
        self._observer.observe([] if node is None else [(node, vtkCommand.ModifiedEvent)])
        self._show_state()

    def setLocked(self, locked: bool) -> None:
        """Let the user change nothing."""
        self._locked = locked
        self._show_state()

    locked = QtCore.Property(bool, lambda self: self._locked, setLocked)

    def _surface_name(self) -> str:
        return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())

    def _show_state(self) -> None:
        self.enabled = self._node is not None and not self._locked
        shown = self._node is not None and self._node.GetSegmentation().ContainsRepresentation(self._surface_name())
        self.checked = bool(shown)

    def _on_clicked(self, checked: bool) -> None:
        if self._node is None:
            return
        if checked:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()
        self._show_state()

    def _smooth(self, factor: str) -> None:
        if self._node is None:
            return
        segmentation = self._node.GetSegmentation()
        name = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule.GetSmoothingFactorParameterName()
        segmentation.SetConversionParameter(name, factor)
        if segmentation.ContainsRepresentation(self._surface_name()):
            self._node.RemoveClosedSurfaceRepresentation()
            self._node.CreateClosedSurfaceRepresentation()


@stand_in
class qMRMLSegmentSelectorWidget(qMRMLWidget):  # noqa: N801
    """Chooses a segmentation and one of its segments."""

    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentSegmentChanged = QtCore.Signal(str)
    segmentSelectionChanged = QtCore.Signal("QStringList")
    nodeAboutToBeEdited = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Make a selector without a scene."""
        self._segment_id = ""
        self._none_enabled, self._multi, self._horizontal = False, False, False
        super().__init__(parent)
        self._node_box, self._segment_box = qMRMLNodeComboBox(), QtWidgets.QComboBox()
        self._node_box.nodeTypes = [_SEGMENTATION_CLASS]
        self._node_box.addEnabled = self._node_box.removeEnabled = False
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._node_box)
        layout.addWidget(self._segment_box)
        self._observer = NodeObserver(self, self._list_segments)
        self.connect("mrmlSceneChanged(vtkMRMLScene*)", self._node_box.setMRMLScene)
        self._node_box.connect("currentNodeChanged(vtkMRMLNode*)", self._on_node)
        self._node_box.connect("nodeAboutToBeEdited(vtkMRMLNode*)", self.nodeAboutToBeEdited.emit)
        self._segment_box.connect("activated(int)", self._on_segment)

    def currentNode(self) -> Any:
        """Return the vtkMRMLSegmentationNode or None."""
        return self._node_box.currentNode()

    def currentNodeID(self) -> str:
        """Return the segmentation's node ID, empty for none."""
        return str(self._node_box.currentNodeID)

    def setCurrentNode(self, node: Any) -> None:
        """Choose a segmentation."""
        self._node_box.setCurrentNode(node)

    def setCurrentNodeID(self, node_id: str) -> None:
        """Choose a segmentation by its node ID."""
        self._node_box.setCurrentNodeID(node_id)

    def segmentIDs(self) -> list[str]:
        """Return the IDs of the segmentation's segments, in order."""
        node = self.currentNode()
        return [] if node is None else list(node.GetSegmentation().GetSegmentIDs())

    def currentSegmentID(self) -> str:
        """Return the chosen segment's ID, empty for none."""
        return self._segment_id

    def setCurrentSegmentID(self, segment_id: str) -> None:
        """Choose a segment; an ID that the segmentation does not have chooses none."""
        segment_id = segment_id if segment_id in self.segmentIDs() else ""
        if segment_id == self._segment_id:
            return
        self._segment_id = segment_id
        self._segment_box.currentIndex = self._segment_box.findData(segment_id)
        self.currentSegmentChanged.emit(segment_id)

    def selectedSegmentIDs(self) -> list[str]:
        """Return the chosen segment in a list."""
        return [self._segment_id] if self._segment_id else []

    def setSelectedSegmentIDs(self, segment_ids: list[str]) -> None:
        """Choose the first of these segments."""
        self.setCurrentSegmentID(segment_ids[0] if segment_ids else "")
        self.segmentSelectionChanged.emit(self.selectedSegmentIDs())

    def _on_node(self, node: Any) -> None:
        segmentation = None if node is None else node.GetSegmentation()
        events = slicer.vtkSegmentation
        watched = (events.SegmentAdded, events.SegmentRemoved, events.SegmentModified, events.SegmentsOrderModified)
        self._observer.observe([] if segmentation is None else [(segmentation, event) for event in watched])
        self._list_segments()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _list_segments(self) -> None:
        node, box = self.currentNode(), self._segment_box
        box.blockSignals(True)
        box.clear()
        if self._none_enabled:
            box.addItem("None", "")
        for segment_id in self.segmentIDs():
            segment = node.GetSegmentation().GetSegment(segment_id)
            pixmap = QtGui.QPixmap(12, 12)
            pixmap.fill(QtGui.QColor.fromRgbF(*segment.GetColor()))
            box.addItem(QtGui.QIcon(pixmap), segment.GetName(), segment_id)
        box.blockSignals(False)
        ids = self.segmentIDs()
        fallback = ids[0] if ids and not self._none_enabled else ""
        wanted = self._segment_id if self._segment_id in ids else fallback
        box.currentIndex = box.findData(wanted)
        self.setCurrentSegmentID(wanted)

    def _on_segment(self, row: int) -> None:
        self.setCurrentSegmentID(self._segment_box.itemData(row) or "")

    def _set_selector_visible(self, visible: bool) -> None:
        self._node_box.setVisible(visible)

    noneEnabled = stored(bool, "_none_enabled", _list_segments)
    editEnabled = forwarded(bool, "_node_box", "editEnabled")
    segmentationNodeSelectorVisible = QtCore.Property(
        bool, lambda self: not self._node_box.isHidden(), _set_selector_visible
    )
    multiSelection = stored(bool, "_multi")
    horizontalLayout = stored(bool, "_horizontal")
    selectNodeUponCreation = forwarded(bool, "_node_box", "selectNodeUponCreation")
