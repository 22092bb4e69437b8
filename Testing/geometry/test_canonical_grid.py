"""The canonical grid and the way back, over all orders, obliquities, planes and spacings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from momentumseg.errors import GeometryError, InputError
from momentumseg.geometry.canonical_grid import CanonicalGrid
from momentumseg.geometry.network_space import PLANES, NetworkSpace

plane_names = st.sampled_from((*PLANES, "acquisition", "volume"))
shapes = st.tuples(*[st.integers(1, 14)] * 3)
spacings = st.tuples(*[st.sampled_from((None, 0.5, 1.0, 1.7, 4.0))] * 3)


@st.composite
def geometries(draw: st.DrawFn) -> np.ndarray:
    """IJK-to-RAS with any of the 48 orders, any rotation (often none), spacings of 0.3 to 8 mm."""
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from((1.0, -1.0))] * 3))
    angles = draw(st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(*[st.floats(-180, 180)] * 3)))
    spacing = draw(st.tuples(*[st.sampled_from((0.3, 0.7421875, 1.0, 2.5, 8.0))] * 3))
    matrix = np.eye(4)
    matrix[:3, :3] = (
        Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.eye(3)[:, order] * signs * spacing
    )
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return matrix


def some_labels(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)


def one_hot(labels: np.ndarray, classes: int = 4) -> np.ndarray:
    return np.stack([labels == value for value in range(classes)]).astype(np.float32)


@given(geometries(), shapes, plane_names)
def test_with_the_volumes_own_spacing_every_way_back_is_exact(matrix, shape, plane):
    grid = CanonicalGrid.of(shape, matrix, plane=plane)
    labels = some_labels(shape)
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert grid.is_copy
    forward = grid.forward_labels(labels)
    assert forward.shape == grid.shape
    assert forward.dtype == labels.dtype
    np.testing.assert_array_equal(grid.backward_labels(forward), labels)
    np.testing.assert_array_equal(grid.backward_probabilities(one_hot(forward)), one_hot(labels))
    np.testing.assert_array_equal(grid.backward_probabilities(grid.forward_image(image)[None])[0], image)


@given(geometries(), shapes, plane_names)
def test_the_order_is_that_of_network_slices(matrix, shape, plane):
    grid = CanonicalGrid.of(shape, matrix, plane=plane)
    slices = NetworkSpace.of(shape, matrix, "axial" if plane == "volume" else plane, size=1)
    axes = (slices.slice_axis, slices.rows.axis, slices.columns.axis)
    flips = (slices.slices_flipped, slices.rows.flipped, slices.columns.flipped)
    expected = np.flip(some_labels(shape).transpose(axes), [axis for axis, flipped in enumerate(flips) if flipped])
    np.testing.assert_array_equal(grid.forward_labels(some_labels(shape)), expected)
    assert grid.slice_axis == slices.slice_axis


@given(geometries(), shapes, plane_names, spacings)
def test_one_hot_labels_stay_probabilities_everywhere(matrix, shape, plane, spacing):
    grid = CanonicalGrid.of(shape, matrix, plane=plane, spacing=spacing)
    back = grid.backward_probabilities(one_hot(grid.forward_labels(some_labels(shape))))
    assert back.shape == (4, *shape)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back.sum(axis=0), 1, atol=1e-5)
    assert back.min() >= 0
    assert back.max() <= 1 + 1e-6


@given(geometries(), shapes, plane_names, spacings)
def test_labels_come_back_exactly_where_the_grid_is_not_coarser(matrix, shape, plane, spacing):
    grid = CanonicalGrid.of(shape, matrix, plane=plane, spacing=spacing)
    fine = [None if axis.scale > 1 else value for axis, value in zip(grid.axes, spacing, strict=True)]
    grid = CanonicalGrid.of(shape, matrix, plane=plane, spacing=fine)
    labels = some_labels(shape)
    np.testing.assert_array_equal(grid.backward_labels(grid.forward_labels(labels)), labels)


@given(geometries(), shapes, plane_names, spacings)
def test_an_image_stays_between_its_extremes(matrix, shape, plane, spacing):
    image = np.random.default_rng(3).normal(size=shape)
    grid = CanonicalGrid.of(shape, matrix, plane=plane, spacing=spacing)
    values = grid.forward_image(image)
    assert values.dtype == np.float32
    assert values.shape == grid.shape
    assert values.min() >= image.min() - 1e-5
    assert values.max() <= image.max() + 1e-5


@given(geometries(), plane_names, st.tuples(*[st.sampled_from((None, 0.8, 1.25))] * 3))
def test_a_smooth_probability_map_comes_back_nearly_the_same(matrix, plane, factors):
    shape = (20, 22, 24)
    k, j, i = np.ogrid[:20, :22, :24]
    smooth = (1 + np.sin(k / 5) * np.cos(j / 6) * np.cos(i / 7)).astype(np.float32) / 2
    own = CanonicalGrid.of(shape, matrix, plane=plane).spacing
    spacing = [None if factor is None else factor * mm for factor, mm in zip(factors, own, strict=True)]
    grid = CanonicalGrid.of(shape, matrix, plane=plane, spacing=spacing)
    back = grid.backward_probabilities(grid.forward_image(smooth)[None])[0]
    np.testing.assert_allclose(back, smooth, atol=0.05)
    assert np.abs(back - smooth).mean() < 0.01


def test_positions_are_right_to_a_part_of_a_voxel(an_axis_order):
    shape, spacing = (11, 12, 13), np.array((1.0, 1.5, 2.0))
    matrix = np.eye(4)
    matrix[:3, :3] = an_axis_order * spacing
    k, j, i = np.meshgrid(*map(np.arange, shape), indexing="ij")
    head = matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k  # mm towards the head
    grid = CanonicalGrid.of(shape, matrix, spacing=(0.9, 0.9, 0.9))
    values = grid.forward_image(head)
    assert grid.spacing == (0.9, 0.9, 0.9)
    # Slices go to the head in steps of the grid's spacing; rows and columns stay at one height.
    np.testing.assert_allclose(np.diff(values[2:-2], axis=0), 0.9, atol=1e-4)
    np.testing.assert_allclose(values, values[:, :1, :1] + np.zeros(values.shape), atol=1e-4)
    assert values.mean() == pytest.approx(head.mean(), abs=1e-3)


def test_a_coarser_grid_averages():
    noise = np.random.default_rng(4).normal(size=(40, 40, 40))
    coarse = CanonicalGrid.of(noise.shape, np.eye(4), spacing=(4, 4, 4)).forward_image(noise)
    assert coarse.shape == (10, 10, 10)
    assert coarse.std() < 0.2


def test_the_acquisition_plane_is_across_the_largest_spacing(a_geometry):
    matrix = a_geometry.copy()
    matrix[:3, :3] = np.diag((-1.0, -6.0, 1.0))
    grid = CanonicalGrid.of((12, 8, 14), matrix, plane="acquisition", spacing=(None, 2.0, 2.0))
    assert grid.plane == "coronal"
    assert grid.shape == (8, 6, 7)
    assert grid.spacing == (6.0, 2.0, 2.0)


def test_a_single_slice_stays_a_single_slice(a_geometry):
    grid = CanonicalGrid.of((1, 10, 10), a_geometry, spacing=(1.0, 3.0, 3.0))
    assert grid.shape == (1, 5, 5)
    assert grid.spacing[0] == 5.0


def test_spacings_that_differ_in_the_last_bits_are_copied():
    grid = CanonicalGrid.of((30, 256, 256), np.diag((1.25, 1.25, 7.7, 1)), spacing=(7.7, 1.2500001, 1.2499999))
    assert grid.is_copy


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.0, 1.0, 1.0), (1.0, float("nan"), 1.0), (1.0, -1.0, 1.0)])
def test_impossible_spacings_are_refused(a_geometry, spacing):
    with pytest.raises(InputError, match="three positive lengths in mm"):
        CanonicalGrid.of((4, 4, 4), a_geometry, spacing=spacing)


def test_an_unknown_plane_is_refused(a_geometry):
    with pytest.raises(InputError, match="no plane 'oblique'"):
        CanonicalGrid.of((4, 4, 4), a_geometry, plane="oblique")


def test_arrays_of_another_shape_are_refused(a_geometry):
    grid = CanonicalGrid.of((4, 5, 6), a_geometry)
    for call, array in (
        (grid.forward_image, np.zeros((4, 5, 5))),
        (grid.forward_labels, np.zeros((4, 5, 5), np.uint8)),
        (grid.backward_labels, np.zeros((4, 5, 5), np.uint8)),
        (grid.backward_probabilities, np.zeros((2, 4, 5, 5), np.float32)),
    ):
        with pytest.raises(GeometryError, match="does not belong to a grid"):
            call(array)
    with pytest.raises(GeometryError, match=r"are not \(classes, D, H, W\)"):
        grid.backward_probabilities(np.zeros((4, 5, 6), np.float32))
