"""The views: scrolling, zooming, brightness, layouts, markups; by the mouse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from driving import Mouse, pixel_of, ras_under, settle


def picture(view: Any) -> np.ndarray:
    """(H, W, 3) of what the widget shows."""
    image = view.grab().toImage().convertToFormat(view.grab().toImage().Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def test_volume_is_drawn_with_its_intensities_in_the_right_place(a_volume: Any, axial: Mouse):
    import slicer

    slicer.util.arrayFromVolume(a_volume)[:] = 0
    slicer.util.arrayFromVolume(a_volume)[:, 30:, :10] = 100  # towards the left and the back
    slicer.util.arrayFromVolumeModified(a_volume)
    a_volume.GetDisplayNode().SetAutoWindowLevel(False)
    a_volume.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    settle()
    image = picture(axial.view)
    bright = pixel_of(axial.view, (30 - 1.5 * 4, 40 - 1.5 * 35, 0))
    dark = pixel_of(axial.view, (30 - 1.5 * 30, 40 - 1.5 * 10, 0))
    assert image[bright[1], bright[0]].tolist() == [255, 255, 255]
    assert image[dark[1], dark[0]].tolist() == [0, 0, 0]


def test_wheel_moves_one_slice(a_volume: Any, axial: Mouse):
    node = axial.view.mrmlSliceNode()
    before = node.GetSliceOffset()
    axial.wheel(100, 100, 2)
    assert node.GetSliceOffset() == pytest.approx(before + 10)
    axial.wheel(100, 100, -1)
    assert node.GetSliceOffset() == pytest.approx(before + 5)


def test_right_drag_zooms_and_middle_drag_moves(a_volume: Any, axial: Mouse):
    node = axial.view.mrmlSliceNode()
    before = node.GetFieldOfView()
    axial.drag([(100, 100), (100, 130), (100, 160)], button="RightButton")
    assert node.GetFieldOfView()[0] != pytest.approx(before[0])
    held = ras_under(axial.view, 100, 100)
    axial.drag([(100, 100), (120, 110), (140, 120)], button="MiddleButton")
    assert np.allclose(ras_under(axial.view, 140, 120), held, atol=node.GetFieldOfView()[0] / 100)


def test_left_drag_changes_brightness_in_that_mode_only(a_host: Any, a_volume: Any, axial: Mouse):
    display = a_volume.GetDisplayNode()
    before = display.GetWindow(), display.GetLevel()
    axial.drag([(100, 100), (130, 130), (160, 150)])
    assert (display.GetWindow(), display.GetLevel()) == before
    a_host.window._mouse_modes._window_level.trigger()
    axial.drag([(100, 100), (130, 130), (160, 150)])
    assert display.GetWindow() != before[0]
    assert display.GetLevel() != before[1]


def test_slider_and_orientation_of_the_bar(a_host: Any, a_volume: Any):
    widget = a_host.layout_manager.sliceWidget("Red")
    node = widget.mrmlSliceNode()
    widget._slider.setValue(0)
    assert node.GetSliceOffset() == pytest.approx(-20)
    widget._slider.setValue(widget._slider.maximum)
    assert node.GetSliceOffset() == pytest.approx(35)
    assert widget._position.text == "S: 35.0 mm"
    widget._choose_orientation("Sagittal")
    assert node.GetOrientation() == "Sagittal"
    widget._choose_orientation("Axial")


def test_layouts_keep_their_views(a_host: Any, a_volume: Any):
    manager, node = a_host.layout_manager, a_host.core.layout_logic.GetLayoutNode()
    red = manager.sliceWidget("Red")
    manager.setLayout(node.SlicerLayoutOneUpRedSliceView)
    settle()
    assert manager.sliceViewNames() == ("Red",)
    assert red.isVisible() and not manager.threeDWidget(0).isVisible()
    manager.setLayout(node.SlicerLayoutFourUpView)
    settle()
    assert set(manager.sliceViewNames()) == {"Red", "Green", "Yellow"}
    assert manager.sliceWidget("Red") is red
    assert manager.threeDViewCount == 1
    assert picture(red.sliceView()).max() > 0


def test_maximized_view_returns(a_host: Any):
    manager = a_host.layout_manager
    for _ in range(2):
        manager.sliceWidget("Green")._bar.maximizeRequested.emit()
        settle()
    assert all(manager.sliceWidget(name).isVisible() for name in manager.sliceViewNames())


def test_data_probe_names_position_voxel_and_segment(
    a_host: Any, a_segmentation: Any, a_volume: Any, axial: Mouse, a_geometry: Any
):
    import slicer

    array = np.zeros((12, 40, 48), dtype=np.uint8)
    array[6, 20, 16] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, a_segmentation, "organ", a_volume)
    axial.move(*pixel_of(axial.view, (a_geometry @ (16, 20, 6, 1))[:3]))
    text = a_host.window._probe.text
    assert "volume [16, 20, 6]: 76" in text
    assert text.endswith("organ")


def test_point_is_placed_where_the_mouse_clicks(a_host: Any, a_volume: Any, axial: Mouse):
    import slicer

    a_host.window._mouse_modes._place["vtkMRMLMarkupsFiducialNode"].trigger()
    x, y = pixel_of(axial.view, (3, -2, 0))
    axial.move(x, y)
    axial.click(x, y)
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
    assert node.GetNumberOfDefinedControlPoints() == 1
    position = node.GetNthControlPointPositionWorld(0)
    assert np.allclose(position, ras_under(axial.view, x, y), atol=0.3)
    interaction = a_host.core.application_logic.GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_region_is_placed_by_two_corners(a_host: Any, a_volume: Any, axial: Mouse):
    import slicer

    a_host.window._mouse_modes._place["vtkMRMLMarkupsROINode"].trigger()
    corners = [pixel_of(axial.view, ras) for ras in ((-15, -5, 0), (12, 20, 0))]
    for x, y in corners:
        axial.move(x, y)
        axial.click(x, y)
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLMarkupsROINode")
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    assert np.allclose(bounds[:4], (-15, 12, -5, 20), atol=1.5)


def test_placing_a_point_does_not_paint(an_editor: Any, a_host: Any, a_volume: Any, a_segmentation: Any, axial: Mouse):
    import slicer

    an_editor.setActiveEffectByName("Paint")
    a_host.window._mouse_modes.place("vtkMRMLMarkupsFiducialNode")
    axial.move(120, 120)
    axial.click(120, 120)
    assert slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode").GetNumberOfDefinedControlPoints() == 1
    assert a_segmentation.GetSegmentation().GetSegment("organ").GetRepresentation("Binary labelmap") is None or not (
        slicer.util.arrayFromSegmentBinaryLabelmap(a_segmentation, "organ", a_volume).any()
    )
