"""`qMRMLSegmentEditorWidget`: draws into a segmentation node through Slicer's vtkSlicerSegmentEditorLogic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from momentumseg_standalone.ctk_widgets.properties import stored
from momentumseg_standalone.mrml_widgets.base import qMRMLWidget
from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.segment_editor.effect import qSlicerSegmentEditorAbstractEffect
from momentumseg_standalone.segment_editor.islands import IslandsEffect
from momentumseg_standalone.segment_editor.labelmaps import segment_mask
from momentumseg_standalone.segment_editor.outlines import DrawEffect, ScissorsEffect
from momentumseg_standalone.segment_editor.paint import EraseEffect, PaintEffect
from momentumseg_standalone.segment_editor.panel import EditorPanel
from momentumseg_standalone.segment_editor.threshold import ThresholdEffect
from momentumseg_standalone.segment_editor.view_observer import ViewObserver, slice_widgets

_EFFECTS = (PaintEffect, DrawEffect, EraseEffect, ThresholdEffect, ScissorsEffect, IslandsEffect)
_UNDO_STATES = 10
_EFFECT_COLUMNS = 4


def _visibility(widget_of: Callable[[Any], QtWidgets.QWidget]) -> Any:
    """A property that shows or hides a part of the panel."""
    return QtCore.Property(
        bool, lambda self: not widget_of(self).isHidden(), lambda self, shown: widget_of(self).setVisible(shown)
    )


@stand_in
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Names of Slicer's class; what is ours has a leading underscore.

    The segmentation, the source volume, the selected segment, the active effect and all settings live in a
    vtkMRMLSegmentEditorNode, as in Slicer.
    """

    currentSegmentIDChanged = QtCore.Signal(str)
    segmentationNodeChanged = QtCore.Signal(object)
    sourceVolumeNodeChanged = QtCore.Signal(object)
    masterVolumeNodeChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMaximumNumberOfUndoStates(_UNDO_STATES)
        self._history_tag = self._logic.AddObserver(self._logic.SegmentationHistoryChangedEvent, self._show_undo)
        self._node: Any = None
        self._node_tag = 0
        self._seen: tuple[Any, Any, str] = (None, None, "")
        self._effects: dict[str, qSlicerSegmentEditorAbstractEffect] = {kind._NAME: kind(self) for kind in _EFFECTS}
        self._active: qSlicerSegmentEditorAbstractEffect | None = None
        self._read_only, self._undo_enabled, self._jump = False, True, False
        self._selectors = self._volume_selector = self._geometry_button = self._switch_button = self._auto_show = True
        self._order: tuple[str, ...] = ()
        self._columns = _EFFECT_COLUMNS
        self._unordered = True
        self._shortcuts: list[QtGui.QShortcut] = []
        self._observer = ViewObserver(self._process, self._paint_overlay)
        self._panel = EditorPanel(self, self._effects)
        self._connect_panel()
        self.updateEffectList()
        self.updateWidgetFromMRML()

    # Nodes.

    def setMRMLScene(self, scene: Any) -> None:
        self._logic.SetMRMLScene(scene)
        super().setMRMLScene(scene)
        if scene is None:
            self.setMRMLSegmentEditorNode(None)

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is self._node:
            return
        self.setActiveEffectByName("")
        if self._node is not None:
            self._node.RemoveObserver(self._node_tag)
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            if self.mrmlScene() is None:
                self.setMRMLScene(node.GetScene())
            self._node_tag = node.AddObserver("ModifiedEvent", lambda *_: self.updateWidgetFromMRML())
        self._panel.masking.set_node(node)
        self.updateWidgetFromMRML()

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode() if self._node else None

    def segmentationNodeID(self) -> str:
        node = self.segmentationNode()
        return node.GetID() if node else ""

    def setSegmentationNode(self, node: Any) -> None:
        if self._node is None or node is self.segmentationNode():
            return
        self.setActiveEffectByName("")
        self._logic.SetSegmentationNode(node)
        if node is not None:
            if node.GetDisplayNode() is None:
                node.CreateDefaultDisplayNodes()
            if not self.currentSegmentID():
                self._logic.SelectFirstSegment(False)
            self._take_geometry()
        self.updateWidgetFromMRML()

    def setSegmentationNodeID(self, node_id: str) -> None:
        self.setSegmentationNode(slicer.mrmlScene.GetNodeByID(node_id) if node_id else None)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode() if self._node else None

    def sourceVolumeNodeID(self) -> str:
        node = self.sourceVolumeNode()
        return node.GetID() if node else ""

    def setSourceVolumeNode(self, node: Any) -> None:
        if self._node is None or node is self.sourceVolumeNode():
            return
        self._logic.SetSourceVolumeNode(node)
        self._take_geometry(anew=True)
        self.updateWidgetFromMRML()

    def setSourceVolumeNodeID(self, node_id: str) -> None:
        self.setSourceVolumeNode(slicer.mrmlScene.GetNodeByID(node_id) if node_id else None)

    # Segments.

    def currentSegmentID(self) -> str:
        node, segmentation = self._node, self.segmentationNode()
        segment_id = (node.GetSelectedSegmentID() or "") if node else ""
        known = segmentation is not None and segmentation.GetSegmentation().GetSegment(segment_id) is not None
        return segment_id if segment_id and known else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._node is not None:
            self._node.SetSelectedSegmentID(segment_id or None)

    def selectNextSegment(self) -> None:
        self.selectSegmentAtOffset(1)

    def selectPreviousSegment(self) -> None:
        self.selectSegmentAtOffset(-1)

    def selectSegmentAtOffset(self, offset: int) -> None:
        node = self.segmentationNode()
        ids = list(node.GetSegmentation().GetSegmentIDs()) if node else []
        if ids:
            current = self.currentSegmentID()
            start = ids.index(current) if current in ids else -offset
            self.setCurrentSegmentID(ids[(start + offset) % len(ids)])

    # Effects.

    def activeEffect(self) -> qSlicerSegmentEditorAbstractEffect | None:
        return self._active

    def setActiveEffect(self, effect: qSlicerSegmentEditorAbstractEffect | None) -> None:
        self.setActiveEffectByName(effect.name if effect is not None else "")

    def setActiveEffectByName(self, name: str) -> None:
        """Choose an effect; "" for none. Remembered in the segment editor node."""
        if self._node is not None:
            self._node.SetActiveEffectName(name)
        self._activate(name)

    def effectByName(self, name: str) -> qSlicerSegmentEditorAbstractEffect | None:
        return self._effects.get(name)

    def availableEffectNames(self) -> tuple[str, ...]:
        return tuple(self._effects)

    def effectCount(self) -> int:
        return len(self._effects)

    def effectByIndex(self, index: int) -> qSlicerSegmentEditorAbstractEffect:
        return list(self._effects.values())[index]

    def effectNameOrder(self) -> tuple[str, ...]:
        return self._order

    def setEffectNameOrder(self, names: list[str]) -> None:
        """Effects that are named come first; with `unorderedEffectsVisible` off the others are not shown."""
        self._order = tuple(names)
        self.updateEffectList()

    def updateEffectList(self) -> None:
        ordered = [name for name in self._order if name in self._effects]
        others = [name for name in self._effects if name not in ordered]
        self._panel.arrange(ordered + others if self._unordered else ordered, self._columns)

    def setEffectColumnCount(self, count: int) -> None:
        self._columns = max(1, int(count))
        self.updateEffectList()

    def _set_unordered(self, visible: bool) -> None:
        self._unordered = bool(visible)
        self.updateEffectList()

    # Undo.

    def saveStateForUndo(self) -> None:
        if self._undo_enabled and self.segmentationNode() is not None:
            self._logic.SaveStateForUndo()

    def undo(self) -> None:
        if not self._read_only:
            self._logic.Undo()
            self._views_changed()

    def redo(self) -> None:
        if not self._read_only:
            self._logic.Redo()
            self._views_changed()

    # Views and keys.

    def setupViewObservations(self) -> None:
        self._observer.start()

    def removeViewObservations(self) -> None:
        self._observer.stop()

    def installKeyboardShortcuts(self, parent: QtWidgets.QWidget | None = None) -> None:
        """Slicer's keys: numbers choose effects, Ctrl+Z and Ctrl+Y undo and redo, Q and W choose segments."""
        self.uninstallKeyboardShortcuts()
        window = parent or slicer.util.mainWindow() or self.window()
        keys: list[tuple[str, Callable[[], None]]] = [
            ("Escape", lambda: self.setActiveEffectByName("")),
            ("Q", self.selectPreviousSegment),
            ("W", self.selectNextSegment),
        ]
        for number, name in enumerate(self._effects, start=1):
            keys.append((str(number), lambda name=name: self._toggle_effect(name)))
        for key, action in keys:
            shortcut = QtGui.QShortcut(QtGui.QKeySequence(key), window)
            shortcut.activated.connect(action)
            self._shortcuts.append(shortcut)

    def uninstallKeyboardShortcuts(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []

    def toggleSourceVolumeIntensityMaskEnabled(self) -> None:
        if self._node is not None:
            self._logic.ToggleSourceVolumeIntensityMask()

    def rotateSliceViewsToSegmentation(self) -> None:
        """Turn the slice views so that they are parallel to the voxels."""
        volume = self.sourceVolumeNode()
        for widget in slice_widgets() if volume is not None else []:
            widget.mrmlSliceNode().RotateToVolumePlane(volume)
            widget.fitSliceToBackground()

    # Properties.

    def setReadOnly(self, read_only: bool) -> None:
        self._read_only = bool(read_only)
        self.updateWidgetFromMRML()

    def setUndoEnabled(self, enabled: bool) -> None:
        self._undo_enabled = bool(enabled)
        for button in (self._panel.undo, self._panel.redo):
            button.setVisible(self._undo_enabled)

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._logic.SetMaximumNumberOfUndoStates(int(count))

    def setAddRemoveSegmentButtonsVisible(self, visible: bool) -> None:
        self._panel.add.setVisible(visible)
        self._panel.remove.setVisible(visible)

    def setShow3DButtonVisible(self, visible: bool) -> None:
        self._panel.surface.setVisible(visible)

    def setMaskingSectionVisible(self, visible: bool) -> None:
        self._panel.masking.setVisible(visible)

    def setJumpToSelectedSegmentEnabled(self, enabled: bool) -> None:
        self._jump = bool(enabled)

    readOnly = QtCore.Property(bool, lambda self: self._read_only, setReadOnly)
    undoEnabled = QtCore.Property(bool, lambda self: self._undo_enabled, setUndoEnabled)
    maximumNumberOfUndoStates = QtCore.Property(
        int, lambda self: self._logic.GetMaximumNumberOfUndoStates(), setMaximumNumberOfUndoStates
    )
    jumpToSelectedSegmentEnabled = QtCore.Property(bool, lambda self: self._jump, setJumpToSelectedSegmentEnabled)
    # There are no node selectors and no such buttons here: what is set is kept, and changes nothing.
    segmentationNodeSelectorVisible = stored(bool, "_selectors")
    sourceVolumeNodeSelectorVisible = stored(bool, "_volume_selector")
    specifyGeometryButtonVisible = stored(bool, "_geometry_button")
    switchToSegmentationsButtonVisible = stored(bool, "_switch_button")
    autoShowSourceVolumeNode = stored(bool, "_auto_show")
    effectColumnCount = QtCore.Property(int, lambda self: self._columns, setEffectColumnCount)
    unorderedEffectsVisible = QtCore.Property(bool, lambda self: self._unordered, _set_unordered)
    addRemoveSegmentButtonsVisible = _visibility(lambda self: self._panel.add)
    show3DButtonVisible = _visibility(lambda self: self._panel.surface)
    maskingSectionVisible = _visibility(lambda self: self._panel.masking)

    # Following the node.

    def updateWidgetFromMRML(self) -> None:
        """Show what the segment editor node says and tell others what is new."""
        segmentation, volume, segment_id = self.segmentationNode(), self.sourceVolumeNode(), self.currentSegmentID()
        panel, editable = self._panel, segmentation is not None and not self._read_only
        panel.table.set_segmentation_node(segmentation)
        panel.table.select(segment_id)
        panel.masking.refresh()
        panel.add.setEnabled(editable)
        panel.remove.setEnabled(editable and bool(segment_id))
        panel.surface.setEnabled(segmentation is not None)
        for name, button in panel.effects.items():
            button.setEnabled(not name or (editable and volume is not None and bool(segment_id)))
        panel.masking.setEnabled(editable)
        self._show_undo()
        self._tell(segmentation, volume, segment_id)
        name = (self._node.GetActiveEffectName() or "") if self._node else ""
        self._activate(name if name in self._effects and self._can_edit() else "")

    def _tell(self, segmentation: Any, volume: Any, segment_id: str) -> None:
        before, self._seen = self._seen, (segmentation, volume, segment_id)
        if before[0] is not segmentation:
            self.segmentationNodeChanged.emit(segmentation)
        if before[1] is not volume:
            self.sourceVolumeNodeChanged.emit(volume)
            self.masterVolumeNodeChanged.emit(volume)
        if before[2] != segment_id:
            self.currentSegmentIDChanged.emit(segment_id)

    def _show_undo(self, *_: Any) -> None:
        self._panel.undo.setEnabled(bool(self._logic.CanUndo()) and not self._read_only)
        self._panel.redo.setEnabled(bool(self._logic.CanRedo()) and not self._read_only)

    def _take_geometry(self, *, anew: bool = False) -> None:
        """A segmentation without voxels gets the geometry of the source volume; ``anew``: in place of another one."""
        node, volume = self.segmentationNode(), self.sourceVolumeNode()
        if node is None or volume is None:
            return
        segmentation = node.GetSegmentation()
        name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
        empty = all(segment_mask(node, segment_id) is None for segment_id in segmentation.GetSegmentIDs())
        if not segmentation.GetConversionParameter(name) or (anew and empty):
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)

    def _connect_panel(self) -> None:
        panel = self._panel
        panel.add.clicked.connect(lambda: self._add_segment())
        panel.remove.clicked.connect(lambda: self._remove_segment())
        panel.surface.clicked.connect(lambda on: self._logic.ToggleSegmentationSurfaceRepresentation(on))
        panel.undo.clicked.connect(lambda: self.undo())
        panel.redo.clicked.connect(lambda: self.redo())
        panel.table.segmentSelected.connect(self.setCurrentSegmentID)
        for name, button in panel.effects.items():
            button.clicked.connect(lambda _=False, name=name: self.setActiveEffectByName(name))

    def _add_segment(self) -> None:
        self.saveStateForUndo()
        self.setCurrentSegmentID(self._logic.AddEmptySegment())
        self.updateWidgetFromMRML()

    def _remove_segment(self) -> None:
        self.saveStateForUndo()
        self.setCurrentSegmentID(self._logic.RemoveSelectedSegment())
        self.updateWidgetFromMRML()

    # Effects at work.

    def _activate(self, name: str) -> None:
        effect = self._effects.get(name)
        self._panel.effects[name if effect else ""].setChecked(True)
        if effect is self._active:
            return
        if self._active is not None:
            self._active.deactivate()
        self._active = effect
        self._panel.show_options(effect.optionsFrame() if effect else None)
        if effect is not None:
            effect.activate()
        self._observer.refresh()

    def _toggle_effect(self, name: str) -> None:
        active = self._active is not None and self._active.name == name
        self.setActiveEffectByName("" if active else name)

    def _can_edit(self, *, tell: bool = False) -> bool:
        """Whether a stroke would change something; ``tell`` says in the panel why it would not."""
        reason = ""
        if self._read_only:
            reason = "The segmentation is in use and cannot be changed now."
        elif self.segmentationNode() is None or self.sourceVolumeNode() is None:
            reason = "Choose a volume and a segmentation first."
        elif not self.currentSegmentID():
            reason = "Add a segment first."
        if tell or not reason:
            self._panel.message.setText(reason)
            self._panel.message.setVisible(bool(reason))
        return not reason

    def _process(self, event: str, interactor: Any, widget: Any) -> bool:
        """Hand a view's event to the active effect. Placing markups goes first."""
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        if self._active is None or interaction.GetCurrentInteractionMode() == interaction.Place:
            return False
        return self._active._process(event, interactor, widget)

    def _paint_overlay(self, painter: QtGui.QPainter, widget: Any) -> None:
        if self._active is not None:
            self._active._paint_overlay(painter, widget)

    def _refresh_overlays(self) -> None:
        self._observer.refresh()

    def _views_changed(self) -> None:
        self.updateWidgetFromMRML()

    def _slice_widgets(self) -> list[Any]:
        return slice_widgets()

    def _segment_color(self) -> QtGui.QColor:
        node, segment_id = self.segmentationNode(), self.currentSegmentID()
        if node is None or not segment_id:
            return QtGui.QColor(255, 255, 255)
        return QtGui.QColor.fromRgbF(*node.GetSegmentation().GetSegment(segment_id).GetColor())
