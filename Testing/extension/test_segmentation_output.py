"""Results in the output segmentation, voxel by voxel: what they change, what they leave, and Undo."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import slicer
from bridge import SHAPE, Desk, a_desk_of, add_linear_transform, ball, rotation

from MomentumSegLib.errors import UserError
from MomentumSegLib.segment_voxels import grid_of, oriented_image
from MomentumSegLib.segmentation_output import (
    Result,
    Written,
    create_output_segmentation,
    region_of,
    surface_is_stale,
    update_surface,
    write_result,
)
from MomentumSegLib.volume_data import VolumeGeometry


def _random(seed: int, density: float = 0.4) -> np.ndarray:
    return (np.random.default_rng(seed).random(SHAPE) < density).astype(np.uint8)


def _write(desk: Desk, masks: dict[str, np.ndarray], **options: object) -> Written:
    """Write (K, J, I) masks that do not overlap as a result, as a crop."""
    labelmap = np.zeros(desk.volume.shape, np.uint8)
    for label, mask in enumerate(masks.values(), start=1):
        labelmap[mask > 0] = label
    used = np.argwhere(labelmap)
    first, end = (used.min(0), used.max(0) + 1) if len(used) else (np.zeros(3, int), np.zeros(3, int))
    crop = labelmap[tuple(slice(a, b) for a, b in zip(first, end, strict=True))]
    segments = dict(enumerate(masks, start=1))
    result = Result(crop, tuple(first.tolist()), segments, options.pop("slice_axis", 0), **options)
    return write_result(
        desk.segmentation,
        desk.volume,
        result,
        editor_node=desk.editor_node,
        volume_node=desk.volume_node,
        save_state=desk.editor.SaveStateForUndo,
    )


@pytest.fixture
def a_desk() -> Desk:
    return a_desk_of()


def test_a_new_segmentation_has_the_volumes_geometry_transform_and_name() -> None:
    desk = a_desk_of(parent=rotation(25))
    node = desk.segmentation
    assert node.GetName() == "scan segmentation"
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is desk.volume_node
    assert node.GetParentTransformNode() is desk.volume_node.GetParentTransformNode()
    assert node.GetDisplayNode() is not None
    matrix, origin, shape = grid_of(node)
    assert (origin, shape) == ((0, 0, 0), SHAPE)
    again = create_output_segmentation(desk.scene, desk.volume_node)
    assert again.GetName() != node.GetName()


def test_a_result_replaces_what_the_segment_held(a_desk) -> None:
    organ = a_desk.add()
    a_desk.draw(organ, _random(1))
    written = _write(a_desk, {organ: _random(2)})
    assert np.array_equal(a_desk.content(organ), _random(2))
    assert written.changed == (organ,)
    assert np.array_equal(written.before[organ].window((0, 0, 0), SHAPE), _random(1))
    assert np.array_equal(written.after[organ].window((0, 0, 0), SHAPE), _random(2))


def test_an_empty_result_empties_the_segment_and_fills_again(a_desk) -> None:
    organ, other = a_desk.add(), a_desk.add()
    a_desk.draw(organ, ball())
    a_desk.draw(other, ball(centre=(4, 5, 9), radius=1))
    _write(a_desk, {organ: np.zeros(SHAPE, np.uint8)})
    assert not a_desk.content(organ).any()
    _write(a_desk, {organ: ball(radius=2)})
    assert np.array_equal(a_desk.content(organ), ball(radius=2))
    assert np.array_equal(a_desk.content(other), ball(centre=(4, 5, 9), radius=1))


def test_other_segments_keep_every_voxel_in_shared_and_in_own_layers(a_desk) -> None:
    ids = [a_desk.add(name) for name in "abcdef"]
    for seed, segment_id in enumerate(ids):
        a_desk.draw(segment_id, _random(seed, 0.2))
    assert a_desk.segmentation.GetSegmentation().GetNumberOfLayers() > 1
    labelmap = np.random.default_rng(9).integers(0, 4, SHAPE).astype(np.uint8)
    _write(a_desk, {ids[1]: (labelmap == 1), ids[3]: (labelmap == 2), ids[4]: (labelmap == 3)})
    for seed, segment_id in enumerate(ids):
        expected = {1: labelmap == 1, 3: labelmap == 2, 4: labelmap == 3}.get(seed, _random(seed, 0.2))
        assert np.array_equal(a_desk.content(segment_id), expected), seed


def test_one_undo_restores_all_segments_and_redo_brings_the_result_back(a_desk) -> None:
    ids = [a_desk.add(name) for name in "abc"]
    for seed, segment_id in enumerate(ids):
        a_desk.draw(segment_id, _random(seed, 0.2))
    labelmap = np.random.default_rng(9).integers(0, 3, SHAPE)
    _write(a_desk, {ids[0]: labelmap == 1, ids[1]: labelmap == 2})
    a_desk.editor.Undo()
    for seed, segment_id in enumerate(ids):
        assert np.array_equal(a_desk.content(segment_id), _random(seed, 0.2))
    a_desk.editor.Redo()
    expected = [labelmap == 1, labelmap == 2, _random(2, 0.2)]
    for segment_id, mask in zip(ids, expected, strict=True):
        assert np.array_equal(a_desk.content(segment_id), mask)


def test_a_result_that_changes_nothing_is_no_undo_step(a_desk) -> None:
    organ = a_desk.add()
    a_desk.draw(organ, ball())
    a_desk.editor.ClearUndoState()
    assert _write(a_desk, {organ: ball()}).changed == ()
    assert not a_desk.editor.CanUndo()


def test_segments_that_trade_voxels_stay_in_one_layer(a_desk) -> None:
    first, second, third = (a_desk.add(name) for name in "abc")
    labelmap = np.random.default_rng(4).integers(0, 4, SHAPE)
    for seed in range(6):
        labelmap = np.random.default_rng(seed).integers(0, 4, SHAPE)
        _write(a_desk, {first: labelmap == 1, second: labelmap == 2, third: labelmap == 3})
    assert a_desk.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    for label, segment_id in enumerate((first, second, third), start=1):
        assert np.array_equal(a_desk.content(segment_id), labelmap == label)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_untouched_slices_stay_as_they_are(a_desk, axis) -> None:
    organ = a_desk.add()
    a_desk.draw(organ, _random(1))
    _write(a_desk, {organ: _random(2)}, slice_axis=axis, untouched={organ: {0, 3, 8, 99}})
    expected = _random(2)
    for s in (0, 3, 8):
        np.moveaxis(expected, axis, 0)[s] = np.moveaxis(_random(1), axis, 0)[s]
    assert np.array_equal(a_desk.content(organ), expected)


def test_an_empty_untouched_slice_stays_empty_in_a_new_segment(a_desk) -> None:
    organ = a_desk.add()
    _write(a_desk, {organ: ball()}, untouched={organ: {4}})
    expected = ball()
    expected[4] = 0
    assert np.array_equal(a_desk.content(organ), expected)


def test_outside_its_region_a_result_changes_nothing(a_desk) -> None:
    organ = a_desk.add()
    a_desk.draw(organ, _random(1))
    region = region_of(a_desk.volume, 0, slice_range=(2, 7), box=[[3, 11], [0, 6], [0, 5]])
    assert region == ((2, 5), (0, 6), (3, 11))
    _write(a_desk, {organ: _random(2)}, region=region)
    expected = _random(1)
    expected[2:5, 0:6, 3:11] = _random(2)[2:5, 0:6, 3:11]
    assert np.array_equal(a_desk.content(organ), expected)
    assert region_of(a_desk.volume, 0) is None


def _masking(desk: Desk, other: str, mode: str) -> np.ndarray:
    """Set a rule on the editor; returns where it allows to edit."""
    node, editor = slicer.vtkMRMLSegmentationNode, desk.editor_node
    if mode == "intensity":
        editor.SetSourceVolumeIntensityMask(True)
        editor.SetSourceVolumeIntensityMaskRange(200, 600)
        return (desk.volume.voxels >= 200) & (desk.volume.voxels <= 600)
    inside = desk.content(other) > 0
    if mode == "inside segment":
        editor.SetMaskMode(node.EditAllowedInsideSingleSegment)
        editor.SetMaskSegmentID(other)
        return inside
    editor.SetMaskMode(node.EditAllowedOutsideAllSegments)
    return ~inside


@pytest.mark.parametrize("mode", ["intensity", "inside segment"])
def test_masking_is_obeyed(a_desk, mode) -> None:
    organ, other = a_desk.add(), a_desk.add()
    a_desk.draw(organ, _random(1))
    a_desk.draw(other, _random(5))
    allowed = _masking(a_desk, other, mode)
    written = _write(a_desk, {organ: _random(2)})
    expected = np.where(allowed, _random(2), _random(1))
    assert np.array_equal(a_desk.content(organ), expected)
    assert np.array_equal(a_desk.content(other), _random(5))
    assert np.array_equal(written.after[organ].window((0, 0, 0), SHAPE), expected)
    a_desk.editor.Undo()
    assert np.array_equal(a_desk.content(organ), _random(1))


def test_outside_all_segments_protects_the_others(a_desk) -> None:
    organ, other = a_desk.add(), a_desk.add()
    a_desk.draw(other, _random(5))
    allowed = _masking(a_desk, other, "outside all segments")
    _write(a_desk, {organ: _random(2)})
    assert np.array_equal(a_desk.content(organ), np.where(allowed, _random(2), 0))
    assert np.array_equal(a_desk.content(other), _random(5))


@pytest.mark.parametrize("overwrite", ["all", "visible", "none"])
def test_the_overwrite_mode_is_obeyed(a_desk, overwrite) -> None:
    organ, shown, hidden = a_desk.add(), a_desk.add(), a_desk.add()
    a_desk.draw(shown, _random(5))
    a_desk.draw(hidden, _random(6))
    a_desk.segmentation.GetDisplayNode().SetSegmentVisibility(hidden, False)
    node = a_desk.editor_node
    modes = {"all": node.OverwriteAllSegments, "visible": node.OverwriteVisibleSegments, "none": node.OverwriteNone}
    node.SetOverwriteMode(modes[overwrite])
    _write(a_desk, {organ: _random(2)})
    left = np.where(_random(2) > 0, 0, 1)
    assert np.array_equal(a_desk.content(organ), _random(2))
    assert np.array_equal(a_desk.content(shown), _random(5) * (left if overwrite != "none" else 1))
    assert np.array_equal(a_desk.content(hidden), _random(6) * (left if overwrite == "all" else 1))


def test_labels_trade_voxels_by_the_rules_too(a_desk) -> None:
    first, second = a_desk.add(), a_desk.add()
    a_desk.editor_node.SetOverwriteMode(a_desk.editor_node.OverwriteAllSegments)
    for seed in range(3):
        labelmap = np.random.default_rng(seed).integers(0, 3, SHAPE)
        _write(a_desk, {first: labelmap == 1, second: labelmap == 2})
    assert np.array_equal(a_desk.content(first), labelmap == 1)
    assert np.array_equal(a_desk.content(second), labelmap == 2)


def test_under_a_parent_transform_the_result_is_the_same(a_desk) -> None:
    desk = a_desk_of(parent=rotation(25))
    organ = desk.add()
    _write(desk, {organ: _random(2)})
    assert np.array_equal(desk.content(organ), _random(2))
    here = VolumeGeometry("", "", SHAPE, np.linalg.inv(rotation(25)) @ desk.volume.ijk_to_ras)
    assert np.allclose(grid_of(desk.segmentation)[0], here.ijk_to_ras)


def test_a_segmentation_in_another_axis_order_gets_the_exact_result(a_desk) -> None:
    for order in permutations(range(3)):
        to_volume = np.zeros((4, 4))
        to_volume[3, 3] = 1
        for axis, source in enumerate(order):
            to_volume[2 - source, 2 - axis] = 1
        node = a_desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "turned")
        a_desk.segmentation = node
        organ, other = a_desk.add(), a_desk.add()
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        for segment_id, seed in ((organ, 1), (other, 3)):
            turned = np.transpose(_random(seed), order)
            image = oriented_image(turned, (0, 0, 0), a_desk.volume.ijk_to_ras @ to_volume)
            logic.SetBinaryLabelmapToSegment(image, node, segment_id, logic.MODE_REPLACE)
        _write(a_desk, {organ: _random(2)}, region=((1, 8), (0, 10), (2, 11)))
        expected = _random(1)
        expected[1:8, :, 2:11] = _random(2)[1:8, :, 2:11]
        assert np.array_equal(a_desk.content(organ), expected)
        assert np.array_equal(a_desk.content(other), _random(3))


def test_a_segmentation_without_geometry_takes_the_volumes(a_desk) -> None:
    a_desk.segmentation = a_desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "bare")
    organ = a_desk.add()
    _write(a_desk, {organ: _random(2)})
    assert np.array_equal(a_desk.content(organ), _random(2))
    matrix, origin, shape = grid_of(a_desk.segmentation)
    assert (origin, shape) == ((0, 0, 0), SHAPE)
    assert np.allclose(matrix, a_desk.volume.ijk_to_ras)


def test_segments_deleted_meanwhile_are_named_and_the_others_written(a_desk) -> None:
    first, second = a_desk.add("liver"), a_desk.add("spleen")
    a_desk.segmentation.GetSegmentation().RemoveSegment(first)
    labelmap = np.random.default_rng(0).integers(0, 3, SHAPE)
    names = {first: "liver", second: "spleen"}
    written = _write(a_desk, {first: labelmap == 1, second: labelmap == 2}, names=names)
    assert written.changed == (second,)
    assert written.sentences == (
        'Segment "liver" was deleted while the volume was segmented: the other results are written.',
    )
    assert np.array_equal(a_desk.content(second), labelmap == 2)
    a_desk.segmentation.GetSegmentation().RemoveSegment(second)
    with pytest.raises(UserError, match="segments of this result were deleted"):
        _write(a_desk, {second: labelmap == 2}, names=names)
    a_desk.scene.RemoveNode(a_desk.segmentation)
    with pytest.raises(UserError, match="segmentation was deleted"):
        _write(a_desk, {second: labelmap == 2}, names=names)


def test_nothing_is_saved_for_undo_when_the_result_cannot_be_written(a_desk) -> None:
    organ = a_desk.add()
    a_desk.draw(organ, ball())
    a_desk.editor.ClearUndoState()
    warp = a_desk.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    a_desk.segmentation.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(UserError, match="harden"):
        _write(a_desk, {organ: _random(2)})
    assert not a_desk.editor.CanUndo()


@pytest.mark.parametrize("ids", ["ab", "ba"])
def test_surfaces_are_made_anew_only_for_what_changed(a_desk, ids) -> None:
    organ, other = (a_desk.segmentation.GetSegmentation().AddEmptySegment(segment_id) for segment_id in ids)
    a_desk.draw(organ, ball())
    a_desk.draw(other, ball(centre=(4, 5, 9), radius=1))
    a_desk.segmentation.CreateClosedSurfaceRepresentation()
    surface = _surface(a_desk, other)
    _write(a_desk, {organ: ball(radius=2)})
    assert surface_is_stale(a_desk.segmentation)
    assert _surface(a_desk, organ) is None
    update_surface(a_desk.segmentation)
    assert not surface_is_stale(a_desk.segmentation)
    assert _surface(a_desk, other) is surface
    bounds = np.zeros(6)
    a_desk.segmentation.GetSegmentation().GetSegment(organ).GetBounds(bounds)
    small = a_desk_of()
    segment_id = small.add()
    small.draw(segment_id, ball(radius=2))
    small.segmentation.CreateClosedSurfaceRepresentation()
    expected = np.zeros(6)
    small.segmentation.GetSegmentation().GetSegment(segment_id).GetBounds(expected)
    assert np.allclose(bounds, expected)


def test_no_surface_is_made_that_nobody_asked_for(a_desk) -> None:
    organ = a_desk.add()
    _write(a_desk, {organ: ball()})
    update_surface(a_desk.segmentation)
    assert _surface(a_desk, organ) is None


def test_undo_with_a_surface_shown_restores_the_voxels(a_desk) -> None:
    organ = a_desk.add()
    a_desk.draw(organ, ball())
    a_desk.segmentation.CreateClosedSurfaceRepresentation()
    _write(a_desk, {organ: ball(radius=2)})
    update_surface(a_desk.segmentation)
    a_desk.editor.Undo()
    assert np.array_equal(a_desk.content(organ), ball())
    a_desk.editor.Redo()
    assert np.array_equal(a_desk.content(organ), ball(radius=2))


def _surface(desk: Desk, segment_id: str) -> object | None:
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return desk.segmentation.GetSegmentation().GetSegment(segment_id).GetRepresentation(name)


def test_another_transform_on_the_segmentation_is_taken_into_account() -> None:
    desk = a_desk_of(parent=rotation(10))
    organ = desk.add()
    moved = np.eye(4)
    moved[:3, 3] = -desk.volume.ijk_to_ras[:3, 1]
    desk.segmentation.SetAndObserveTransformNodeID(add_linear_transform(desk.scene, moved @ rotation(10)).GetID())
    _write(desk, {organ: ball()})
    assert np.array_equal(desk.content(organ), ball())
