"""The first result of a segmentation is seen at once: as a surface, and in the slice views across the drawn slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from MomentumSegLib.drawn_slices import Drawn
from MomentumSegLib.slice_geometry import SliceGeometry, nodes_of_class
from MomentumSegLib.ticks import Ticks


class FirstLook:
    """Shows each segmentation's first result once; afterwards views and surface are the user's business.

    Args:
        scene: the MRML scene.
        ticks: surfaces take a moment, so they are made when the result is already shown in the slices.
    """

    def __init__(self, scene: Any, ticks: Ticks) -> None:
        self._scene = scene
        self._ticks = ticks
        self._seen: set[str] = set()

    def take(self, segmentation_id: str, slices: SliceGeometry, drawn: Sequence[Drawn]) -> None:
        """A run was finished.

        Args:
            segmentation_id: that has a result now.
            slices: of its volume.
            drawn: slices that the result came from.
        """
        if segmentation_id in self._seen:
            return
        self._seen.add(segmentation_id)
        if drawn:
            self._move_across(slices, drawn)
        self._ticks.later(lambda: self._show_surface(segmentation_id))

    def forget(self) -> None:
        """The scene was closed or loaded."""
        self._seen.clear()

    def _move_across(self, slices: SliceGeometry, drawn: Sequence[Drawn]) -> None:
        """Move the views that are not along the drawn slices through what is drawn; the others stay."""
        views = nodes_of_class(self._scene, "vtkMRMLSliceNode")
        across = [view for view in views if slices.index_in_view(view) is None]
        on_screen = [index for index in map(slices.index_in_view, views) if index is not None]
        nearest = min(drawn, key=lambda support: min((abs(support.slice_index - i) for i in on_screen), default=0))
        row, column = np.argwhere(nearest.mask).mean(axis=0)
        for view in across:
            view.JumpSliceByOffsetting(*slices.ras_of(nearest.slice_index, (float(row), float(column))))

    def _show_surface(self, segmentation_id: str) -> None:
        node = self._scene.GetNodeByID(segmentation_id)
        if node is None or not node.CreateClosedSurfaceRepresentation():
            return
        if slicer.app.layoutManager() is not None:  # there is none without a window
            self._ticks.later(slicer.util.resetThreeDViews)
