"""Prompts in the stand-alone window: real mouse, real keys, real scene, real worker with a model made for tests."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_in_host import IJK_TO_RAS, MIDDLE, SHAPE, Module, Mouse, add_volume, pixel_of, segment_array, settle

from MomentumSegLib.few_shot_request import FewShotRequest

WORKER = Path(__file__).with_name("prompt_worker.py")


def the_organ() -> np.ndarray:
    """(K, J, I) of the bright ellipsoid in the scan."""
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return ((k - 15) / 9) ** 2 + ((j - 38) / 20) ** 2 + ((i - 36) / 16) ** 2 <= 1


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Dice."""
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


class Prompts(Module):
    """The module with the method for prompts."""

    @property
    def controller(self) -> Any:
        return self.panel._prompts.controller

    @property
    def view(self) -> Any:
        return self.host.layout_manager.sliceWidget("Red").sliceView()

    def choose_method(self, name: str) -> None:
        combo = self.ui.methodComboBox
        combo.setCurrentIndex(combo.findData(name))
        combo.activated.emit(combo.currentIndex)
        self.rest()

    def point(self, slice_index: int, row: int, column: int) -> None:
        """Click into the slice view."""
        self.click_at(slice_index, row, column)
        self.answered()

    def click_at(self, slice_index: int, row: int, column: int) -> None:
        node = self.view.mrmlSliceNode()
        if abs(node.GetSliceOffset() - self._ras(slice_index, row, column)[2]) > 0.1:
            self._go_to(slice_index)
        x, y = pixel_of(self.view, self._ras(slice_index, row, column))
        mouse = Mouse(self.view)
        mouse.move(x, y)
        mouse.click(x, y)

    def box(self, slice_index: int, first: tuple[int, int], second: tuple[int, int]) -> None:
        """Press Box and click two opposite corners."""
        self.click(self.ui.boxButton)
        self.click_at(slice_index, *first)
        self.click_at(slice_index, *second)
        self.answered()

    def answered(self) -> None:
        """Wait until what is on screen is what the prompts mean."""
        self.rest(0.05)
        self.until(lambda: not self.controller.is_asking and not self.controller._look_soon)

    def shown(self, slice_index: int) -> np.ndarray:
        """(rows, columns) of the mask that is shown on a slice and not accepted."""
        (preview,) = self.previews()
        return segment_array(preview, "label1", self.volume)[slice_index]

    def key(self, key: str) -> None:
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        QTest.keyClick(self.view, getattr(Qt.Key, key), Qt.KeyboardModifier.ControlModifier)
        settle()

    def prompts(self, slice_index: int) -> list[tuple[str, bool]]:
        found = self.controller.prompts.slices.get(slice_index)
        return [(entry["kind"], entry.get("positive", True)) for entry in found.entries] if found else []

    def follow(self) -> None:
        self.click(self.ui.applyButton)
        self.until(lambda: not self.controller.phase.is_busy)
        self.rest()


@pytest.fixture(scope="module")
def a_prompt_worker() -> Iterator[None]:
    """The application's worker is the one with the tests' model."""
    from MomentumSegLib import worker_session
    from MomentumSegLib.worker_launch import WorkerLaunch, own_python

    patch = pytest.MonkeyPatch()
    patch.setattr(
        worker_session, "launch_of", lambda settings: WorkerLaunch((own_python(), str(WORKER)), dict(os.environ))
    )
    worker_session.stop_shared_client()
    yield
    worker_session.stop_shared_client()
    patch.undo()


@pytest.fixture
def a_module(a_window: Any, a_prompt_worker: None, the_module: Module) -> Iterator[Prompts]:
    """A scan is chosen, and the method for prompts."""
    module = Prompts(the_module.host)
    module.messages = the_module.messages
    module.choose(add_volume(np.where(the_organ(), 150, 40).astype(np.int16), IJK_TO_RAS, "scan"))
    module.choose_method("prompts")
    yield module
    module.controller.cancel()
    module.until(lambda: not module.controller.phase.is_busy)
    module.choose_method("few-shot")


def test_method_shows_its_own_controls(a_module):
    ui = a_module.ui
    assert ui.promptsCollapsibleButton.isVisibleTo(a_module.ui.runFrame.window())
    assert not ui.supportsTable.isVisibleTo(ui.drawCollapsibleButton)
    assert ui.applyButton.text == "Follow through the volume"
    assert a_module.status == "There is no prompt yet: click into the structure, or draw a box around it."
    a_module.choose_method("few-shot")
    assert ui.supportsTable.isVisibleTo(ui.drawCollapsibleButton)
    assert ui.applyButton.text == "Apply"
    a_module.until(lambda: ui.modelComboBox.currentText.startswith("LMS"))


def test_click_is_a_mask_at_once_and_accept_is_one_undo_step(a_module):
    a_module.click(a_module.ui.insidePointButton)
    a_module.point(MIDDLE, 38, 36)
    assert overlap(a_module.shown(MIDDLE), the_organ()[MIDDLE]) > 0.9
    assert not a_module.voxels().any()
    assert "1 point inside" in a_module.ui.promptStateLabel.text
    assert "Predicted IoU 0." in a_module.ui.promptStateLabel.text
    shown = a_module.shown(MIDDLE)
    a_module.click(a_module.ui.acceptButton)
    a_module.rest()
    assert np.array_equal(a_module.voxels()[MIDDLE], shown)
    assert a_module.voxels().any(axis=(1, 2)).sum() == 1
    assert a_module.previews() == []
    a_module.ui.segmentEditorWidget.undo()
    a_module.rest()
    assert not a_module.voxels().any()
    assert np.array_equal(a_module.shown(MIDDLE), shown)  # the prompt survives Undo
    assert a_module.messages == []


def test_keys_toggle_accept_and_take_back(a_module):
    a_module.key("Key_T")
    assert a_module.ui.insidePointButton.checked
    a_module.point(MIDDLE, 38, 36)
    whole = a_module.shown(MIDDLE)
    a_module.key("Key_T")
    assert a_module.ui.outsidePointButton.checked and not a_module.ui.insidePointButton.checked
    a_module.point(MIDDLE, 5, 5)
    assert a_module.prompts(MIDDLE) == [("point", True), ("point", False)]
    a_module.key("Key_Backspace")
    a_module.answered()
    assert a_module.prompts(MIDDLE) == [("point", True)]
    assert np.array_equal(a_module.shown(MIDDLE), whole)
    a_module.key("Key_Return")
    a_module.rest()
    assert np.array_equal(a_module.voxels()[MIDDLE], whole)
    a_module.key("Key_Backspace")
    a_module.answered()
    assert a_module.prompts(MIDDLE) == []
    assert np.array_equal(a_module.voxels()[MIDDLE], whole)


def test_keys_belong_to_the_method(a_module):
    a_module.choose_method("few-shot")
    a_module.key("Key_T")
    assert not a_module.ui.insidePointButton.checked


def test_box_is_placed_by_two_clicks(a_module):
    a_module.box(MIDDLE, (15, 17), (61, 55))
    assert a_module.prompts(MIDDLE) == [("box", True)]
    assert overlap(a_module.shown(MIDDLE), the_organ()[MIDDLE]) > 0.9
    assert not a_module.ui.boxButton.checked  # one box a press
    assert a_module.controller.prompts.bounds == ()


def test_scribble_is_painted_and_erased_with_the_prompts(a_module):
    ui = a_module.ui
    a_module.click(ui.scribbleInsideButton)
    editor = ui.segmentEditorWidget
    assert editor.activeEffect().name == "Paint"
    node = editor.mrmlSegmentEditorNode()
    node.SetAttribute("BrushDiameterIsRelative", "0")
    node.SetAttribute("BrushAbsoluteDiameter", "6")
    a_module._go_to(MIDDLE)
    ends = [pixel_of(a_module.view, a_module._ras(MIDDLE, 38, column)) for column in (28, 44)]
    Mouse(a_module.view).drag([tuple(np.round(np.add(ends[0], f * np.subtract(ends[1], ends[0]))).astype(int).tolist())
                               for f in np.linspace(0, 1, 8)])  # fmt: skip
    a_module.rest()
    a_module.answered()
    assert a_module.prompts(MIDDLE) == [("scribble", True)]
    assert overlap(a_module.shown(MIDDLE), the_organ()[MIDDLE]) > 0.9
    a_module.click(ui.scribbleInsideButton)
    assert editor.currentSegmentID() == a_module.segment_id()
    a_module.click(ui.acceptButton)
    a_module.rest()
    assert overlap(a_module.voxels()[MIDDLE], the_organ()[MIDDLE]) > 0.9
    a_module.click(ui.clearPromptsButton)
    assert a_module.segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_next_segment_accepts_and_goes_on(a_module):
    a_module.click(a_module.ui.insidePointButton)
    a_module.point(MIDDLE, 38, 36)
    a_module.click(a_module.ui.nextSegmentButton)
    a_module.rest()
    assert a_module.voxels()[MIDDLE].any()
    assert a_module.segmentation.GetSegmentation().GetNumberOfSegments() == 2
    assert a_module.ui.insidePointButton.checked
    a_module.point(MIDDLE, 5, 5)
    second = a_module.segmentation.GetSegmentation().GetNthSegmentID(1)
    assert a_module.ui.segmentEditorWidget.currentSegmentID() == second
    assert a_module.shown(MIDDLE)[5, 5] and not a_module.shown(MIDDLE)[38, 36]
    assert overlap(a_module.voxels()[MIDDLE], the_organ()[MIDDLE]) > 0.9


def test_following_finds_the_organ_in_one_undo_step(a_module):
    a_module.box(MIDDLE, (15, 17), (61, 55))
    a_module.follow()
    assert a_module.status.startswith("Followed through slices"), a_module.status
    assert overlap(a_module.voxels(), the_organ()) > 0.85
    assert a_module.previews() == []
    few_shot = FewShotRequest(a_module.volume.GetID(), a_module.segmentation.GetID(), "axial", "none", "cpu")
    assert a_module.panel.controller.drawn(few_shot).rows == ()  # a result, not drawn by hand
    a_module.ui.segmentEditorWidget.undo()
    a_module.rest()
    assert not a_module.voxels().any()
    assert a_module.messages == []


def test_cancelled_following_changes_nothing(a_module):
    a_module.box(MIDDLE, (15, 17), (61, 55))
    pid = a_module.panel._client.hello["pid"]
    os.kill(pid, signal.SIGSTOP)
    a_module.click(a_module.ui.applyButton)
    assert a_module.ui.applyButton.text == "Cancel"
    assert not a_module.ui.methodComboBox.enabled
    a_module.click(a_module.ui.applyButton)
    assert a_module.previews() == []
    os.kill(pid, signal.SIGCONT)
    a_module.until(lambda: not a_module.controller.phase.is_busy)
    a_module.rest()
    assert a_module.ui.applyButton.text == "Follow through the volume"
    assert not a_module.voxels().any()
    assert a_module.ui.methodComboBox.enabled


def test_killed_worker_is_said_and_the_next_click_works(a_module):
    a_module.click(a_module.ui.insidePointButton)
    a_module.point(MIDDLE, 38, 36)
    pid = a_module.panel._client.hello["pid"]
    os.kill(pid, signal.SIGSTOP)  # so that the click is on its way when the worker dies
    a_module.click_at(MIDDLE, 30, 36)
    a_module.until(lambda: a_module.controller.is_asking)
    os.kill(pid, signal.SIGKILL)
    a_module.until(lambda: "ended unexpectedly" in a_module.status)
    a_module.point(MIDDLE, 44, 36)
    assert len(a_module.prompts(MIDDLE)) == 3
    assert overlap(a_module.shown(MIDDLE), the_organ()[MIDDLE]) > 0.9


def has_ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_worker_that_hangs_is_said_and_cancel_starts_it_anew(a_module, monkeypatch):
    from MomentumSegLib import prompt_patience

    a_module.click(a_module.ui.insidePointButton)
    a_module.point(MIDDLE, 38, 36)
    a_module.click(a_module.ui.acceptButton)
    a_module.rest()
    accepted, pid = a_module.voxels(), a_module.panel._client.hello["pid"]
    impatient = dataclasses.replace(prompt_patience.load_settings(), prompt_seconds=1)
    monkeypatch.setattr(prompt_patience, "load_settings", lambda: impatient)
    os.kill(pid, signal.SIGSTOP)
    a_module.click_at(MIDDLE, 30, 36)
    a_module.until(lambda: "no mask for 1 s" in a_module.status)
    assert a_module.ui.applyButton.text == "Cancel"
    a_module.rest()
    assert "no mask for 1 s" in a_module.status
    a_module.click(a_module.ui.applyButton)
    assert a_module.status.startswith("Cancelled; the worker is started again.")
    assert a_module.ui.applyButton.text == "Follow through the volume"
    a_module.until(lambda: has_ended(pid))  # a killed process needs a moment to give back its memory
    assert np.array_equal(a_module.voxels(), accepted)
    impatient = dataclasses.replace(impatient, prompt_seconds=3600)
    a_module.point(MIDDLE, 44, 36)
    assert overlap(a_module.shown(MIDDLE), the_organ()[MIDDLE]) > 0.9
    assert a_module.messages == []


def test_rapid_clicks(a_module):
    a_module.click(a_module.ui.insidePointButton)
    for number in range(20):
        a_module.click_at(MIDDLE, 30 + number % 5, 30 + number // 5)
    a_module.answered()
    assert len(a_module.prompts(MIDDLE)) == 20
    assert overlap(a_module.shown(MIDDLE), the_organ()[MIDDLE]) > 0.9
    assert a_module.messages == []


def test_scene_closed_while_a_mask_is_computed(a_module):
    import slicer

    a_module.click(a_module.ui.insidePointButton)
    a_module.click_at(MIDDLE, 38, 36)
    slicer.mrmlScene.Clear(False)
    a_module.rest()
    assert a_module.previews() == []
    assert a_module.status.startswith("Select a volume first.")
    assert not a_module.ui.promptsCollapsibleButton.isVisibleTo(a_module.ui.runFrame.window())
    assert a_module.messages == []


def test_prompts_come_back_with_the_scene(a_module, tmp_path):
    import slicer

    a_module.click(a_module.ui.insidePointButton)
    a_module.point(MIDDLE, 38, 36)
    a_module.click(a_module.ui.acceptButton)
    a_module.point(MIDDLE + 2, 38, 36)
    accepted, shown = a_module.voxels(), a_module.shown(MIDDLE + 2)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    a_module.rest()
    slicer.util.loadScene(path)
    a_module.until(lambda: a_module.controller.waiting)
    a_module.answered()
    assert a_module.panel._parameters.method == "prompts"
    assert np.array_equal(a_module.voxels(), accepted)
    assert list(a_module.controller.waiting) == [MIDDLE + 2]  # the other one is in the segment already
    assert np.array_equal(a_module.shown(MIDDLE + 2), shown)


def test_every_control_says_what_it_is_for(a_module):
    from PySide6 import QtWidgets

    kinds = (QtWidgets.QAbstractButton, QtWidgets.QLabel)
    names = [name for name in vars(a_module.ui) if name.startswith(("inside", "outside", "box", "scribble", "prompt",
             "accept", "other", "take", "next", "clear", "refine"))]  # fmt: skip
    ours = [getattr(a_module.ui, name) for name in names]
    assert len([w for w in ours if isinstance(w, kinds)]) >= 11
    assert [w.objectName for w in ours if isinstance(w, kinds) and not (w.toolTip and w.accessibleName)] == []
