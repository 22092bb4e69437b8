"""Volumes over time: frames read without showing them, and a segmentation for each frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from bridge import SHAPE, Desk, a_desk_of, ball, disk, rotation, storage_matrix
from vtkmodules.util.numpy_support import vtk_to_numpy

from MomentumSegLib.drawn_slices import DrawnSlices
from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import Crop
from MomentumSegLib.segmentation_output import Result, Written, write_result
from MomentumSegLib.sequences import VolumeSequence, volume_sequence

FRAMES = 4


@pytest.fixture(params=[None, rotation(25)], ids=["plain", "transformed"])
def a_desk(request) -> Desk:
    """A volume whose frame f holds f everywhere; frame 1 is shown."""
    desk = a_desk_of(parent=request.param)
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(desk.scene)
    desk.logics.append(logic)
    sequence = desk.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "frames")
    sequence.SetIndexName("time")
    for frame in range(FRAMES):
        vtk_to_numpy(desk.volume_node.GetImageData().GetPointData().GetScalars())[:] = frame
        sequence.SetDataNodeAtValue(desk.volume_node, str(frame * 40.5))
    browser = desk.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(desk.volume_node, sequence, False)
    browser.SetSelectedItemNumber(1)
    return desk


def _frames(desk: Desk) -> VolumeSequence:
    frames = volume_sequence(desk.volume_node)
    assert frames is not None
    return frames


def test_an_ordinary_volume_has_no_frames(a_desk) -> None:
    other = a_desk.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert volume_sequence(other) is None


def test_frames_are_read_in_the_world_without_being_shown(a_desk) -> None:
    frames = _frames(a_desk)
    assert (frames.frame_count, frames.current_frame) == (FRAMES, 1)
    ids = set()
    for frame in range(FRAMES):
        volume = frames.read_frame(frame)
        assert (volume.voxels == frame).all()
        assert np.allclose(volume.ijk_to_ras, a_desk.volume.ijk_to_ras)
        ids.add(volume.node_id)
    assert len(ids) == FRAMES
    assert frames.current_frame == 1
    with pytest.raises(UserError, match="Frame 4"):
        frames.read_frame(FRAMES)


def test_showing_a_frame_changes_the_volume_node(a_desk) -> None:
    frames = _frames(a_desk)
    frames.show_frame(3)
    assert frames.current_frame == 3
    assert a_desk.volume_node.GetImageData().GetScalarRange() == (3.0, 3.0)


def test_every_frame_gets_its_own_segmentation(a_desk) -> None:
    organ = a_desk.add("organ")
    a_desk.draw(organ, ball())
    frames = _frames(a_desk)
    for frame in range(FRAMES):
        _write_frame(a_desk, frame, {organ: ball(radius=1 + frame / 2)})
    assert frames.current_frame == 1
    for frame in (0, 3, 1, 2, 1):
        frames.show_frame(frame)
        assert np.array_equal(a_desk.content(organ), ball(radius=1 + frame / 2)), frame
    assert a_desk.segmentation.GetName() == "scan segmentation"
    sequence = frames.segmentation_sequence(a_desk.segmentation)
    assert sequence is frames.segmentation_sequence(a_desk.segmentation)
    assert [float(sequence.GetNthIndexValue(frame)) for frame in range(FRAMES)] == [0, 40.5, 81, 121.5]


def test_what_was_found_in_each_frame_is_known_after_saving_too(a_desk) -> None:
    organ = a_desk.add("organ")
    a_desk.draw(organ, disk(SHAPE[1:], (5, 5), 2), 0, 4)
    frames, tracker = _frames(a_desk), DrawnSlices(a_desk.segmentation)
    for frame in (1, 0, 2, 3):
        untouched = tracker.collect(a_desk.volume, "axial").untouched if frame == 1 else {}
        written = _write_frame(a_desk, frame, {organ: ball(radius=2 + frame / 2)}, untouched)
        before = written.before if frame == 1 else {organ: Crop.nothing()}
        tracker.remember_result(a_desk.volume, before, written.after, "axial")
    for knowing in (tracker, DrawnSlices(a_desk.segmentation)):
        for frame in range(FRAMES):
            frames.show_frame(frame)
            supports = knowing.collect(a_desk.volume, "axial").supports
            assert [support.slice_index for support in supports] == ([4] if frame == 1 else []), frame


def _write_frame(desk: Desk, frame: int, masks: dict, untouched: dict | None = None) -> Written:
    """Write (K, J, I) masks into the segmentation of a frame."""
    node = _frames(desk).segmentation_of(desk.segmentation, frame)
    volume = desk.volume
    if node is not desk.segmentation:
        volume = replace(volume, ijk_to_ras=storage_matrix(desk.segmentation, volume))
    ((segment_id, mask),) = masks.items()
    return write_result(node, volume, Result(mask, (0, 0, 0), {1: segment_id}, 0, untouched=untouched or {}))


def test_a_frame_that_is_corrected_keeps_the_correction(a_desk) -> None:
    organ = a_desk.add("organ")
    frames = _frames(a_desk)
    frames.segmentation_sequence(a_desk.segmentation)
    a_desk.draw(organ, ball())
    frames.show_frame(2)
    assert not a_desk.content(organ).any()
    frames.show_frame(1)
    assert np.array_equal(a_desk.content(organ), ball())


def test_a_deleted_sequence_is_said(a_desk) -> None:
    frames = _frames(a_desk)
    a_desk.scene.RemoveNode(a_desk.scene.GetNodeByID(frames.sequence_node_id))
    with pytest.raises(UserError, match="was deleted"):
        frames.read_frame(0)
    assert a_desk.volume.shape == SHAPE
