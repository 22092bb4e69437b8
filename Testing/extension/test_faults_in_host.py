"""What goes wrong around the module, in the window: the user reads one clear sentence, and nothing is lost."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_in_host import IJK_TO_RAS, MIDDLE, SHAPE, Module, a_body, add_volume, settle

# As long as Linux allows for one name, in signs that other programs stumble over.
AWKWARD = 'it\'s "my" f\u00fcnf \u8133 $HOME ' + "x" * 170
# A Python that is not there any more when the worker is started with it, except for what the script says.
SCRIPT = '#!/bin/sh\ncase "$1" in -m) {instead};; esac\nexec "{python}" "$@"\n'


def a_python(folder: Path, instead: str) -> Path:
    """A program that is this Python, but does something else instead of the worker."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python3"
    path.write_text(SCRIPT.format(instead=instead, python=sys.executable), encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def use_settings(the_module: Module) -> Iterator[Callable[..., None]]:
    """Sets settings of the module, whose worker starts anew; afterwards they are as before."""
    from MomentumSegLib.settings import load_settings, save_settings
    from MomentumSegLib.worker_session import shared_client, stop_shared_client

    before = load_settings()

    def use(**changes: Any) -> None:
        save_settings(replace(before, **changes))
        stop_shared_client()
        shared_client()

    yield use
    use()


def is_one_sentence(text: str) -> bool:
    """Whether a text can be read by a user: one sentence or two, no traceback, no name of a class."""
    text = re.sub(r" \(The volume is being prepared: \d+ %\)$", "", text)
    text = re.sub(r"(?<=Its last words were: ).+", "quoted.", text)
    return text.endswith(".") and "Traceback" not in text and "\n" not in text and not re.search(r"\w+Error\b", text)


def assert_nothing_happened(module: Module, before: np.ndarray) -> None:
    assert np.array_equal(module.voxels(), before)
    assert module.previews() == []
    assert module.ui.applyButton.text == "Apply"
    assert module.ui.applyButton.enabled


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ("echo 'cannot map torch: no memory' >&2; exit 1", "no memory"),
        ("printf 'HTTP/1.1 200 OK -- this is no worker at all, whatever it is'; sleep 60", "worker"),
    ],
    ids=["dies at once", "answers rubbish"],
)
def test_worker_that_is_none(a_painted_module, use_settings, tmp_path, instead, words):
    before = a_painted_module.voxels()
    use_settings(python=str(a_python(tmp_path, instead)))
    a_painted_module.rest()
    a_painted_module.messages.clear()
    a_painted_module.apply()
    assert words in a_painted_module.status
    assert is_one_sentence(a_painted_module.status)
    assert a_painted_module.messages == [a_painted_module.status]
    assert_nothing_happened(a_painted_module, before)
    use_settings()
    a_painted_module.apply()
    assert a_painted_module.status.startswith("Done in")


def test_python_of_the_worker_is_gone(a_painted_module, use_settings, tmp_path):
    before = a_painted_module.voxels()
    program = a_python(tmp_path, "exit 1")
    use_settings(python=str(program))
    a_painted_module.rest()
    program.write_text("#!/nowhere/interpreter\n")
    a_painted_module.messages.clear()
    a_painted_module.apply()
    assert "cannot be run" in a_painted_module.status
    assert is_one_sentence(a_painted_module.status)
    assert_nothing_happened(a_painted_module, before)


def test_paths_that_other_programs_stumble_over(a_painted_module, use_settings, tmp_path):
    folder = tmp_path / AWKWARD
    assert len(str(folder / "python3")) > 230
    use_settings(python=str(a_python(folder, ":")), data_folder=str(folder / "Modelle \u8133"))
    a_painted_module.apply()
    assert a_painted_module.status.startswith("Done in")
    assert a_painted_module.messages == []


def test_model_file_that_is_missing_or_broken(a_painted_module, tmp_path):
    before = a_painted_module.voxels()
    parameters = a_painted_module.panel._parameters
    missing, broken = tmp_path / "missing.safetensors", tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{broken json...}")
    for path in (missing, broken):
        a_painted_module.messages.clear()
        ask_for_model(a_painted_module, str(path))
        assert path.name in a_painted_module.status
        assert is_one_sentence(a_painted_module.status)
        assert a_painted_module.messages == [a_painted_module.status]
        assert np.array_equal(a_painted_module.voxels(), before)
    assert parameters.model == "lmsnet-general"


def ask_for_model(module: Module, reference: str) -> None:
    """Run with a model that the list does not have, as a script may."""
    request = replace(module.panel._request(), model=reference)
    module.panel.controller.apply(request)
    module.until(lambda: module.panel.controller.phase.value == "idle")
    settle()


def test_what_is_drawn_outside_the_volume(the_module):
    import slicer

    the_module.choose(add_volume(a_body(), IJK_TO_RAS, "scan"))
    far = IJK_TO_RAS.copy()
    far[:3, 3] += 4000
    other = add_volume(a_body(), far, "elsewhere")
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    drawn[MIDDLE, 20:40, 20:40] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, the_module.segmentation, the_module.segment_id(), other)
    the_module.rest()
    assert not the_module.ui.applyButton.enabled
    assert "lies outside the volume" in the_module.status
    assert is_one_sentence(the_module.status)


def test_segmentation_with_another_geometry(the_module):
    """A segmentation that was made on a finer, turned grid: its slices are taken where they are in the patient."""
    import slicer

    volume = add_volume(a_body(), IJK_TO_RAS, "scan")
    turned = np.array([[0, -0.75, 0, 60], [-0.75, 0, 0, 60], [0, 0, 4.0, -60], [0, 0, 0, 1]])
    finer = add_volume(np.zeros((SHAPE[0], 160, 160), dtype=np.int16), turned, "finer grid")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "of another program")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(finer)
    segment_id = node.GetSegmentation().AddEmptySegment("organ", "organ")
    drawn = np.zeros((SHAPE[0], 160, 160), dtype=np.uint8)
    drawn[MIDDLE, 50:94, 52:100] = 1  # rows run along i of the scan, columns along j
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segment_id, finer)
    slicer.mrmlScene.RemoveNode(finer)
    the_module.choose(volume)
    the_module.ui.outputSegmentationSelector.setCurrentNode(node)
    the_module.rest()
    assert the_module.ui.supportsTable.rowCount == 1
    the_module.apply()
    assert the_module.status.startswith("Done in")
    found = the_module.voxels()
    organ = a_body() > 95
    assert np.count_nonzero(found & organ) > 0.8 * found.sum()
    assert found.any(axis=(1, 2)).sum() > 5


def test_nodes_of_the_module_that_the_user_deletes(a_painted_module):
    """Overlay, hidden drawings, preview, table and editor node may vanish at any time."""
    import slicer

    a_painted_module.panel._parameters.showUncertainty = True
    a_painted_module.apply()
    found = a_painted_module.voxels()
    a_painted_module.start()
    kept = {a_painted_module.volume.GetID(), a_painted_module.segmentation.GetID()}
    classes = ("ScalarVolume", "Segmentation", "Table", "SegmentEditor", "ColorTable")
    for name in classes:
        for node in slicer.util.getNodesByClass(f"vtkMRML{name}Node"):
            if node.GetID() not in kept:
                slicer.mrmlScene.RemoveNode(node)
    a_painted_module.until(lambda: a_painted_module.panel.controller.phase.value == "idle")
    a_painted_module.rest()
    assert a_painted_module.messages == []
    assert a_painted_module.voxels().sum() == pytest.approx(found.sum(), rel=0.1)
    a_painted_module.panel.exit()
    a_painted_module.panel.enter()
    a_painted_module.apply()
    assert a_painted_module.status.startswith("Done in")


def test_output_segmentation_deleted_while_it_runs(a_painted_module):
    import slicer

    a_painted_module.start()
    slicer.mrmlScene.RemoveNode(a_painted_module.segmentation)
    a_painted_module.until(lambda: a_painted_module.panel.controller.phase.value == "idle")
    assert a_painted_module.status == "The output segmentation was deleted, so the run was cancelled."
    a_painted_module.rest()
    assert a_painted_module.previews() == []
    assert a_painted_module.segmentation is not None  # a new one, to draw in
    assert a_painted_module.messages == []


def test_previews_of_a_crashed_session_are_removed(the_module):
    import slicer

    left = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "scan segmentation preview")
    left.SetAttribute("MomentumSeg.Preview", "1")
    scene = slicer.mrmlScene
    scene.InvokeEvent(scene.EndImportEvent)
    the_module.rest()
    assert the_module.previews() == []
