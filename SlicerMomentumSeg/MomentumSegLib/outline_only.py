"""Segments as outlines while an overlay is looked at: their filling would mix with its colours."""

from __future__ import annotations

from typing import Any


class OutlineOnly:
    """Takes the filling of one segmentation off the slice views, and gives it back.

    Args:
        scene: the MRML scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._node_id = ""

    def show(self, segmentation_id: str) -> None:
        """Show a segmentation without its filling, and the one before with it again."""
        if segmentation_id == self._node_id:
            return
        self.restore()
        display = self._display(segmentation_id)
        if display is not None and display.GetVisibility2DFill():
            display.SetVisibility2DFill(False)
            self._node_id = segmentation_id

    def restore(self) -> None:
        """Give the filling back."""
        display = self._display(self._node_id)
        if display is not None:
            display.SetVisibility2DFill(True)
        self._node_id = ""

    def _display(self, segmentation_id: str) -> Any:
        node = self._scene.GetNodeByID(segmentation_id) if segmentation_id else None
        return None if node is None else node.GetDisplayNode()
