"""The embedded segment editor: where the user draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

EDITOR_TAG = "MomentumSeg"
_CLASS = "vtkMRMLSegmentEditorNode"
_INITIALIZED = "MomentumSeg.Initialized"
# What drawing needs. All of 3D Slicer's effects, with their options, would fill the panel; the Segment Editor has them.
_EFFECTS = ("Paint", "Draw", "Erase", "Level tracing", "Threshold", "Scissors", "Islands", "Smoothing")


def segment_editor_node(scene: Any) -> Any:
    """Return the module's own segment editor node; finished segments are not erased by drawing over them."""
    node = scene.GetSingletonNode(EDITOR_TAG, _CLASS)
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(EDITOR_TAG)
        node = scene.AddNode(node)
    if not node.GetAttribute(_INITIALIZED):  # new, or reset to 3D Slicer's defaults, which closing a scene does
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        node.SetAttribute(_INITIALIZED, "1")
    return node


class EditorSection:
    """Connects the segment editor widget to the volume and the segmentation that the user chose.

    Args:
        ui: widgets of the panel.
        on_segment_chosen: called when another segment was selected.
    """

    def __init__(self, ui: Any, *, on_segment_chosen: Callable[[], None] | None = None) -> None:
        self.ui = ui
        self._on_segment_chosen = on_segment_chosen
        self._active = False
        editor = ui.segmentEditorWidget
        editor.setMaximumNumberOfUndoStates(10)
        editor.setEffectNameOrder(list(_EFFECTS))
        editor.unorderedEffectsVisible = False
        ui.maskingCheckBox.connect("toggled(bool)", self._show_masking)
        editor.connect("currentSegmentIDChanged(QString)", self._segment_chosen)

    def enter(self) -> None:
        """The module is shown: the editor's keys and mouse work."""
        editor = self.ui.segmentEditorWidget
        editor.setMRMLSegmentEditorNode(segment_editor_node(slicer.mrmlScene))
        editor.setupViewObservations()
        editor.installKeyboardShortcuts()
        self._active = True
        self._open_masking_in_use()

    def exit(self) -> None:
        """The module is hidden: no key and no mouse button belongs to the editor."""
        if not self._active:
            return
        editor = self.ui.segmentEditorWidget
        editor.setActiveEffectByName("")
        editor.uninstallKeyboardShortcuts()
        editor.removeViewObservations()
        self._active = False

    def scene_changed(self) -> None:
        """The scene was closed or loaded: its editor node may be another one."""
        if self._active:
            self.ui.segmentEditorWidget.setMRMLSegmentEditorNode(segment_editor_node(slicer.mrmlScene))
            self._open_masking_in_use()

    def edit(self, segmentation_node: Any, volume_node: Any) -> None:
        """Let the user draw into this segmentation on this volume; None: nothing can be drawn."""
        editor = self.ui.segmentEditorWidget
        if editor.segmentationNode() is not segmentation_node:
            editor.setSegmentationNode(segmentation_node)
        if segmentation_node is not None and editor.sourceVolumeNode() is not volume_node:
            editor.setSourceVolumeNode(volume_node)
        editor.enabled = volume_node is not None and segmentation_node is not None

    def set_read_only(self, read_only: bool) -> None:
        """While a run uses the drawing, it cannot be changed; one can look at everything."""
        self.ui.segmentEditorWidget.setReadOnly(read_only)

    def _show_masking(self, shown: bool) -> None:
        self.ui.segmentEditorWidget.maskingSectionVisible = shown

    def _open_masking_in_use(self) -> None:
        """Masking that hinders drawing is never hidden."""
        node = self.ui.segmentEditorWidget.mrmlSegmentEditorNode()
        everywhere = slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
        if node is not None and (node.GetMaskMode() != everywhere or node.GetSourceVolumeIntensityMask()):
            self.ui.maskingCheckBox.checked = True

    def _segment_chosen(self, segment_id: str) -> None:
        if self._on_segment_chosen is not None:
            self._on_segment_chosen()
