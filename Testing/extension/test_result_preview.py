"""Slices of a running segmentation: shown at their place, in the segments' colours, and gone at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from bridge import SHAPE, Desk, a_desk_of

from MomentumSegLib.result_preview import ResultPreview, remove_leftover_previews
from MomentumSegLib.segment_voxels import read_segment
from MomentumSegLib.slice_geometry import SliceGeometry


@dataclass
class Target:
    segment_id: str
    name: str
    color: tuple[float, float, float]


TARGETS = {1: Target("a", "liver", (1.0, 0.0, 0.0)), 3: Target("", "spleen", (0.0, 0.0, 1.0))}


@pytest.fixture
def a_desk() -> Desk:
    return a_desk_of()


def _shown(desk: Desk, preview: ResultPreview) -> np.ndarray:
    """(K, J, I) label numbers that the preview shows."""
    labels = np.zeros(SHAPE, np.uint8)
    for label in TARGETS:
        labels += label * read_segment(preview.node, f"label{label}", desk.volume).window((0, 0, 0), SHAPE)
    return labels


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_slices_appear_at_their_place(a_desk, plane) -> None:
    slices = SliceGeometry.of(a_desk.volume, plane)
    preview = ResultPreview(a_desk.scene, a_desk.segmentation, slices, TARGETS)
    random = np.random.default_rng(0)
    expected = np.zeros(SHAPE, np.uint8)
    for s in (5, 0, slices.count - 1):
        labels = random.choice([0, 1, 3], (4, 5)).astype(np.uint8)
        preview.show_slice(s, (2, 3), labels)
        np.moveaxis(expected, slices.axis, 0)[s][2:6, 3:8] = labels
    assert np.array_equal(_shown(a_desk, preview), expected)
    preview.show_slice(5, (0, 0), np.full((1, 1), 3, np.uint8))
    preview.show_slice(0)
    np.moveaxis(expected, slices.axis, 0)[[0, 5]] = 0
    np.moveaxis(expected, slices.axis, 0)[5][0, 0] = 3
    assert np.array_equal(_shown(a_desk, preview), expected)


def test_it_has_the_segments_names_and_colours_and_is_neither_listed_nor_saved(a_desk) -> None:
    preview = ResultPreview(a_desk.scene, a_desk.segmentation, SliceGeometry.of(a_desk.volume, "axial"), TARGETS)
    segments = [preview.node.GetSegmentation().GetNthSegment(index) for index in range(2)]
    assert [(segment.GetName(), segment.GetColor()) for segment in segments] == [
        ("liver", (1.0, 0.0, 0.0)),
        ("spleen", (0.0, 0.0, 1.0)),
    ]
    assert preview.node.GetHideFromEditors()
    assert not preview.node.GetSaveWithScene()
    assert not preview.node.GetDisplayNode().GetSaveWithScene()
    assert not preview.node.GetDisplayNode().GetVisibility3D()


def test_it_leaves_nothing_behind(a_desk) -> None:
    organ = a_desk.add()
    before = _ids(a_desk)
    preview = ResultPreview(a_desk.scene, a_desk.segmentation, SliceGeometry.of(a_desk.volume, "axial"), TARGETS)
    preview.show_slice(3, (0, 0), np.ones((2, 2), np.uint8))
    preview.remove()
    preview.remove()
    preview.show_slice(4, (0, 0), np.ones((2, 2), np.uint8))
    assert _ids(a_desk) == before
    assert not a_desk.content(organ).any()


def test_a_closed_scene_is_no_error(a_desk) -> None:
    preview = ResultPreview(a_desk.scene, a_desk.segmentation, SliceGeometry.of(a_desk.volume, "axial"), TARGETS)
    a_desk.scene.Clear(False)
    preview.show_slice(4, (0, 0), np.ones((2, 2), np.uint8))
    preview.remove()
    assert preview.node is None


def test_leftovers_of_a_crashed_module_are_removed(a_desk) -> None:
    before = _ids(a_desk)
    slices = SliceGeometry.of(a_desk.volume, "axial")
    for _ in range(2):
        ResultPreview(a_desk.scene, a_desk.segmentation, slices, TARGETS).show_slice(
            1, (0, 0), np.ones((2, 2), np.uint8)
        )
    remove_leftover_previews(a_desk.scene)
    assert _ids(a_desk) == before


def _ids(desk: Desk) -> set[str]:
    return {desk.scene.GetNthNode(index).GetID() for index in range(desk.scene.GetNumberOfNodes())}
