from __future__ import annotations

import numpy as np
import pytest

from momentumseg.cli.surface import Camera, cast_rays, render_surfaces

_ISOTROPIC = (1.0, 1.0, 1.0)


def _ball(shape: tuple[int, int, int], radius: float, spacing: tuple[float, float, float] = _ISOTROPIC) -> np.ndarray:
    grid = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij")
    return np.sqrt(sum(axis**2 for axis in grid)) < radius


@pytest.mark.parametrize("azimuth", [0, 40, 90, 200])
@pytest.mark.parametrize("elevation", [-30, 0, 22])
def test_camera_axes_are_those_of_an_upright_picture(azimuth: float, elevation: float) -> None:
    right, down, away = Camera(azimuth, elevation).axes

    np.testing.assert_allclose(np.stack([right, down, away]) @ np.stack([right, down, away]).T, np.eye(3), atol=1e-12)
    assert right[0] == 0  # the horizon is level
    assert down[0] < 0  # the head is up


def test_camera_from_the_front_has_the_patients_left_on_its_right() -> None:
    right, _, away = Camera(0, 0).axes

    np.testing.assert_allclose(right, (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(away, (0, 1, 0), atol=1e-12)


def test_camera_from_the_left_has_the_front_on_its_left() -> None:
    right, _, away = Camera(90, 0).axes

    np.testing.assert_allclose(right, (0, 1, 0), atol=1e-12)
    np.testing.assert_allclose(away, (0, 0, -1), atol=1e-12)


@pytest.mark.parametrize("spacing", [_ISOTROPIC, (4.0, 1.0, 1.0), (1.0, 1.0, 3.0)])
def test_rays_meet_a_ball_where_it_is_and_normals_point_out_of_it(spacing: tuple[float, float, float]) -> None:
    shape = tuple(int(round(48 / size)) for size in spacing)
    ball = _ball(shape, 15.0, spacing)

    surfaces = cast_rays([ball], spacing, 64, Camera(30, 20))

    centre = (np.array(shape) - 1) / 2 * np.array(spacing)
    out = surfaces.position[surfaces.met] - centre
    distance = np.linalg.norm(out, axis=1)
    assert np.abs(np.median(distance) - 15) < 1.0
    assert np.percentile(np.abs(distance - 15), 95) < max(spacing)
    agreement = (surfaces.normal[surfaces.met] * out).sum(axis=1) / distance
    assert np.percentile(agreement, 10) > 0.8


def test_the_silhouette_of_a_ball_has_its_area() -> None:
    surfaces = cast_rays([_ball((48, 48, 48), 15.0)], _ISOTROPIC, 96, Camera(10, 35))

    area = surfaces.met.sum() * surfaces.view.pixel_mm**2
    assert area == pytest.approx(np.pi * 15**2, rel=0.05)


def test_the_nearer_of_two_structures_hides_the_other() -> None:
    front, back = np.zeros((2, 24, 40, 24), dtype=bool)
    front[6:18, 4:10, 6:18] = True
    back[6:18, 28:34, 6:18] = True

    surfaces = cast_rays([back, front], _ISOTROPIC, 48, Camera(0, 0))

    assert set(np.unique(surfaces.label[surfaces.met])) == {1}


def test_a_thin_sheet_is_met_by_every_ray() -> None:
    sheet = np.zeros((40, 40, 40), dtype=bool)
    sheet[5:35, 20:22, 5:35] = True

    surfaces = cast_rays([sheet], _ISOTROPIC, 80, Camera(0, 0))

    rows, columns = np.nonzero(surfaces.met)
    inner = surfaces.met[rows.min() + 4 : rows.max() - 4, columns.min() + 4 : columns.max() - 4]
    assert inner.all()


def test_projected_positions_fall_on_their_pixels() -> None:
    surfaces = cast_rays([_ball((32, 32, 32), 10.0)], _ISOTROPIC, 40, Camera(50, 25))
    rows, columns = np.nonzero(surfaces.met)

    column, row, depth = surfaces.view.project(surfaces.position[rows, columns]).T

    np.testing.assert_allclose(column, columns + 0.5, atol=1e-6)
    np.testing.assert_allclose(row, rows + 0.5, atol=1e-6)
    np.testing.assert_allclose(depth, surfaces.depth[rows, columns], atol=1e-6)


def test_picture_is_opaque_inside_and_transparent_outside() -> None:
    picture, _ = render_surfaces([_ball((32, 32, 32), 12.0)], _ISOTROPIC, [(0.2, 0.8, 0.7)], size=40)

    assert picture.shape == (40, 40, 4)
    assert picture[20, 20, 3] == 1
    assert picture[0, 0, 3] == 0
    assert picture[20, 20, 1] > picture[20, 20, 0]  # the colour of the structure
    assert np.isfinite(picture).all()


def test_nothing_is_drawn_of_empty_masks() -> None:
    picture, surfaces = render_surfaces([np.zeros((8, 8, 8), dtype=bool)], _ISOTROPIC, [(1, 0, 0)], size=16)

    assert not surfaces.met.any()
    assert not picture.any()


def test_a_single_voxel_and_a_mask_at_the_border_can_be_drawn() -> None:
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[0, 0, 0] = True
    slab = np.zeros((6, 6, 6), dtype=bool)
    slab[:, :, 5] = True

    picture, surfaces = render_surfaces([mask, slab], _ISOTROPIC, [(1, 0, 0), (0, 1, 0)], size=24)

    assert surfaces.met.any()
    assert np.isfinite(picture).all()
