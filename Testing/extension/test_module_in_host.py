"""The module in the stand-alone window: real worker, real mouse, real scene."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from module_in_host import IJK_TO_RAS, MIDDLE, a_body, add_volume


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
