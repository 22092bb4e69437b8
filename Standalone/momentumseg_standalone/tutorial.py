"""``--tutorial FOLDER``: the pictures of Docs/tutorial.md, made by doing what it says, with the generated abdomen."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.acting import Waiting, draw_slice, settle, show_slice
from momentumseg_standalone.errors import UserError
from momentumseg_standalone.files.saving import written_whole
from momentumseg_standalone.segment_editor.shapes import Mask

_ORGANS = {1: "liver", 4: "left kidney"}
_FIRST_SLICE, _SECOND_SLICE = 24, 14  # middle of the liver, and near its lower end
_OTHER_SEED = 21
_PATIENCE_SECONDS = 300.0
_COLORS = 256  # of a picture's palette: half of the size, and nobody sees it


class Tutorial:
    """Does the steps of the tutorial and takes a picture after each.

    Args:
        host: shown, with the module MomentumSeg.
        folder: of the pictures; made when it does not exist.
        say: is told what goes on.
    """

    def __init__(self, host: Any, folder: Path, say: Callable[[str], None]) -> None:
        self._host, self._folder, self._say = host, folder, say
        self._panel = slicer.modules.MomentumSegWidget.panel
        self._ui = self._panel.ui
        self._wait = Waiting(self._ui, say)
        self._truth: np.ndarray = np.zeros((0, 0, 0), dtype=np.uint8)

    def run(self) -> None:
        """Do all steps.

        Raises:
            UserError: a step failed, or a picture cannot be written.
        """
        self._load("Generated abdomen", seed=None)
        self._take("load")
        self._draw()
        self._take("draw")
        self._apply()
        self._take("result")
        self._show_uncertainty(True)
        self._take("uncertainty")
        self._show_uncertainty(False)
        self._correct()
        self._take("correct")
        self._apply()
        self._panel.ui.segmentEditorWidget.setActiveEffectByName("")
        settle(0.5)
        self._take("better")
        self._other_volume()
        self._take("other-volume")
        self._settings()

    def _load(self, name: str, *, seed: int | None) -> Any:
        from MomentumSegLib.phantom import generate_abdomen
        from MomentumSegLib.sample_data import load_phantom

        node = load_phantom()[0]
        generated = generate_abdomen() if seed is None else generate_abdomen(seed)
        slicer.util.updateVolumeFromArray(node, generated.voxels)
        node.SetName(name)
        self._truth = generated.labels
        self._ui.inputVolumeSelector.setCurrentNode(node)
        before = self._ui.outputSegmentationSelector.currentNode()
        self._wait.until(
            lambda: self._ui.outputSegmentationSelector.currentNode() not in (None, before), _PATIENCE_SECONDS
        )
        settle(1.0)
        return node

    def _draw(self) -> None:
        drawings = {name: self._truth == label for label, name in _ORGANS.items()}
        volume = self._ui.inputVolumeSelector.currentNode()
        show_slice(self._host, volume, "axial", _FIRST_SLICE)
        draw_slice(self._panel, volume, drawings, _FIRST_SLICE, 0)
        self._ui.segmentEditorWidget.setActiveEffectByName("Paint")
        settle(1.0)

    def _apply(self) -> None:
        panel, ui = self._panel, self._ui
        self._wait.until(lambda: ui.applyButton.enabled, _PATIENCE_SECONDS)
        ui.applyButton.click()
        self._wait.until(lambda: panel.controller.phase.is_busy, _PATIENCE_SECONDS)
        self._wait.until(lambda: not panel.controller.phase.is_busy, _PATIENCE_SECONDS)
        if not str(ui.statusLabel.text).startswith("Done in"):
            raise UserError(f"The tutorial could not be finished: {ui.statusLabel.text}")
        settle(2.0)  # the surface is made a moment later
        self._compare()

    def _compare(self) -> None:
        """Say how good the result is: the text of the tutorial tells it."""
        volume, node = self._ui.inputVolumeSelector.currentNode(), self._ui.outputSegmentationSelector.currentNode()
        for label, name in _ORGANS.items():
            segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
            found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0
            wanted = self._truth == label
            dice = 2 * np.count_nonzero(found & wanted) / max(1, found.sum() + wanted.sum())
            self._say(f"{name}: Dice {dice:.3f}")

    def _show_uncertainty(self, shown: bool) -> None:
        self._ui.showUncertaintyCheckBox.checked = shown
        if shown:
            show_slice(self._host, self._ui.inputVolumeSelector.currentNode(), "axial", _SECOND_SLICE)
        settle(1.5)

    def _correct(self) -> None:
        """Paint what is missing on a second slice, erase what is too much."""
        ui, index = self._ui, _SECOND_SLICE
        volume, node = ui.inputVolumeSelector.currentNode(), ui.outputSegmentationSelector.currentNode()
        k, j, i = (size - 1 for size in self._truth.shape)
        for label, name in _ORGANS.items():
            segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
            ui.segmentEditorWidget.setCurrentSegmentID(segment_id)
            found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0
            for effect, wanted in (
                ("Add", (self._truth == label) & ~found),
                ("Remove", found & (self._truth != label)),
            ):
                part = np.zeros_like(found)
                part[index] = wanted[index]
                if part.any():
                    ui.segmentEditorWidget.effectByName("Paint")._modify(Mask(part, (0, i, 0, j, 0, k)), effect)
        ui.segmentEditorWidget.setActiveEffectByName("Paint")
        settle(1.0)

    def _other_volume(self) -> None:
        """Another patient, segmented with the slices of the first one."""
        ui = self._ui
        volume, node = ui.inputVolumeSelector.currentNode(), ui.outputSegmentationSelector.currentNode()
        node.GetDisplayNode().SetVisibility(False)
        self._load("Another patient", seed=_OTHER_SEED)
        ui.drawCollapsibleButton.collapsed = True
        ui.moreCollapsibleButton.collapsed = False
        ui.supportVolumeSelector.setCurrentNode(volume)
        ui.supportSegmentationSelector.setCurrentNode(node)
        settle(1.0)
        self._apply()

    def _settings(self) -> None:
        """The page of the settings, alone."""
        from MomentumSegLib.settings_panel import SettingsPanel

        page = SettingsPanel()
        page.widget.resize(560, 280)
        page.widget.show()
        settle(0.5)
        self._save(page.widget, "settings")
        page.widget.close()

    def _take(self, name: str) -> None:
        for _ in range(20):
            QtWidgets.QApplication.processEvents()
        self._save(self._host.window, name)

    def _save(self, widget: Any, name: str) -> None:
        from PIL import Image

        data = QtCore.QBuffer()
        data.open(QtCore.QIODevice.OpenModeFlag.ReadWrite)
        widget.grab().save(data, "PNG")
        picture = Image.open(io.BytesIO(bytes(data.data()))).convert("RGB")
        self._folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self._folder / f"tutorial-{name}.png") as temporary:
            picture.quantize(_COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                temporary, "PNG", optimize=True
            )
        self._say(f"tutorial-{name}.png")
