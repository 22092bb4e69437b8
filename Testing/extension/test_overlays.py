"""Uncertainty and the method's stages over the image: exact values in place, and back to what was shown before."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from bridge import SHAPE, Desk, a_desk_of, add_linear_transform, rotation

from MomentumSegLib.errors import UserError
from MomentumSegLib.iterates_view import KINDS, IteratesView
from MomentumSegLib.slice_geometry import SliceGeometry
from MomentumSegLib.uncertainty_overlay import UncertaintyOverlay
from MomentumSegLib.volume_data import read_volume_node


@pytest.fixture
def a_desk() -> Desk:
    desk = a_desk_of()
    for _ in range(3):
        composite = desk.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
        composite.SetBackgroundVolumeID(desk.volume_node.GetID())
    composite.SetForegroundVolumeID(desk.volume_node.GetID())
    composite.SetForegroundOpacity(0.25)
    return desk


def _foregrounds(desk: Desk) -> list[tuple[str | None, float]]:
    nodes = [desk.scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode") for index in range(3)]
    return [(node.GetForegroundVolumeID(), node.GetForegroundOpacity()) for node in nodes]


def _ids(desk: Desk) -> set[str]:
    return {desk.scene.GetNthNode(index).GetID() for index in range(desk.scene.GetNumberOfNodes())}


def _uncertainty(shape: tuple[int, int, int] = (3, 4, 5)) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)


def _in_volume(desk: Desk, node: object) -> np.ndarray:
    """(K, J, I) values of an overlay at the voxels of the volume; NaN where it has none."""
    volume = read_volume_node(node)
    shift = np.linalg.solve(desk.volume.ijk_to_ras, volume.ijk_to_ras)
    assert np.allclose(shift[:3, :3], np.eye(3), atol=1e-6)
    first = np.round(shift[:3, 3]).astype(int)[::-1]
    assert np.allclose(first, shift[2::-1, 3], atol=1e-6)
    values = np.full(SHAPE, np.nan, np.float32)
    values[tuple(slice(a, a + n) for a, n in zip(first, volume.shape, strict=True))] = volume.voxels
    return values


def test_uncertainty_lies_on_its_voxels_in_0_to_1(a_desk) -> None:
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    node = overlay.update(a_desk.volume, _uncertainty(), (2, 1, 6))
    expected = np.full(SHAPE, np.nan, np.float32)
    expected[2:5, 1:5, 6:11] = _uncertainty() / np.float32(255)
    assert np.array_equal(_in_volume(a_desk, node), expected, equal_nan=True)
    assert node.GetName() == "scan uncertainty"
    display = node.GetScalarVolumeDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert not display.GetAutoWindowLevel()
    assert display.GetApplyThreshold()
    assert 0 < display.GetLowerThreshold() <= 0.05
    brightness = [_color(display.GetColorNode(), index) @ (0.21, 0.72, 0.07) for index in range(256)]
    assert np.diff(brightness).min() > -0.005
    assert np.ptp(brightness) > 0.7


def _color(node: object, index: int) -> np.ndarray:
    color = [0.0] * 4
    node.GetColor(index, color)
    return np.array(color[:3])


def test_colours_come_back_when_a_scene_was_loaded_without_them(a_desk) -> None:
    node = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID()).update(a_desk.volume, _uncertainty(), (0, 0, 0))
    colors = node.GetScalarVolumeDisplayNode().GetColorNode()
    assert not colors.GetSaveWithScene()
    a_desk.scene.RemoveNode(colors)
    UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    assert node.GetScalarVolumeDisplayNode().GetColorNode().GetNumberOfColors() == 256


def test_an_update_keeps_the_node_and_moves_it(a_desk) -> None:
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    node = overlay.update(a_desk.volume, _uncertainty(), (2, 1, 6))
    image = node.GetImageData()
    ids = _ids(a_desk)
    time = image.GetMTime()
    overlay.update(a_desk.volume, _uncertainty() + 9, (0, 0, 0))
    assert node.GetImageData() is image
    assert image.GetMTime() > time
    assert np.array_equal(_in_volume(a_desk, node)[:3, :4, :5], (_uncertainty() + 9) / np.float32(255))
    overlay.update(a_desk.volume, _uncertainty((2, 2, 2)), (0, 0, 0))
    assert overlay.node is node
    assert _ids(a_desk) == ids
    overlay.update(a_desk.volume, np.zeros((0, 0, 0), np.uint8), (0, 0, 0))
    assert not np.nan_to_num(_in_volume(a_desk, node)).any()


def test_it_follows_the_volumes_transform() -> None:
    desk = a_desk_of(parent=rotation(25))
    node = UncertaintyOverlay(desk.scene, desk.volume_node.GetID()).update(desk.volume, _uncertainty(), (2, 1, 6))
    assert node.GetParentTransformNode() is desk.volume_node.GetParentTransformNode()
    _in_volume(desk, node)
    moved = add_linear_transform(desk.scene, rotation(40)).GetID()
    desk.volume_node.SetAndObserveTransformNodeID(moved)
    desk.volume = read_volume_node(desk.volume_node)
    UncertaintyOverlay(desk.scene, desk.volume_node.GetID()).update(desk.volume, _uncertainty(), (2, 1, 6))
    _in_volume(desk, node)


def test_hiding_brings_back_what_was_shown(a_desk) -> None:
    before = _foregrounds(a_desk)
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    overlay.show()
    assert not overlay.is_visible
    node = overlay.update(a_desk.volume, _uncertainty(), (0, 0, 0))
    overlay.show()
    overlay.opacity = 0.4
    assert overlay.is_visible
    assert _foregrounds(a_desk) == [(node.GetID(), 0.4)] * 3
    overlay.show()
    again = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    assert again.is_visible
    again.hide()
    assert not overlay.is_visible
    assert _foregrounds(a_desk) == before


def test_a_view_that_the_user_changed_meanwhile_stays(a_desk) -> None:
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    overlay.update(a_desk.volume, _uncertainty(), (0, 0, 0))
    overlay.show()
    composite = a_desk.scene.GetNthNodeByClass(0, "vtkMRMLSliceCompositeNode")
    composite.SetForegroundVolumeID(a_desk.volume_node.GetID())
    composite.SetForegroundOpacity(0.9)
    overlay.hide()
    assert _foregrounds(a_desk)[0] == (a_desk.volume_node.GetID(), 0.9)


def test_a_volume_deleted_meanwhile_is_not_brought_back(a_desk) -> None:
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    overlay.update(a_desk.volume, _uncertainty(), (0, 0, 0))
    overlay.show()
    a_desk.scene.RemoveNode(a_desk.volume_node)
    overlay.hide()
    assert _foregrounds(a_desk)[2][0] is None


def test_removing_leaves_nothing_behind(a_desk) -> None:
    ids, before = _ids(a_desk), _foregrounds(a_desk)
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    overlay.update(a_desk.volume, _uncertainty(), (0, 0, 0))
    overlay.show()
    overlay.remove()
    overlay.remove()
    assert _ids(a_desk) == ids
    assert _foregrounds(a_desk) == before


def test_the_legend_appears_with_the_overlay_where_there_are_legends(a_desk) -> None:
    colors = slicer.vtkSlicerColorLogic()
    a_desk.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    node = overlay.update(a_desk.volume, _uncertainty(), (0, 0, 0))
    overlay.show()
    legend = colors.GetColorLegendDisplayNode(node)
    assert legend.GetVisibility()
    assert legend.GetTitleText() == "Uncertainty"
    overlay.hide()
    assert not legend.GetVisibility()
    overlay.show()
    assert colors.GetNumberOfColorLegendDisplayNodes(node) == 1
    ids = {legend.GetID(), node.GetID()}
    overlay.remove()
    assert not ids & _ids(a_desk)


def _stages(slices: SliceGeometry, count: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    names = [f"stage{stage}_{kind}" for stage in range(1, count + 1) for kind in KINDS]
    return {name: random.random(slices.slice_shape).astype(np.float32) for name in names}


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_stages_lie_on_their_slice(a_desk, plane) -> None:
    slices = SliceGeometry.of(a_desk.volume, plane)
    stages = _stages(slices, 12)
    view = IteratesView(a_desk.scene)
    view.set_stages(slices, 4, stages)
    assert (view.stage_count, view.stage, view.slice_index) == (12, 12, 4)
    for stage in (12, 1, 10):
        view.show_stage(stage)
        for kind in KINDS:
            values = _in_volume(a_desk, view.node(kind))
            expected = np.full(SHAPE, np.nan, np.float32)
            np.moveaxis(expected, slices.axis, 0)[4] = stages[f"stage{stage}_{kind}"]
            assert np.array_equal(values, expected, equal_nan=True)


def test_grey_scales_stay_the_same_over_the_stages(a_desk) -> None:
    slices = SliceGeometry.of(a_desk.volume, "axial")
    stages = {name: array * 4 - 2 if "noise" in name else array for name, array in _stages(slices).items()}
    view = IteratesView(a_desk.scene)
    view.set_stages(slices, 4, stages)
    noise = np.stack([array for name, array in stages.items() if "noise" in name])
    for stage in (1, 2, 3):
        view.show_stage(stage)
        ranges = {}
        for kind in KINDS:
            display = view.node(kind).GetScalarVolumeDisplayNode()
            ranges[kind] = (display.GetWindowLevelMin(), display.GetWindowLevelMax())
        assert ranges["foreground"] == ranges["entropy"] == (0.0, 1.0)
        assert ranges["noise"] == pytest.approx((noise.min(), noise.max()))


def test_stages_go_over_the_image_one_kind_at_a_time_and_back(a_desk) -> None:
    before, ids = _foregrounds(a_desk), _ids(a_desk)
    slices = SliceGeometry.of(a_desk.volume, "axial")
    view = IteratesView(a_desk.scene)
    view.set_stages(slices, 4, _stages(slices))
    overlay = UncertaintyOverlay(a_desk.scene, a_desk.volume_node.GetID())
    overlay.update(a_desk.volume, _uncertainty(), (0, 0, 0))
    overlay.show()
    for kind in KINDS:
        view.show_over_image(kind)
        assert {node_id for node_id, _ in _foregrounds(a_desk)} == {view.node(kind).GetID()}
    view.show_over_image(None)
    assert _foregrounds(a_desk) == before
    overlay.remove()
    view.remove()
    assert _ids(a_desk) == ids
    assert view.stage_count == 0
    view.show_stage(1)


def test_a_second_slice_uses_the_same_nodes(a_desk) -> None:
    view = IteratesView(a_desk.scene)
    slices = SliceGeometry.of(a_desk.volume, "axial")
    view.set_stages(slices, 4, _stages(slices))
    ids = _ids(a_desk)
    other = SliceGeometry.of(a_desk.volume, "sagittal")
    view.set_stages(other, 2, _stages(other, 2))
    assert _ids(a_desk) == ids
    assert view.stage == 2


def test_a_result_without_stages_is_said(a_desk) -> None:
    slices = SliceGeometry.of(a_desk.volume, "axial")
    with pytest.raises(UserError, match="no stages"):
        IteratesView(a_desk.scene).set_stages(slices, 4, {})
    with pytest.raises(UserError, match="no stages"):
        wrong = {f"stage1_{kind}": np.zeros((2, 2), np.float32) for kind in KINDS}
        IteratesView(a_desk.scene).set_stages(slices, 4, wrong)
