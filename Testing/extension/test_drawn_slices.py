"""Which slices count as drawn: before and after a result, after Undo and Redo, after saving and loading the scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from a_scene import add_volume, new_scene
from bridge import SHAPE, Desk, a_desk_of, add_linear_transform, ball, disk, right_handed, rotation

from MomentumSegLib.drawn_slices import DrawnSlices, all_drawn, evenly_chosen
from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import oriented_image
from MomentumSegLib.segmentation_output import Result, write_result
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.volume_data import read_volume_node

PLANE = {0: "axial", 1: "coronal", 2: "sagittal"}


def _plane(desk: Desk, axis: int = 0) -> str:
    """The plane whose slices follow an array axis."""
    return next(plane for plane in PLANE.values() if SliceGeometry.of(desk.volume, plane).axis == axis)


def _states(tracker: DrawnSlices, desk: Desk, axis: int = 0) -> dict[tuple[int, str], str]:
    """State by (slice, segment name)."""
    rows = tracker.collect(desk.volume, _plane(desk, axis)).rows
    return {(row.slice_index, name): row.state for row in rows for name in row.segment_names}


def _apply(desk: Desk, tracker: DrawnSlices, masks: dict[str, np.ndarray], axis: int = 0) -> None:
    """Write (K, J, I) masks as a result, as the module does it."""
    labelmap = np.zeros(desk.volume.shape, np.uint8)
    for label, mask in enumerate(masks.values(), start=1):
        labelmap[mask > 0] = label
    collected = tracker.collect(desk.volume, _plane(desk, axis))
    result = Result(labelmap, (0, 0, 0), dict(enumerate(masks, start=1)), axis, untouched=collected.untouched)
    written = write_result(
        desk.segmentation, desk.volume, result, editor_node=desk.editor_node, save_state=desk.editor.SaveStateForUndo
    )
    tracker.remember_result(desk.volume, written.before, written.after, _plane(desk, axis))


@pytest.fixture
def a_desk() -> Desk:
    return a_desk_of()


@pytest.fixture
def a_result(a_desk: Desk) -> tuple[Desk, DrawnSlices, str]:
    """A ball that was drawn on slice 4 and found on slices 1 to 7."""
    organ = a_desk.add("organ")
    a_desk.draw(organ, disk(SHAPE[1:], (5, 5), 2.5), axis=0, index=4)
    tracker = DrawnSlices(a_desk.segmentation)
    _apply(a_desk, tracker, {organ: ball()})
    return a_desk, tracker, organ


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_slice_with_voxels_is_drawn_before_the_first_result(a_desk, axis) -> None:
    shape = tuple(np.delete(SHAPE, axis))
    organ, vessel = a_desk.add("organ"), a_desk.add("vessel")
    a_desk.add("nothing")
    a_desk.draw(organ, disk(shape, (4, 4), 2), axis, 2)
    a_desk.draw(organ, disk(shape, (4, 4), 3), axis, 6)
    a_desk.draw(vessel, disk(shape, (1, 7), 1), axis, 6)
    collected = DrawnSlices(a_desk.segmentation).collect(a_desk.volume, _plane(a_desk, axis))
    drawn = {(support.segment_id, support.slice_index): support.mask for support in collected.supports}
    assert set(drawn) == {(organ, 2), (organ, 6), (vessel, 6)}
    assert np.array_equal(drawn[organ, 6], disk(shape, (4, 4), 3))
    assert np.array_equal(drawn[vessel, 6], disk(shape, (1, 7), 1))
    assert {support.volume_node_id for support in collected.supports} == {a_desk.volume_node.GetID()}
    assert [(row.slice_index, row.segment_names, row.state) for row in collected.rows] == [
        (2, ("organ",), "drawn"),
        (6, ("organ", "vessel"), "drawn"),
    ]
    assert collected.untouched[organ] == {2, 6}


def test_masks_have_the_voxels_of_the_slice_and_type_uint8(a_desk) -> None:
    organ = a_desk.add()
    mask = (np.random.default_rng(3).random(SHAPE[1:]) < 0.5).astype(np.uint8)
    a_desk.draw(organ, mask, axis=0, index=8)
    (support,) = DrawnSlices(a_desk.segmentation).collect(a_desk.volume, _plane(a_desk)).supports
    assert support.mask.dtype == np.uint8
    assert np.array_equal(support.mask, mask)


def test_only_the_asked_segments_count(a_desk) -> None:
    organ, vessel = a_desk.add(), a_desk.add()
    a_desk.draw(organ, disk(SHAPE[1:], (4, 4), 2), axis=0, index=2)
    a_desk.draw(vessel, disk(SHAPE[1:], (1, 7), 1), axis=0, index=6)
    collected = DrawnSlices(a_desk.segmentation).collect(a_desk.volume, _plane(a_desk), [vessel, "no such segment"])
    assert [support.segment_id for support in collected.supports] == [vessel]


def test_found_slices_are_not_drawn_ones(a_result) -> None:
    desk, tracker, organ = a_result
    assert np.array_equal(desk.content(organ).any(axis=(1, 2)).nonzero()[0], np.arange(1, 8))
    assert _states(tracker, desk) == {(4, "organ"): "drawn"}


def test_a_slice_that_is_changed_after_a_result_is_a_correction(a_result) -> None:
    desk, tracker, organ = a_result
    corrected = disk(SHAPE[1:], (4, 4), 3)
    desk.draw(organ, corrected, axis=0, index=6)
    assert _states(tracker, desk) == {(4, "organ"): "drawn", (6, "organ"): "corrected"}
    supports = tracker.collect(desk.volume, _plane(desk)).supports
    assert np.array_equal(supports[1].mask, corrected)
    _apply(desk, tracker, {organ: ball(radius=3.5)})
    assert _states(tracker, desk) == {(4, "organ"): "drawn", (6, "organ"): "corrected"}
    assert np.array_equal(desk.content(organ)[6], corrected)


def test_a_drawn_slice_may_be_drawn_again(a_result) -> None:
    desk, tracker, organ = a_result
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 4), axis=0, index=4)
    assert _states(tracker, desk) == {(4, "organ"): "corrected"}
    (support,) = tracker.collect(desk.volume, _plane(desk)).supports
    assert np.array_equal(support.mask, disk(SHAPE[1:], (5, 5), 4))


def test_an_emptied_slice_is_kept_empty_until_something_is_drawn_on_it(a_result) -> None:
    desk, tracker, organ = a_result
    desk.draw(organ, np.zeros(SHAPE[1:], np.uint8), axis=0, index=7)
    assert _states(tracker, desk) == {(4, "organ"): "drawn", (7, "organ"): "kept empty"}
    _apply(desk, tracker, {organ: ball()})
    assert not desk.content(organ)[7].any()
    assert _states(tracker, desk) == {(4, "organ"): "drawn", (7, "organ"): "kept empty"}
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=7)
    assert _states(tracker, desk) == {(4, "organ"): "drawn", (7, "organ"): "corrected"}


def test_an_emptied_drawn_slice_is_kept_empty_too(a_result) -> None:
    desk, tracker, organ = a_result
    desk.draw(organ, np.zeros(SHAPE[1:], np.uint8), axis=0, index=4)
    assert _states(tracker, desk) == {(4, "organ"): "kept empty"}


def test_undo_of_a_result_finds_nothing_new_and_redo_neither(a_result) -> None:
    desk, tracker, organ = a_result
    desk.editor.Undo()
    assert desk.content(organ).any(axis=(1, 2)).sum() == 1
    assert _states(tracker, desk) == {(4, "organ"): "drawn"}
    desk.editor.Redo()
    assert np.array_equal(np.flatnonzero(desk.content(organ).any(axis=(1, 2))), np.arange(1, 8))
    assert _states(tracker, desk) == {(4, "organ"): "drawn"}


def test_undo_and_then_another_stroke_is_one_more_drawn_slice(a_result) -> None:
    desk, tracker, organ = a_result
    desk.editor.Undo()
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=2)
    assert _states(tracker, desk) == {(2, "organ"): "drawn", (4, "organ"): "drawn"}


def test_undo_of_the_first_stroke_too_leaves_nothing_drawn(a_result) -> None:
    desk, tracker, organ = a_result
    desk.editor.Undo()
    desk.editor.Undo()
    assert not desk.content(organ).any()
    assert _states(tracker, desk) == {}
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=8)
    assert _states(tracker, desk) == {(8, "organ"): "drawn"}


def test_two_undos_after_a_correction_go_back_to_the_first_result(a_result) -> None:
    desk, tracker, organ = a_result
    desk.draw(organ, disk(SHAPE[1:], (4, 4), 3), axis=0, index=6)
    _apply(desk, tracker, {organ: ball(radius=3.5)})
    desk.editor.Undo()
    assert _states(tracker, desk) == {(4, "organ"): "drawn", (6, "organ"): "corrected"}
    desk.editor.Undo()
    assert np.array_equal(desk.content(organ)[6], ball()[6])
    assert _states(tracker, desk) == {(4, "organ"): "drawn"}
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=1)
    assert _states(tracker, desk) == {(1, "organ"): "corrected", (4, "organ"): "drawn"}


def test_erasing_most_slices_of_a_small_result_keeps_them_empty(a_result) -> None:
    desk, tracker, organ = a_result
    for index in (1, 2, 5, 6, 7):
        desk.draw(organ, np.zeros(SHAPE[1:], np.uint8), axis=0, index=index)
    expected = {(index, "organ"): "kept empty" for index in (1, 2, 5, 6, 7)}
    assert _states(tracker, desk) == {**expected, (4, "organ"): "drawn"}


def test_a_cleared_segment_begins_anew(a_result) -> None:
    desk, tracker, organ = a_result
    desk.draw(organ, np.zeros(SHAPE, np.uint8))
    assert _states(tracker, desk) == {}
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=6)
    assert _states(tracker, desk) == {(6, "organ"): "drawn"}


def test_a_new_segment_with_the_id_of_a_deleted_one_begins_anew(a_result) -> None:
    desk, tracker, organ = a_result
    desk.segmentation.GetSegmentation().RemoveSegment(organ)
    assert _states(tracker, desk) == {}
    desk.segmentation.GetSegmentation().AddEmptySegment(organ, "organ")
    stroke = ball()
    stroke[5:] = 0
    desk.draw(organ, stroke)
    assert _states(tracker, desk) == {(index, "organ"): "drawn" for index in range(1, 5)}


def test_renaming_and_reordering_segments_changes_nothing(a_result) -> None:
    desk, tracker, organ = a_result
    desk.add("first")
    desk.segmentation.GetSegmentation().SetSegmentIndex(organ, 1)
    desk.segmentation.GetSegmentation().GetSegment(organ).SetName("liver")
    desk.segmentation.SetName("renamed")
    assert _states(tracker, desk) == {(4, "liver"): "drawn"}


def test_removing_a_drawn_slice_lets_it_count_no_longer_but_keeps_its_voxels(a_result) -> None:
    desk, tracker, organ = a_result
    before = desk.content(organ)
    desk.draw(organ, np.zeros(SHAPE[1:], np.uint8), axis=0, index=7)
    tracker.remove(desk.volume, _plane(desk), 4)
    tracker.remove(desk.volume, _plane(desk), 7)
    assert _states(tracker, desk) == {}
    assert np.array_equal(desk.content(organ)[:7], before[:7])
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=4)
    assert _states(tracker, desk) == {(4, "organ"): "corrected"}


def test_removing_before_the_first_result(a_desk) -> None:
    organ = a_desk.add()
    a_desk.draw(organ, disk(SHAPE[1:], (5, 5), 2), axis=0, index=4)
    a_desk.draw(organ, disk(SHAPE[1:], (5, 5), 2), axis=0, index=5)
    tracker = DrawnSlices(a_desk.segmentation)
    tracker.remove(a_desk.volume, _plane(a_desk), 4)
    collected = tracker.collect(a_desk.volume, _plane(a_desk))
    assert [support.slice_index for support in collected.supports] == [5]
    assert collected.untouched == {organ: {5}}


def test_a_correction_in_another_plane_counts_in_that_plane(a_result) -> None:
    desk, tracker, organ = a_result
    assert _states(tracker, desk, axis=2) == {}
    correction = disk((SHAPE[0], SHAPE[1]), (4, 5), 1)
    desk.draw(organ, correction, axis=2, index=9)
    assert _states(tracker, desk, axis=2) == {(9, "organ"): "corrected"}
    _apply(desk, tracker, {organ: ball()}, axis=2)
    assert np.array_equal(desk.content(organ)[:, :, 9], correction)
    assert _states(tracker, desk, axis=2) == {(9, "organ"): "corrected"}


def test_several_segments_are_told_apart(a_desk) -> None:
    organ, vessel = a_desk.add("organ"), a_desk.add("vessel")
    a_desk.draw(organ, disk(SHAPE[1:], (3, 3), 2), axis=0, index=4)
    a_desk.draw(vessel, disk(SHAPE[1:], (8, 8), 1), axis=0, index=4)
    tracker = DrawnSlices(a_desk.segmentation)
    _apply(a_desk, tracker, {organ: ball(centre=(4, 3, 3), radius=2), vessel: ball(centre=(4, 8, 8), radius=1)})
    a_desk.draw(vessel, disk(SHAPE[1:], (8, 8), 2), axis=0, index=6)
    assert _states(tracker, a_desk) == {(4, "organ"): "drawn", (4, "vessel"): "drawn", (6, "vessel"): "corrected"}


def test_moving_volume_and_segmentation_together_changes_nothing(a_result) -> None:
    desk, tracker, _ = a_result
    moved = add_linear_transform(desk.scene, rotation(33))
    desk.volume_node.SetAndObserveTransformNodeID(moved.GetID())
    desk.segmentation.SetAndObserveTransformNodeID(moved.GetID())
    desk.volume = read_volume_node(desk.volume_node)
    assert _states(tracker, desk) == {(4, "organ"): "drawn"}


def _with_volume(desk: Desk, shape: tuple[int, int, int], to_first: np.ndarray) -> None:
    """Choose another volume, whose (i, j, k) lie at ``to_first`` of the present one's."""
    node = add_volume(desk.scene, np.zeros(shape, np.int16), desk.volume.ijk_to_ras @ to_first, "other")
    desk.volume = read_volume_node(node)


def test_a_volume_with_the_same_slices_counted_backwards_knows_what_was_drawn(a_result) -> None:
    desk, tracker, organ = a_result
    desk.draw(organ, disk(SHAPE[1:], (4, 4), 3), axis=0, index=6)
    desk.draw(organ, np.zeros(SHAPE[1:], np.uint8), axis=0, index=7)
    backwards = np.diag([-1.0, 1.0, -1.0, 1.0])
    backwards[:3, 3] = (SHAPE[2] - 1, 0, SHAPE[0] - 1)
    _with_volume(desk, SHAPE, backwards)
    expected = {(4, "organ"): "drawn", (2, "organ"): "corrected", (1, "organ"): "kept empty"}
    assert _states(tracker, desk) == expected
    masks = {s.slice_index: s.mask for s in tracker.collect(desk.volume, _plane(desk)).supports}
    assert np.array_equal(masks[2], disk(SHAPE[1:], (4, 4), 3)[:, ::-1])
    _apply(desk, tracker, {organ: ball()[::-1, :, ::-1]})
    assert _states(tracker, desk) == expected


def test_a_volume_with_other_slices_takes_the_result_as_it_is_and_loses_nothing_outside_it(a_result) -> None:
    desk, tracker, organ = a_result
    first, known = desk.volume, desk.content(organ)
    thicker = np.diag([1.0, 1.0, 1.5, 1.0])
    thicker[2, 3] = 0.3
    _with_volume(desk, (3, 10, 11), thicker)
    assert _states(tracker, desk) == {}
    before = desk.content(organ)
    before[1, 5, 1] = 1
    _apply(desk, tracker, {organ: before})
    desk.volume = first
    known[2, 5, 1] = 1
    assert np.array_equal(desk.content(organ), known)
    assert _states(tracker, desk) == {}


def test_a_result_for_a_part_of_the_volume_leaves_the_rest_and_what_was_drawn(a_result) -> None:
    desk, tracker, organ = a_result
    first = desk.volume
    _with_volume(desk, (5, 10, 11), np.eye(4))
    assert _states(tracker, desk) == {(4, "organ"): "drawn"}
    _apply(desk, tracker, {organ: ball(radius=2)[:5]})
    desk.volume = first
    assert np.array_equal(desk.content(organ)[5:], ball()[5:])
    assert np.array_equal(desk.content(organ)[:4], ball(radius=2)[:4])
    assert _states(tracker, desk) == {(4, "organ"): "drawn"}
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=3)
    assert _states(tracker, desk) == {(3, "organ"): "corrected", (4, "organ"): "drawn"}


def test_a_deleted_segmentation_is_said(a_result) -> None:
    desk, tracker, _ = a_result
    desk.scene.RemoveNode(desk.segmentation)
    assert tracker.segmentation_node is None
    with pytest.raises(UserError, match="was deleted"):
        tracker.collect(desk.volume, "axial")


def test_what_lies_outside_the_volume_is_refused_or_warned_about(a_desk) -> None:
    organ, far = a_desk.add("organ"), a_desk.add("far")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = oriented_image(ball(), (300, 300, 300), a_desk.volume.ijk_to_ras)
    logic.SetBinaryLabelmapToSegment(image, a_desk.segmentation, far, logic.MODE_REPLACE)
    tracker = DrawnSlices(a_desk.segmentation)
    with pytest.raises(UserError, match='"far" of .* lies outside the volume "scan"'):
        tracker.collect(a_desk.volume, "axial")
    a_desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=2)
    collected = tracker.collect(a_desk.volume, _plane(a_desk))
    assert len(collected.supports) == 1
    assert "lies outside the volume" in collected.warnings[0]


@pytest.mark.parametrize("left_handed", [False, True])
@pytest.mark.parametrize("suffix", [".mrml", ".mrb"])
def test_what_was_drawn_survives_saving_and_loading_the_scene(tmp_path: Path, suffix, left_handed) -> None:
    desk = a_desk_of(matrix=None if left_handed else right_handed())
    organ = desk.add("organ")
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 2.5), axis=0, index=4)
    tracker = DrawnSlices(desk.segmentation)
    _apply(desk, tracker, {organ: ball()})
    desk.draw(organ, disk(SHAPE[1:], (4, 4), 3), axis=0, index=6)
    desk.draw(organ, np.zeros(SHAPE[1:], np.uint8), axis=0, index=7)
    _apply(desk, tracker, {organ: ball(radius=3.5)})
    desk.draw(organ, disk(SHAPE[1:], (5, 5), 1), axis=0, index=2)  # not applied yet
    expected = {
        (2, "organ"): "corrected",
        (4, "organ"): "drawn",
        (6, "organ"): "corrected",
        (7, "organ"): "kept empty",
    }
    assert _states(tracker, desk) == expected
    loaded = _saved_and_loaded(desk, tmp_path, suffix)
    # Files hold right-handed volumes: the slices of a left-handed one are counted from the other end afterwards.
    now = (lambda s: SHAPE[0] - 1 - s) if left_handed else (lambda s: s)
    again = DrawnSlices(loaded.segmentation)
    assert _states(again, loaded) == {(now(s), name): state for (s, name), state in expected.items()}
    masks = {s.slice_index: s.mask for s in again.collect(loaded.volume, _plane(loaded)).supports}
    assert np.array_equal(masks[now(6)], disk(SHAPE[1:], (4, 4), 3))
    _apply(loaded, again, {organ: ball(radius=3.5)})
    assert not loaded.content(organ)[now(7)].any()
    assert np.array_equal(loaded.content(organ)[now(6)], disk(SHAPE[1:], (4, 4), 3))


def _saved_and_loaded(desk: Desk, folder: Path, suffix: str) -> Desk:
    """The desk's nodes in a new scene, through files."""
    desk.scene.SetRootDirectory(str(folder))
    for node, name in ((desk.volume_node, "scan.nrrd"), (desk.segmentation, "scan.seg.nrrd")):
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(folder / name))
        assert node.GetStorageNode().WriteData(node)
    path = folder / f"scene{suffix}"
    if suffix == ".mrb":
        assert desk.scene.WriteToMRB(str(path))
    else:
        desk.scene.SetURL(str(path))
        assert desk.scene.Commit()
    scene, logics = new_scene()
    if suffix == ".mrb":
        logics += _with_cache(scene, folder)
        assert scene.ReadFromMRB(str(path), True)
    else:
        scene.SetURL(str(path))
        assert scene.Connect()
    volume_node = scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    editor_node = scene.GetFirstNodeByClass("vtkMRMLSegmentEditorNode")
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLScene(scene)
    segmentation = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    editor.SetSegmentEditorNode(editor_node)
    editor.SetSegmentationNode(segmentation)
    return Desk(scene, logics, volume_node, read_volume_node(volume_node), segmentation, editor_node, editor)


def _with_cache(scene: object, folder: Path) -> list:
    """Where a scene unpacks a bundle."""
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(folder / "cache"))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    return [cache, manager]


def test_a_damaged_memory_is_forgotten_and_a_newer_one_too(a_result, caplog) -> None:
    desk, _, _ = a_result
    memory = desk.segmentation.GetNodeReference("MomentumSegDrawnSlices")
    assert memory.GetHideFromEditors()
    for text in ("{", '{"version": 99, "grids": []}', '{"version": 1}', "[]"):
        memory.SetParameter("drawnSlices", text)
        assert len(_states(DrawnSlices(desk.segmentation), desk)) == 7
    assert "is forgotten" in caplog.text


def test_remembering_takes_kilobytes(a_result) -> None:
    desk, tracker, organ = a_result
    for radius in np.linspace(2, 3.9, 30):
        _apply(desk, tracker, {organ: ball(radius=float(radius))})
    text = desk.segmentation.GetNodeReference("MomentumSegDrawnSlices").GetParameter("drawnSlices")
    assert len(text) < 8000


def test_supports_of_another_segmentation(a_desk) -> None:
    organ = a_desk.add("organ")
    a_desk.draw(organ, ball())
    supports = all_drawn(a_desk.segmentation, a_desk.volume, _plane(a_desk))
    assert [support.slice_index for support in supports] == list(range(1, 8))
    assert all(np.array_equal(support.mask, ball()[support.slice_index]) for support in supports)
    assert [support.slice_index for support in evenly_chosen(supports, 3)] == [2, 4, 6]
    assert [support.slice_index for support in evenly_chosen(supports, 1)] == [4]
    assert len(evenly_chosen(supports, 50)) == 7
    empty = a_desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "blank")
    with pytest.raises(UserError, match='"blank" is empty'):
        all_drawn(empty, a_desk.volume, "axial")
