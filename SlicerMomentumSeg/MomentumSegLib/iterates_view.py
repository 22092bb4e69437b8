"""The stages of the method on one slice: mask u, noise v and entropy, as in Figure 7 of the LMS-Net paper."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from MomentumSegLib.errors import UserError
from MomentumSegLib.overlay_volume import find_overlay, new_overlay, set_overlay_voxels
from MomentumSegLib.slice_foreground import hide_from_foreground, is_in_foreground, show_in_foreground
from MomentumSegLib.slice_geometry import SliceGeometry

KINDS = ("foreground", "noise", "entropy")
TITLES = {"foreground": "mask u", "noise": "noise v", "entropy": "entropy"}

_NAME = re.compile(r"stage(\d+)_(\w+)")
_ALL_OF_IT = (0.0, 1.0)


class IteratesView:
    """Three one-slice volumes that show one stage at a time; the grey scale stays the same over all stages.

    Args:
        scene: the MRML scene.
    """

    def __init__(self, scene: object) -> None:
        self._scene = scene
        self._slices: SliceGeometry | None = None
        self._slice_index = 0
        self._stages: list[dict[str, np.ndarray]] = []
        self._stage = 0

    @property
    def stage_count(self) -> int:
        """Number of stages; 0 before `set_stages`."""
        return len(self._stages)

    @property
    def stage(self) -> int:
        """The stage that is shown, 1 to `stage_count`; 0: none."""
        return self._stage

    @property
    def slice_index(self) -> int:
        """The slice whose stages these are."""
        return self._slice_index

    def node(self, kind: str) -> object | None:
        """Volume node of "foreground", "noise" or "entropy"; None when there is none."""
        return find_overlay(self._scene, _role(kind))

    def set_stages(self, slices: SliceGeometry, slice_index: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the worker's answer to "iterates" and show the last stage.

        Args:
            slices: of the segmented volume.
            slice_index: that was asked for.
            arrays: (rows, columns) float32 "stage1_foreground", "stage1_noise", "stage1_entropy", "stage2_...".

        Raises:
            UserError: no stage is in it, or an array has not the shape of the volume's slices.
        """
        stages = _stages(arrays)
        wrong = [array.shape for stage in stages for array in stage.values() if array.shape != slices.slice_shape]
        if not stages or wrong:
            raise UserError("This result has no stages to look at: press Apply again.")
        self._slices, self._slice_index, self._stages = slices, slice_index, stages
        for kind in KINDS:
            self._prepare(kind)
        self.show_stage(len(stages))

    def show_stage(self, stage: int) -> None:
        """Show stage 1 to `stage_count` (others: the nearest one)."""
        if self._slices is None:
            return
        self._stage = min(max(int(stage), 1), len(self._stages))
        origin = np.insert([0, 0], self._slices.axis, self._slice_index)
        for kind, array in self._stages[self._stage - 1].items():
            node = self.node(kind)
            if node is not None:
                voxels = np.expand_dims(array, self._slices.axis).astype(np.float32)
                set_overlay_voxels(node, voxels, tuple(origin.tolist()), self._slices.volume)

    def show_over_image(self, kind: str | None, opacity: float = 1.0) -> None:
        """Show one kind over the image in the slice views; None: what was there before."""
        for other in KINDS:
            node = self.node(other)
            if node is not None and other != kind and is_in_foreground(self._scene, node.GetID()):
                hide_from_foreground(self._scene, node.GetID())
        node = self.node(kind) if kind else None
        if node is not None:
            show_in_foreground(self._scene, node.GetID(), opacity)

    def remove(self) -> None:
        """Take the volumes out of the scene."""
        self.show_over_image(None)
        for node in filter(None, [self.node(kind) for kind in KINDS]):
            displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
            for unwanted in (node, *displays):
                if unwanted is not None and unwanted.GetScene() is self._scene:
                    self._scene.RemoveNode(unwanted)
        self._slices, self._stages, self._stage = None, [], 0

    def _prepare(self, kind: str) -> None:
        """Node of a kind, under the present volume's name, with a grey scale that fits all stages."""
        node = self.node(kind)
        name = f"{self._slices.volume.name} {TITLES[kind]}"
        if node is None:
            node = new_overlay(self._scene, _role(kind), name, self._slices.volume)
            node.SetSaveWithScene(False)
        elif node.GetNodeReferenceID(_role(kind)) != self._slices.volume.node_id:
            node.SetName(name)
            node.SetNodeReferenceID(_role(kind), self._slices.volume.node_id)
            node.SetAttribute(_role(kind), self._slices.volume.node_id)
        display = node.GetScalarVolumeDisplayNode()
        display.SetSaveWithScene(False)
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*_range(kind, self._stages))


def _role(kind: str) -> str:
    return f"MomentumSegIterates{kind.capitalize()}"


def _stages(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Arrays of each stage by kind, in the order of the stages; stages that lack a kind end the list."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match and match[2] in KINDS:
            found.setdefault(int(match[1]), {})[match[2]] = array
    return [found[number] for number in sorted(found) if set(found[number]) == set(KINDS)]


def _range(kind: str, stages: list[dict[str, np.ndarray]]) -> tuple[float, float]:
    """Grey scale: 0 to 1 of mask and entropy, the noise's own range over all stages."""
    if kind != "noise":
        return _ALL_OF_IT
    low = min(float(stage[kind].min()) for stage in stages)
    high = max(float(stage[kind].max()) for stage in stages)
    return (low, high) if high > low else (low, low + 1.0)
