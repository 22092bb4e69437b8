"""Effects beside the brush, with the mouse and with their buttons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from driving import Mouse, pixel_of, ras_of_voxels, ras_under, segment_array

from momentumseg_standalone.segment_editor.shapes import points_in_polygon


def set_segment(segmentation: Any, name: str, array: np.ndarray, volume: Any) -> None:
    import slicer

    slicer.util.updateSegmentBinaryLabelmapFromArray(array.astype(np.uint8), segmentation, name, volume)


def press(editor: Any, text: str) -> None:
    from PySide6 import QtWidgets

    frame = editor.activeEffect().optionsFrame()
    next(button for button in frame.findChildren(QtWidgets.QPushButton) if button.text == text).click()


def inside_outline(mouse: Mouse, corners: list[tuple[int, int]], centres: np.ndarray) -> np.ndarray:
    outline = np.array([ras_under(mouse.view, *corner) for corner in corners])
    return points_in_polygon(centres[..., :2].reshape(-1, 2), outline[:, :2]).reshape(centres.shape[:-1])


def test_threshold_takes_every_voxel_in_the_range(an_editor: Any, a_volume: Any, a_segmentation: Any):
    import slicer

    an_editor.setActiveEffectByName("Threshold")
    effect = an_editor.activeEffect()
    effect.setParameter("MinimumThreshold", 40)
    effect.setParameter("MaximumThreshold", 60.5)
    press(an_editor, "Apply")
    voxels = slicer.util.arrayFromVolume(a_volume)
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), (voxels >= 40) & (voxels <= 60.5))
    an_editor.undo()
    assert not segment_array(a_segmentation, "organ", a_volume).any()


def test_threshold_becomes_the_mask_of_the_brush(an_editor: Any):
    an_editor.setActiveEffectByName("Threshold")
    an_editor.activeEffect().setParameter("MinimumThreshold", 40)
    an_editor.activeEffect().setParameter("MaximumThreshold", 60)
    press(an_editor, "Use for masking")
    node = an_editor.mrmlSegmentEditorNode()
    assert node.GetSourceVolumeIntensityMask()
    assert tuple(node.GetSourceVolumeIntensityMaskRange()) == (40, 60)
    assert an_editor.activeEffect().name == "Paint"


def three_islands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    large, middle, small = (np.zeros((12, 40, 48), dtype=bool) for _ in range(3))
    large[2:8, 5:20, 5:20] = True
    middle[4:8, 25:30, 30:36] = True
    small[6, 35, 40] = True
    return large, middle, small


def test_islands_keep_the_largest(an_editor: Any, a_volume: Any, a_segmentation: Any):
    large, middle, small = three_islands()
    set_segment(a_segmentation, "organ", large | middle | small, a_volume)
    an_editor.setActiveEffectByName("Islands")
    press(an_editor, "Apply")
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), large)
    an_editor.undo()
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), large | middle | small)


def test_islands_remove_the_small_ones(an_editor: Any, a_volume: Any, a_segmentation: Any):
    large, middle, small = three_islands()
    set_segment(a_segmentation, "organ", large | middle | small, a_volume)
    an_editor.setActiveEffectByName("Islands")
    an_editor.activeEffect().setParameter("Operation", "REMOVE_SMALL_ISLANDS")
    an_editor.activeEffect().setParameter("MinimumSize", 10)
    press(an_editor, "Apply")
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), large | middle)


def test_islands_keep_the_one_that_is_clicked(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any
):
    large, middle, small = three_islands()
    set_segment(a_segmentation, "organ", large | middle | small, a_volume)
    an_editor.setActiveEffectByName("Islands")
    an_editor.activeEffect().setParameter("Operation", "KEEP_SELECTED_ISLAND")
    axial.click(*pixel_of(axial.view, (a_geometry @ (33, 27, 6, 1))[:3]))
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), middle)


def test_draw_fills_the_outline_on_one_slice(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any
):
    an_editor.setActiveEffectByName("Draw")
    corners = [
        pixel_of(axial.view, ras) for ras in ((-15.2, 0.3, 0), (12.1, -4.4, 0), (9.3, 20.9, 0), (-20.4, 18.2, 0))
    ]
    for corner in corners:
        axial.click(*corner)
    axial.click(*corners[-1], button="RightButton")
    painted = segment_array(a_segmentation, "organ", a_volume)
    centres = ras_of_voxels(painted.shape, a_geometry)
    offset = axial.view.mrmlSliceNode().GetSliceOffset()
    expected = inside_outline(axial, corners, centres) & (np.abs(centres[..., 2] - offset) < 2.5)
    assert expected.sum() > 100
    assert np.array_equal(painted, expected)


@pytest.mark.parametrize("operation", ["EraseInside", "EraseOutside", "FillInside"])
def test_scissors_cut_through_all_slices(
    an_editor: Any, axial: Mouse, a_volume: Any, a_segmentation: Any, a_geometry: Any, operation: str
):
    large, middle, _ = three_islands()
    before = large | middle
    set_segment(a_segmentation, "organ", before, a_volume)
    an_editor.setActiveEffectByName("Scissors")
    an_editor.activeEffect().setParameter("Operation", operation)
    corners = [pixel_of(axial.view, ras) for ras in ((22.3, 31.2, 0), (5.1, 31.4, 0), (5.3, 14.2, 0), (22.1, 14.3, 0))]
    axial.drag(corners)
    cut = inside_outline(axial, corners, ras_of_voxels(before.shape, a_geometry))
    expected = {"EraseInside": before & ~cut, "EraseOutside": before & cut, "FillInside": before | cut}[operation]
    assert (before & cut).any() and (before & ~cut).any()
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), expected)
    an_editor.undo()
    assert np.array_equal(segment_array(a_segmentation, "organ", a_volume), before)


def test_panel_buttons_add_and_remove_segments_and_undo(an_editor: Any, a_segmentation: Any):
    ids = a_segmentation.GetSegmentation().GetSegmentIDs
    an_editor._panel.add.click()
    assert len(ids()) == 3
    assert an_editor.currentSegmentID() == ids()[2]
    an_editor._panel.remove.click()
    assert list(ids()) == ["organ", "vessel"]
    an_editor._panel.undo.click()
    assert len(ids()) == 3


def test_signals_say_what_is_selected(an_editor: Any, a_segmentation: Any):
    told: list[str] = []
    an_editor.connect("currentSegmentIDChanged(QString)", told.append)
    an_editor.setCurrentSegmentID("vessel")
    an_editor.selectNextSegment()
    an_editor.setSegmentationNode(None)
    assert told == ["vessel", "organ", ""]
    assert an_editor.activeEffect() is None


def test_deleted_segmentation_leaves_the_editor_empty(an_editor: Any, axial: Mouse, a_segmentation: Any):
    import slicer

    an_editor.setActiveEffectByName("Paint")
    slicer.mrmlScene.RemoveNode(a_segmentation)
    axial.click(100, 100)
    assert an_editor.segmentationNode() is None
    assert an_editor.currentSegmentID() == ""
