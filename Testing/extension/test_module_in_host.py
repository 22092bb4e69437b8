"""The module in the stand-alone window: real worker, real mouse, real scene."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standalone"))  # driving.py
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import momentumseg_standalone  # noqa: E402, F401  # before PySide6, whose enums it chooses
from driving import Mouse, add_volume, pixel_of, segment_array, settle  # noqa: E402

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


@pytest.fixture(scope="module")
def a_window() -> Iterator[Any]:
    """The application with the module's panel open."""
    from momentumseg_standalone.host import start_host

    host = start_host(testing=True)
    layout = host.core.layout_logic.GetLayoutNode()
    layout.SetViewArrangement(layout.SlicerLayoutOneUpRedSliceView)  # software rendering takes its time for each view
    host.window.resize(900, 600)
    host.show("MomentumSeg")
    settle()
    yield host
    host.stop()


@pytest.fixture
def the_module(a_window: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """The panel in an empty scene. Errors that would open a window are kept in ``messages``."""
    import slicer

    slicer.mrmlScene.Clear(False)
    module = Module(a_window)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, *args, **options: module.messages.append(text))
    module.until(lambda: module.panel.controller.phase.value == "idle")
    yield module
    module.panel.controller.cancel()
    module.until(lambda: module.panel.controller.phase.value == "idle")
    slicer.mrmlScene.Clear(False)
    settle()


@pytest.fixture
def a_painted_module(the_module: Module) -> Module:
    """A scan is chosen, and its organ painted on the middle slice with the mouse."""
    the_module.choose(add_volume(a_body(), IJK_TO_RAS, "scan"))
    the_module.paint(MIDDLE, (24, 53), (28, 45))
    return the_module


def what_the_engine_finds(volume: np.ndarray, drawn: dict[int, np.ndarray]) -> np.ndarray:
    """Mask of the engine, asked without module and worker."""
    from momentumseg.sessions.few_shot import FewShotSession
    from momentumseg.volumes.volume import Volume
    from momentumseg.weights.loading import load_few_shot_model

    with FewShotSession(load_few_shot_model("lmsnet-general")) as session:
        session.set_volume(Volume(volume, IJK_TO_RAS, "scan"), plane="axial")
        for slice_index, mask in drawn.items():
            session.add_support(mask.astype(np.uint8), slice_index)
        return session.segment().labelmap.array > 0


def test_empty_scene_says_what_to_do(the_module):
    the_module.rest()
    assert not the_module.ui.applyButton.enabled
    assert the_module.status == "Select a volume first."
    assert the_module.ui.applyButton.toolTip == "Select a volume first."


def test_every_control_has_a_tool_tip_and_a_name(the_module):
    from PySide6 import QtWidgets

    kinds = (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QTableWidget, QtWidgets.QProgressBar)
    ours = [widget for name, widget in vars(the_module.ui).items()
            if isinstance(widget, kinds) and not name.startswith("qt_")]  # fmt: skip
    assert len(ours) > 20
    assert [w.objectName for w in ours if not w.toolTip or not w.accessibleName] == []


def test_painted_slice_becomes_the_engines_result_and_undo_takes_it_back(a_painted_module):
    drawn = a_painted_module.voxels()
    assert drawn.any(axis=(1, 2)).nonzero()[0].tolist() == [MIDDLE]
    assert a_painted_module.ui.supportsTable.rowCount == 1

    a_painted_module.apply()
    found = a_painted_module.voxels()
    expected = what_the_engine_finds(a_body(), {MIDDLE: drawn[MIDDLE]})
    assert expected.sum() > 3 * drawn.sum()
    assert np.array_equal(found, expected)
    assert a_painted_module.status.startswith("Done in")
    assert a_painted_module.ui.resultsTable.rowCount == 1

    editor = a_painted_module.ui.segmentEditorWidget
    editor.undo()
    a_painted_module.rest()
    assert np.array_equal(a_painted_module.voxels(), drawn)
    assert a_painted_module.ui.supportsTable.rowCount == 1
    editor.redo()
    a_painted_module.rest()
    assert np.array_equal(a_painted_module.voxels(), expected)
    assert a_painted_module.ui.supportsTable.rowCount == 1  # the result is not taken for drawings
    assert a_painted_module.messages == []


def test_corrected_slice_is_an_example_for_the_next_result(a_painted_module):
    drawn = a_painted_module.voxels()[MIDDLE]
    a_painted_module.apply()
    a_painted_module.paint(9, (56, 62), (20, 52))
    corrected = a_painted_module.voxels()[9]
    assert a_painted_module.ui.supportsTable.rowCount == 2
    a_painted_module.apply()
    expected = what_the_engine_finds(a_body(), {MIDDLE: drawn, 9: corrected})
    assert np.array_equal(a_painted_module.voxels(), expected)


def test_cancel_changes_nothing(a_painted_module):
    before = a_painted_module.voxels()
    a_painted_module.start()
    assert a_painted_module.ui.applyButton.text == "Cancel"
    a_painted_module.click(a_painted_module.ui.applyButton)
    assert a_painted_module.previews() == []
    a_painted_module.until(lambda: a_painted_module.ui.applyButton.text == "Apply")
    assert np.array_equal(a_painted_module.voxels(), before)
    assert a_painted_module.status == "Cancelled; nothing was changed."
    assert a_painted_module.messages == []


def test_killed_worker_is_said_and_the_next_apply_works(a_painted_module):
    before = a_painted_module.voxels()
    a_painted_module.start()
    os.kill(a_painted_module.panel._client.hello["pid"], signal.SIGKILL)
    a_painted_module.until(lambda: a_painted_module.panel.controller.phase.value == "idle")
    assert np.array_equal(a_painted_module.voxels(), before)
    assert a_painted_module.previews() == []
    assert "ended unexpectedly" in a_painted_module.status
    assert len(a_painted_module.messages) == 1
    a_painted_module.apply()
    assert a_painted_module.status.startswith("Done in")
    assert a_painted_module.voxels().sum() > 3 * before.sum()


def test_scene_closed_while_it_runs(a_painted_module):
    import slicer

    a_painted_module.start()
    slicer.mrmlScene.Clear(False)
    a_painted_module.until(lambda: a_painted_module.panel.controller.phase.value == "idle")
    assert a_painted_module.status == "The scene was closed, so the segmentation was cancelled."
    a_painted_module.rest()
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    assert not a_painted_module.ui.applyButton.enabled
    assert a_painted_module.messages == []


def test_volume_deleted_while_it_runs(a_painted_module):
    import slicer

    a_painted_module.start()
    slicer.mrmlScene.RemoveNode(a_painted_module.volume)
    a_painted_module.until(lambda: a_painted_module.panel.controller.phase.value == "idle")
    assert a_painted_module.status == "The volume was deleted, so its segmentation was cancelled."
    assert a_painted_module.previews() == []


def test_a_hundred_rapid_clicks(a_painted_module):
    for _ in range(100):
        a_painted_module.click(a_painted_module.ui.applyButton)
    a_painted_module.until(lambda: a_painted_module.panel.controller.phase.value == "idle")
    a_painted_module.rest()
    assert a_painted_module.messages == []
    if not a_painted_module.status.startswith("Done in"):
        a_painted_module.apply()
    assert a_painted_module.status.startswith("Done in")
    assert a_painted_module.previews() == []


def test_two_volumes_in_turn_keep_their_segmentations(a_painted_module):
    first, own = a_painted_module.volume, a_painted_module.segmentation
    second = add_volume(a_body(seed=2), IJK_TO_RAS, "second scan")
    a_painted_module.choose(second)
    assert a_painted_module.segmentation is not own
    a_painted_module.paint(MIDDLE, (24, 53), (28, 45))
    a_painted_module.apply()
    assert a_painted_module.voxels().any(axis=(1, 2)).sum() > 5
    a_painted_module.choose(first)
    assert a_painted_module.segmentation is own
    assert a_painted_module.voxels().any(axis=(1, 2)).nonzero()[0].tolist() == [MIDDLE]


def test_choices_and_drawings_come_back_with_the_scene(a_painted_module, tmp_path):
    import slicer

    a_painted_module.ui.uncertaintyOpacitySlider.value = 0.25
    a_painted_module.ui.limitSlicesCheckBox.checked = True
    a_painted_module.apply()
    found = a_painted_module.voxels()
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    a_painted_module.rest()
    slicer.util.loadScene(path)
    a_painted_module.rest(0.6)
    assert a_painted_module.volume.GetName() == "scan"
    assert np.array_equal(a_painted_module.voxels(), found)
    assert a_painted_module.ui.supportsTable.rowCount == 1
    assert a_painted_module.ui.resultsTable.rowCount == 1
    assert a_painted_module.ui.uncertaintyOpacitySlider.value == pytest.approx(0.25)
    assert a_painted_module.ui.limitSlicesCheckBox.checked


def test_leaving_the_module_takes_its_keys_away_and_a_run_goes_on(a_painted_module):
    a_painted_module.start()
    a_painted_module.widget.exit()
    assert not any(shortcut.enabled for shortcut in a_painted_module.panel._shortcuts._shortcuts)
    a_painted_module.until(lambda: a_painted_module.panel.controller.phase.value == "idle")
    a_painted_module.widget.enter()
    a_painted_module.rest()
    assert a_painted_module.voxels().any(axis=(1, 2)).sum() > 5


def test_reload_ends_the_worker_and_the_new_panel_works(a_painted_module):
    import slicer

    a_painted_module.start()
    process = a_painted_module.panel._client.hello["pid"]
    segmentation, before = a_painted_module.segmentation, a_painted_module.voxels()
    a_painted_module.widget.onReload()
    a_painted_module.widget = slicer.modules.MomentumSegWidget
    a_painted_module.widget.enter()
    a_painted_module.until(lambda: not _runs(process))
    a_painted_module.rest()
    assert a_painted_module.previews() == []
    assert a_painted_module.segmentation is segmentation
    assert np.array_equal(a_painted_module.voxels(), before)
    a_painted_module.apply()
    assert a_painted_module.status.startswith("Done in")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
