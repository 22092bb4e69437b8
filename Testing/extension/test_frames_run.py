"""All frames of a volume sequence from the slices drawn on one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import slicer
from a_scene import add_volume
from test_automatic_run import Automatic, organs
from test_run_controller import IJK_TO_RAS, SHAPE, Setting, a_result

from MomentumSegLib.phase import Phase
from MomentumSegLib.segment_voxels import read_segment
from MomentumSegLib.sequences import volume_sequence
from MomentumSegLib.volume_data import read_volume_geometry

FRAMES = 3


@pytest.fixture
def a_beating_heart() -> Iterator[Setting]:
    """A sequence of three frames; the volume of the setting shows the first; one slice is drawn on it."""
    setting = Setting()
    make_a_sequence(setting)
    setting.draw("liver", 4, slice(2, 6), slice(3, 8))
    yield setting
    setting.close()


def make_a_sequence(setting: Setting) -> None:
    scene = setting.scene
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    setting._logics.append(logic)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "heart")
    for frame in range(FRAMES):
        volume = add_volume(scene, np.full(SHAPE, 10 * frame + 1, np.int16), IJK_TO_RAS, "frame")
        sequence.SetDataNodeAtValue(volume, str(frame))
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(setting.volume, sequence, False)
    browser.SetSelectedItemNumber(0)
    logic.UpdateProxyNodesFromSequences(browser)
    setting.browser, setting.sequences = browser, logic


def show(setting: Setting, frame: int) -> None:
    setting.browser.SetSelectedItemNumber(frame)
    setting.sequences.UpdateProxyNodesFromSequences(setting.browser)


def run_all_frames(setting: Setting) -> list:
    """Answer each frame with the result moved by one slice; returns the worker's requests."""
    setting.apply(all_frames=True)
    for frame in range(FRAMES):
        setting.answer(setting.client.last("segment"), np.roll(a_result(), frame, axis=0))
    return setting.client.all("segment")


def test_each_frame_gets_its_own_result(a_beating_heart):
    jobs = run_all_frames(a_beating_heart)
    volume_id = a_beating_heart.volume.GetID()
    assert [job.parameters["volume"] for job in jobs] == [volume_id, f"{volume_id}#1", f"{volume_id}#2"]
    assert all({s["volume"] for s in job.parameters["supports"]} == {volume_id} for job in jobs)
    assert a_beating_heart.controller.phase is Phase.IDLE
    assert a_beating_heart.view.failures == []

    assert a_beating_heart.voxels("liver")[4].sum() == 20  # as drawn
    sequence = volume_sequence(a_beating_heart.volume)
    for frame in (1, 2):
        node = sequence.segmentation_of(a_beating_heart.segmentation, frame)
        found = read_segment(node, "liver", read_volume_geometry(a_beating_heart.volume)).window((0, 0, 0), SHAPE)
        assert np.array_equal(found, np.roll(a_result(), frame, axis=0))


def test_frames_are_sent_and_forgotten(a_beating_heart):
    run_all_frames(a_beating_heart)
    sent = {job.parameters["volume"]: job.arrays["voxels"].max() for job in a_beating_heart.client.all("set_volume")}
    volume_id = a_beating_heart.volume.GetID()
    assert sent == {volume_id: 1, f"{volume_id}#1": 11, f"{volume_id}#2": 21}
    forgotten = [job.parameters["volume"] for job in a_beating_heart.client.all("forget_volume")]
    assert forgotten == [f"{volume_id}#1", f"{volume_id}#2"]


def test_a_frames_result_does_not_count_as_drawn(a_beating_heart):
    run_all_frames(a_beating_heart)
    show(a_beating_heart, 1)
    assert a_beating_heart.controller.drawn(a_beating_heart.request).supports == ()
    show(a_beating_heart, 0)
    drawn = a_beating_heart.controller.drawn(a_beating_heart.request).supports
    assert [support.slice_index for support in drawn] == [4]


def test_cancel_between_frames_changes_nothing(a_beating_heart):
    before = a_beating_heart.voxels("liver").copy()
    job = a_beating_heart.apply(all_frames=True)
    a_beating_heart.answer(job, a_result())
    a_beating_heart.controller.cancel()
    a_beating_heart.client.last("segment").fail("cancelled", "Cancelled; nothing was changed.")
    assert a_beating_heart.controller.phase is Phase.IDLE
    assert np.array_equal(a_beating_heart.voxels("liver"), before)
    assert a_beating_heart.browser.GetSequenceNode(a_beating_heart.segmentation) is None


def test_another_frame_shown_meanwhile_is_said(a_beating_heart):
    job = a_beating_heart.apply(all_frames=True)
    a_beating_heart.answer(job, a_result())
    a_beating_heart.answer(a_beating_heart.client.last("segment"), a_result())
    show(a_beating_heart, 2)
    a_beating_heart.answer(a_beating_heart.client.last("segment"), a_result())
    assert "go back to frame 0" in a_beating_heart.view.failures[0][1]


def test_a_trained_model_finds_in_each_frame_what_is_there():
    setting = Automatic()
    make_a_sequence(setting)
    setting.apply(all_frames=True)
    found = [organs(1), organs(1, 2), organs()]  # the spleen is seen in the second frame only
    for labels in found:
        setting.answer(setting.client.last("segment_automatic"), labels)
    assert setting.view.failures == []
    assert sorted(setting.segments()) == ["Kidney", "Liver", "Spleen"]
    assert "Not found: left kidney." in setting.view.sentences[-1]
    sequence, volume = volume_sequence(setting.volume), read_volume_geometry(setting.volume)
    for frame, labels in enumerate(found):
        show(setting, frame)
        node = sequence.segmentation_of(setting.segmentation, frame)
        for name, label in (("Liver", 1), ("Spleen", 2)):
            voxels = read_segment(node, setting.segments(node)[name], volume).window((0, 0, 0), SHAPE)
            assert np.array_equal(voxels, labels == label), (frame, name)
    assert setting.controller.drawn(setting.request).supports == ()
    setting.close()
