"""The module in the stand-alone window, as a user sees it: for tests that need the real thing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standalone"))  # driving.py
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from driving import Mouse, add_volume, pixel_of, segment_array, settle  # noqa: E402, F401

import momentumseg_standalone  # noqa: E402, F401  # before PySide6, whose enums it chooses

IJK_TO_RAS = np.array([[-1.5, 0, 0, 60], [0, -1.5, 0, 60], [0, 0, 4.0, -60], [0, 0, 0, 1]])
SHAPE = (30, 80, 80)
MIDDLE = 15
PATIENCE = 180.0  # seconds; the machine may be busy


def a_body(seed: int = 1) -> np.ndarray:
    """Int16 scan with a bright ellipsoid, slow enough to segment that one can interrupt it."""
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    organ = ((k - 15) / 9) ** 2 + ((j - 38) / 20) ** 2 + ((i - 36) / 16) ** 2 <= 1
    noise = np.random.default_rng(seed).normal(0, 6, SHAPE)
    return (np.where(organ, 150, 40) + noise).astype(np.int16)


class Module:
    """The module as a user sees it."""

    def __init__(self, host: Any) -> None:
        import slicer

        self.host = host
        self.widget = slicer.modules.MomentumSegWidget
        self.messages: list[str] = []

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def status(self) -> str:
        return self.ui.statusLabel.text

    @property
    def segmentation(self) -> Any:
        return self.ui.outputSegmentationSelector.currentNode()

    @property
    def volume(self) -> Any:
        return self.ui.inputVolumeSelector.currentNode()

    def until(self, condition: Callable[[], Any]) -> None:
        """Run the event loop until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            settle()
            time.sleep(0.002)
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain; the status line says: {self.status}")

    def rest(self, seconds: float = 0.4) -> None:
        """Run the event loop for a while, so that delayed refreshes happen."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def choose(self, volume: Any) -> None:
        self.ui.inputVolumeSelector.setCurrentNode(volume)
        self.until(lambda: self.segmentation is not None)
        self.rest()

    def segment_id(self) -> str:
        return self.segmentation.GetSegmentation().GetNthSegmentID(0)

    def voxels(self) -> np.ndarray:
        return segment_array(self.segmentation, self.segment_id(), self.volume)

    def paint(self, slice_index: int, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """Paint from one corner of a slice to another with the mouse."""
        self._go_to(slice_index)
        self.ui.segmentEditorWidget.setCurrentSegmentID(self.segment_id())
        self.ui.segmentEditorWidget.setActiveEffectByName("Paint")
        node = self.ui.segmentEditorWidget.mrmlSegmentEditorNode()
        node.SetAttribute("BrushDiameterIsRelative", "0")
        node.SetAttribute("BrushAbsoluteDiameter", "18")
        view = self.host.layout_manager.sliceWidget("Red").sliceView()
        mouse = Mouse(view)
        for row in range(rows[0], rows[1], 6):
            ends = [pixel_of(view, self._ras(slice_index, row, column)) for column in columns]
            mouse.drag([tuple(np.round(ends[0] + f * np.subtract(ends[1], ends[0])).astype(int).tolist())
                        for f in np.linspace(0, 1, 8)])  # fmt: skip
        self.ui.segmentEditorWidget.setActiveEffectByName("")
        self.rest()

    def click(self, button: Any) -> None:
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        settle()

    def apply(self) -> None:
        """Press Apply and wait for the end."""
        self.click(self.ui.applyButton)
        self.until(lambda: self.panel.controller.phase.value == "idle")
        self.rest()

    def start(self) -> None:
        """Press Apply and wait until the first slices are shown."""
        self.click(self.ui.applyButton)
        self.until(lambda: self.previews() or self.panel.controller.phase.value == "idle")
        assert self.previews(), self.status

    def previews(self) -> list[Any]:
        import slicer

        return [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if n.GetName().endswith("preview")]

    def _go_to(self, slice_index: int) -> None:
        node = self.host.layout_manager.sliceWidget("Red").mrmlSliceNode()
        node.JumpSliceByOffsetting(*self._ras(slice_index, 40, 40))
        settle()

    def _ras(self, slice_index: int, row: int, column: int) -> np.ndarray:
        return (IJK_TO_RAS @ (column, row, slice_index, 1.0))[:3]
