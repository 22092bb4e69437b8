"""Where the result is uncertain: a colour overlay on the slices, with a legend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import slicer

from MomentumSegLib.overlay_volume import find_overlay, new_image, new_overlay, set_overlay_image, voxels_of
from MomentumSegLib.slice_foreground import hide_from_foreground, is_in_foreground, show_in_foreground
from MomentumSegLib.volume_data import VolumeGeometry

_ROLE = "MomentumSegUncertaintyOf"
_COLOR_ROLE = "MomentumSegUncertaintyColors"
_LEGEND_TAG = "ColorLegendDisplay"
_LEGEND_SIZE = (0.08, 0.3)  # of the view; the texts grow and shrink with it
# Below this the overlay is transparent: where the method is as good as certain the image is seen as it is.
_LOWEST_SHOWN = 0.05
# Red, green and blue at equal steps from 0 to 1: dark to bright, so that it is read without colour vision too.
_COLORS = np.array([(0.24, 0.07, 0.42), (0.47, 0.11, 0.43), (0.74, 0.22, 0.33), (0.93, 0.41, 0.15), (0.99, 1.0, 0.64)])
_COLOR_COUNT = 256
# Of so many voxels the memory is filled within some ten milliseconds, also on a slow computer.
_PIECE_VOXELS = 1 << 20


class UncertaintyOverlay:
    """The uncertainty of one volume's segmentation as a volume in [0, 1], known by its node's ID.

    An overlay that was saved with the scene is found again.

    Args:
        scene: the MRML scene.
        volume_node_id: of the segmented volume.
    """

    def __init__(self, scene: object, volume_node_id: str) -> None:
        self._scene = scene
        self._volume_node_id = volume_node_id
        self._opacity = 0.6
        if self.node is not None:
            self._set_colors(self.node)  # the colours are not saved with the scene

    @property
    def node(self) -> object | None:
        """The overlay's volume node, or None when there is none."""
        return find_overlay(self._scene, _ROLE, self._volume_node_id)

    @property
    def is_visible(self) -> bool:
        """Whether a slice view shows the overlay."""
        node = self.node
        return node is not None and is_in_foreground(self._scene, node.GetID())

    @property
    def opacity(self) -> float:
        """0 to 1; takes effect where the overlay is shown."""
        return self._opacity

    @opacity.setter
    def opacity(self, opacity: float) -> None:
        self._opacity = min(1.0, max(0.0, float(opacity)))
        if self.is_visible:
            self.show()

    def update(self, volume: VolumeGeometry, uncertainty: np.ndarray, origin: tuple[int, int, int]) -> object:
        """Have the overlay hold a result's uncertainty; it is shown when it was. Returns its node.

        Args:
            volume: the segmented volume.
            uncertainty: (K, J, I) uint8 crop, 0 to 255 for 0 to 1; zero outside it.
            origin: (k, j, i) of its first voxel.
        """
        for _ in self.update_in_pieces(volume, uncertainty, origin):
            pass
        return self.node

    def update_in_pieces(
        self, volume: VolumeGeometry, uncertainty: np.ndarray, origin: tuple[int, int, int]
    ) -> Iterator[None]:
        """As `update`, in steps that each take a few milliseconds; with the last one the overlay changes."""
        if not uncertainty.size:
            uncertainty, origin = np.zeros((1, 1, 1), dtype=np.uint8), (0, 0, 0)
        image = new_image(uncertainty.shape)
        voxels = voxels_of(image)
        slices = max(1, _PIECE_VOXELS // uncertainty[0].size)
        for first in range(0, len(uncertainty), slices):
            part = slice(first, first + slices)
            np.divide(uncertainty[part], np.float32(255), out=voxels[part])
            yield
        node = self.node
        if node is None:
            node = new_overlay(self._scene, _ROLE, f"{volume.name} uncertainty", volume)
        set_overlay_image(node, image, origin, volume)
        self._set_colors(node)

    def show(self) -> None:
        """Show the overlay and its legend in all slice views; nothing where there is no overlay."""
        node = self.node
        if node is not None:
            show_in_foreground(self._scene, node.GetID(), self._opacity)
            self._show_legend(node, True)

    def hide(self) -> None:
        """Show in the slice views what was there before."""
        node = self.node
        if node is not None:
            hide_from_foreground(self._scene, node.GetID())
            self._show_legend(node, False)

    def remove(self) -> None:
        """Take the overlay, its legend and its colours out of the scene."""
        node = self.node
        if node is None:
            return
        self.hide()
        displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
        colors = node.GetNodeReference(_COLOR_ROLE)
        for unwanted in (node, *displays, colors):
            if unwanted is not None and unwanted.GetScene() is self._scene:
                self._scene.RemoveNode(unwanted)

    def _set_colors(self, node: object) -> None:
        display = node.GetScalarVolumeDisplayNode()
        colors = node.GetNodeReference(_COLOR_ROLE)
        if colors is None:
            colors = self._scene.AddNode(_new_color_table(self._scene))
            node.SetNodeReferenceID(_COLOR_ROLE, colors.GetID())
        display.SetAndObserveColorNodeID(colors.GetID())
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0.0, 1.0)
        display.SetAutoThreshold(False)
        display.SetThreshold(_LOWEST_SHOWN, 1.0)
        display.SetApplyThreshold(True)
        display.SetInterpolate(True)

    def _show_legend(self, node: object, visible: bool) -> None:
        legend = _legend(node, create=visible)
        if legend is not None:
            legend.SetVisibility(visible)


def _new_color_table(scene: object) -> object:
    """Colour table of the overlay, not in the scene yet."""
    colors = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    colors.UnRegister(None)
    colors.SetName("Uncertainty")
    colors.SetHideFromEditors(True)
    colors.SetSaveWithScene(False)
    colors.SetTypeToUser()
    colors.SetNumberOfColors(_COLOR_COUNT)
    steps = np.linspace(0, 1, len(_COLORS))
    for index, value in enumerate(np.linspace(0, 1, _COLOR_COUNT)):
        red, green, blue = (float(np.interp(value, steps, channel)) for channel in _COLORS.T)
        colors.SetColor(index, f"{value:.2f}", red, green, blue, 1.0)
    colors.GetLookupTable().SetTableRange(0, _COLOR_COUNT - 1)
    return colors


def _legend(node: object, *, create: bool) -> object | None:
    """The colour legend of a volume node; None without one, or where the host has no legends (no Colors module)."""
    if not hasattr(slicer, "vtkSlicerColorLogic") or not node.GetScene().GetClassNameByTag(_LEGEND_TAG):
        return None
    logic = slicer.vtkSlicerColorLogic
    legend = logic.GetColorLegendDisplayNode(node)
    if legend is None and create:
        legend = logic.AddDefaultColorLegendDisplayNode(node)
        if legend is not None:
            legend.SetTitleText("Uncertainty")
            legend.SetSize(*_LEGEND_SIZE)
            legend.SetNumberOfLabels(3)
    return legend
