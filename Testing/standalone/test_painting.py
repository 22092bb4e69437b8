"""Painting with the mouse: which voxels change, and by which rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from driving import Mouse, add_volume, pixel_of, ras_of_voxels, ras_under, segment_array

RADIUS = 6.0


def expected_stroke(
    shape: Any, matrix: np.ndarray, path: list[np.ndarray], normal: int, thickness: float
) -> np.ndarray:
    """Brute force: voxels of the slice through the path whose distance from the path, in the slice, is at most 6 mm."""
    centres = ras_of_voxels(shape, matrix)
    in_slice = np.abs(centres[..., normal] - path[0][normal]) < thickness / 2
    flat = [axis for axis in range(3) if axis != normal]
    nearest = np.full(shape, np.inf)
    for start, end in zip(path[:-1], path[1:], strict=True) if len(path) > 1 else [(path[0], path[0])]:
        for share in np.linspace(0, 1, 4001):
            point = (start + share * (end - start))[flat]
            nearest = np.minimum(nearest, ((centres[..., flat] - point) ** 2).sum(axis=-1))
    return in_slice & (nearest <= RADIUS**2)


def test_click_paints_a_disk_on_one_slice(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any
):
    an_editor.setActiveEffectByName("Paint")
    x, y = pixel_of(axial.view, (0, 10, 5))
    axial.click(x, y)
    painted = segment_array(a_segmentation, "organ", a_volume)
    expected = expected_stroke(painted.shape, a_geometry, [ras_under(axial.view, x, y)], normal=2, thickness=5)
    assert expected.sum() > 30
    assert np.array_equal(painted, expected)
    assert not segment_array(a_segmentation, "vessel", a_volume).any()


def test_click_in_the_coronal_view_paints_across_slices(
    an_editor: Any, coronal: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any
):
    an_editor.setActiveEffectByName("Paint")
    x, y = pixel_of(coronal.view, (0, 10, 5))
    coronal.click(x, y)
    painted = segment_array(a_segmentation, "organ", a_volume)
    expected = expected_stroke(painted.shape, a_geometry, [ras_under(coronal.view, x, y)], normal=1, thickness=1.5)
    assert len(np.unique(np.nonzero(expected)[0])) >= 2
    assert np.array_equal(painted, expected)


def test_stroke_has_no_gaps_and_is_one_undo_step(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any
):
    an_editor.setActiveEffectByName("Paint")
    corners = [pixel_of(axial.view, ras) for ras in ((-15, 0, 5), (10, 5, 5), (10, 20, 5))]
    axial.drag(corners)
    painted = segment_array(a_segmentation, "organ", a_volume)
    path = [ras_under(axial.view, *corner) for corner in corners]
    # The brute force walks in steps: a voxel right on the rim may be missed by it.
    missed = painted & ~expected_stroke(painted.shape, a_geometry, path, normal=2, thickness=5)
    assert missed.sum() <= 2
    assert (expected_stroke(painted.shape, a_geometry, path, normal=2, thickness=5) & ~painted).sum() == 0
    an_editor.undo()
    assert not segment_array(a_segmentation, "organ", a_volume).any()
    an_editor.redo()
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), painted)


def test_erase_takes_away_what_the_brush_covers(an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any):
    x, y = pixel_of(axial.view, (0, 10, 5))
    an_editor.setActiveEffectByName("Paint")
    axial.drag([(x, y), (x + 60, y)])
    before = segment_array(a_segmentation, "organ", a_volume)
    an_editor.setActiveEffectByName("Erase")
    axial.click(x, y)
    after = segment_array(a_segmentation, "organ", a_volume)
    assert after.any()
    assert after.sum() < before.sum()
    assert not (after & ~before).any()
    an_editor.undo()
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), before)


def test_intensity_range_limits_the_brush(an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any):
    import slicer

    node = an_editor.mrmlSegmentEditorNode()
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(80, 82)
    an_editor.setActiveEffectByName("Paint")
    axial.click(*pixel_of(axial.view, (0, 10, 5)))
    painted = segment_array(a_segmentation, "organ", a_volume)
    voxels = slicer.util.arrayFromVolume(a_volume)
    assert painted.any()
    assert set(np.unique(voxels[painted])) <= {80, 81, 82}


@pytest.mark.parametrize(("mode", "vessel_stays"), [("OverwriteNone", True), ("OverwriteAllSegments", False)])
def test_overwrite_mode_decides_about_other_segments(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, mode: str, vessel_stays: bool
):
    node = an_editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(getattr(node, mode))
    an_editor.setActiveEffectByName("Paint")
    x, y = pixel_of(axial.view, (0, 10, 5))
    an_editor.setCurrentSegmentID("vessel")
    axial.click(x, y)
    vessel = segment_array(a_segmentation, "vessel", a_volume)
    an_editor.setCurrentSegmentID("organ")
    axial.click(x, y)
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), vessel)
    assert segment_array(a_segmentation, "vessel", a_volume).any() == vessel_stays


def test_editable_area_keeps_the_brush_out_of_other_segments(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any
):
    an_editor.setActiveEffectByName("Paint")
    x, y = pixel_of(axial.view, (0, 10, 5))
    an_editor.setCurrentSegmentID("vessel")
    axial.click(x, y)
    vessel = segment_array(a_segmentation, "vessel", a_volume)
    an_editor.mrmlSegmentEditorNode().SetMaskMode(a_segmentation.EditAllowedOutsideAllSegments)
    an_editor.setCurrentSegmentID("organ")
    axial.drag([(x, y), (x + 40, y)])
    organ = segment_array(a_segmentation, "organ", a_volume)
    assert organ.any()
    assert not (organ & vessel).any()
    assert np.array_equal(segment_array(a_segmentation, "vessel", a_volume), vessel)


def test_sphere_brush_paints_a_ball(an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any):
    an_editor.setActiveEffectByName("Paint")
    an_editor.activeEffect().setParameter("BrushSphere", 1)
    x, y = pixel_of(axial.view, (0, 10, 5))
    axial.click(x, y)
    painted = segment_array(a_segmentation, "organ", a_volume)
    distance = np.linalg.norm(ras_of_voxels(painted.shape, a_geometry) - ras_under(axial.view, x, y), axis=-1)
    assert np.array_equal(painted, distance <= RADIUS)


def test_shift_and_wheel_change_the_brush_and_not_the_slice(an_editor: Any, axial: Mouse):
    an_editor.setActiveEffectByName("Paint")
    offset = axial.view.mrmlSliceNode().GetSliceOffset()
    axial.wheel(50, 50, 1, modifier="ShiftModifier")
    assert an_editor.activeEffect().doubleParameter("BrushAbsoluteDiameter") == pytest.approx(14.4)
    axial.wheel(50, 50, -1, modifier="ShiftModifier")
    assert an_editor.activeEffect().doubleParameter("BrushAbsoluteDiameter") == pytest.approx(12)
    assert axial.view.mrmlSliceNode().GetSliceOffset() == offset
    axial.wheel(50, 50, 1)
    assert axial.view.mrmlSliceNode().GetSliceOffset() == pytest.approx(offset + 5)


def test_read_only_editor_changes_nothing(an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any):
    an_editor.setActiveEffectByName("Paint")
    an_editor.setReadOnly(True)
    axial.click(*pixel_of(axial.view, (0, 10, 5)))
    assert not segment_array(a_segmentation, "organ", a_volume).any()
    an_editor.readOnly = False
    an_editor.setActiveEffectByName("Paint")
    axial.click(*pixel_of(axial.view, (0, 10, 5)))
    assert segment_array(a_segmentation, "organ", a_volume).any()


def oblique_matrix() -> np.ndarray:
    """0.9 x 1.1 x 3 mm, turned by 25 and 15 degrees, and with a flipped axis."""
    a, b = np.deg2rad((25, 15))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x @ np.diag((-0.9, 1.1, 3.0))
    matrix[:3, 3] = matrix[:3, :3] @ (-20, -20, -8)
    return matrix


def test_brush_in_an_oblique_volume_covers_the_voxels_that_the_slice_cuts(an_app: Any, an_editor: Any, axial: Mouse):
    import slicer

    shape, matrix = (16, 40, 40), oblique_matrix()
    volume = add_volume(np.zeros(shape, dtype=np.int16), matrix, "oblique")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.GetSegmentation().AddEmptySegment("oblique", "oblique")
    an_editor.setSegmentationNode(segmentation)
    an_editor.setSourceVolumeNode(volume)
    an_editor.setCurrentSegmentID("oblique")
    an_editor.setActiveEffectByName("Paint")
    # Slicer turns the views into the volume's planes: there a click stays on one slice of the volume.
    axial.click(*pixel_of(axial.view, (2, 3, 0)))
    assert len(np.unique(np.nonzero(segment_array(segmentation, "oblique", volume))[0])) == 1
    an_editor.undo()
    axial.view.mrmlSliceNode().SetOrientation("Axial")
    x, y = pixel_of(axial.view, (2, 3, 0))
    axial.click(x, y)
    centre, centres = ras_under(axial.view, x, y), ras_of_voxels(shape, matrix)
    half = np.abs(matrix[2, :3]).sum() / 2  # a voxel's extent along the slice's normal
    near = np.linalg.norm(centres[..., :2] - centre[:2], axis=-1) <= RADIUS
    expected = near & (np.abs(centres[..., 2] - centre[2]) <= half)
    painted = segment_array(segmentation, "oblique", volume)
    assert expected.sum() > 50
    assert (painted ^ expected).sum() <= 1  # a voxel that the slice only touches
    # What lies under the middle of the brush on the screen is painted.
    k, j, i = np.rint(np.linalg.solve(matrix, (*centre, 1)))[2::-1].astype(int)
    assert painted[k, j, i]


def test_parent_transform_moves_drawing_with_the_volume(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any
):
    import slicer

    shift = np.eye(4)
    shift[:3, 3] = (7, -4, 10)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    for node in (a_volume, a_segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    slicer.app.layoutManager().resetSliceViews()
    an_editor.setActiveEffectByName("Paint")
    x, y = pixel_of(axial.view, (7, 6, axial.view.mrmlSliceNode().GetSliceOffset()))
    axial.click(x, y)
    painted = segment_array(a_segmentation, "organ", a_volume)
    centre = ras_under(axial.view, x, y)
    assert painted.any()
    assert np.array_equal(painted, expected_stroke(painted.shape, shift @ a_geometry, [centre], normal=2, thickness=5))
