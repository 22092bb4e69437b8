from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image as png

from momentumseg.cli.figures import PLANES, display_arrays, render_result
from momentumseg.errors import GeometryError, InputError, OutputError
from momentumseg.volumes.volume import Volume

_ORIENTATIONS = [
    (permutation, signs)
    for permutation in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


@pytest.fixture(autouse=True)
def small_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of surfaces in full size take seconds; their quality is not what these tests are about."""
    monkeypatch.setattr("momentumseg.cli.figures._SURFACE_PIXELS", 96)


def _geometry(permutation: tuple[int, ...], signs: tuple[float, ...]) -> np.ndarray:
    """IJK-to-RAS of one of the 48 axis orders, 1 x 2 x 3 mm along RAS."""
    matrix = np.zeros((4, 4))
    for ijk, (ras, sign) in enumerate(zip(permutation, signs, strict=True)):
        matrix[ras, ijk] = sign * (1.0, 2.0, 3.0)[ras]
    matrix[3, 3] = 1
    return matrix


@pytest.mark.parametrize(("permutation", "signs"), _ORIENTATIONS)
def test_display_axes_run_to_head_back_and_left_whatever_the_order_of_the_file(
    permutation: tuple[int, ...], signs: tuple[float, ...]
) -> None:
    matrix = _geometry(permutation, signs)
    k, j, i = np.meshgrid(range(4), range(5), range(6), indexing="ij")
    ras = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ matrix.T
    for patient, display, direction in ((2, 0, 1), (1, 1, -1), (0, 2, -1)):
        volume = Volume(ras[..., patient].astype(np.float32), matrix)

        shown = display_arrays(volume, volume)

        steps = np.diff(shown.image, axis=display)
        np.testing.assert_allclose(steps, direction * (1.0, 2.0, 3.0)[patient])
        assert shown.spacing == (3.0, 2.0, 1.0)


@pytest.mark.parametrize("plane", PLANES)
def test_slice_numbers_of_the_volume_are_found_in_the_display(plane: str, a_phantom_volume: Volume) -> None:
    arrays = display_arrays(a_phantom_volume, a_phantom_volume)
    axis = {"axial": 0, "coronal": 1, "sagittal": 2}[plane]  # the phantom's (K, J, I) are its axial, ... slices

    shown = arrays.section(arrays.image, plane, arrays.display_index(plane, 7))

    expected = np.take(a_phantom_volume.array, 7, axis=axis)
    assert sorted(shown.ravel()) == sorted(expected.ravel())


def test_head_and_front_are_up_and_the_patients_right_is_on_the_left(a_phantom_volume: Volume) -> None:
    i, j, k = 40, 3, 10  # to the patient's left, front and head (see a_geometry)
    marked = np.zeros(a_phantom_volume.shape, dtype=np.int16)
    marked[k, j, i] = 1
    arrays = display_arrays(a_phantom_volume.like(marked), a_phantom_volume.like(marked))

    axial = arrays.section(arrays.image, "axial", arrays.display_index("axial", k))
    coronal = arrays.section(arrays.image, "coronal", arrays.display_index("coronal", j))
    sagittal = arrays.section(arrays.image, "sagittal", arrays.display_index("sagittal", i))

    assert np.argwhere(axial).tolist() == [[j, i]]
    assert np.argwhere(coronal).tolist() == [[12 - 1 - k, i]]
    assert np.argwhere(sagittal).tolist() == [[12 - 1 - k, j]]


def test_picture_is_written_and_shows_the_colours_of_its_labels(
    tmp_path: Path, a_phantom_volume: Volume, a_phantom_labelmap: Volume
) -> None:
    uncertainty = a_phantom_volume.like(np.full(a_phantom_volume.shape, 0.3, dtype=np.float32))
    path = tmp_path / "picture.png"

    render_result(
        a_phantom_volume, a_phantom_labelmap, uncertainty, [6], path, "Phantom", label_names={1: "ball"},
        reference=a_phantom_labelmap,
    )  # fmt: skip

    picture = png.imread(path)[..., :3]
    assert min(picture.shape[:2]) > 1000
    for colour in ((0x1F, 0xC7, 0xB6), (0xFF, 0xB4, 0x54), (0xFF, 0xE0, 0x66)):  # two labels, the drawn slice's frame
        assert (np.abs(picture - np.array(colour) / 255).max(axis=2) < 0.02).sum() > 200
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("plane", PLANES)
def test_picture_needs_neither_drawn_slices_nor_uncertainty_nor_labels(
    plane: str, tmp_path: Path, a_phantom_volume: Volume
) -> None:
    nothing = a_phantom_volume.like(np.zeros(a_phantom_volume.shape, dtype=np.uint8))

    render_result(a_phantom_volume, nothing, None, [], tmp_path / "empty.png", "Nothing", plane=plane)

    assert (tmp_path / "empty.png").stat().st_size > 10_000


def test_picture_of_one_slice(tmp_path: Path, a_geometry: np.ndarray) -> None:
    pixels = np.random.default_rng(0).random((1, 20, 24)).astype(np.float32)
    labels = np.zeros((1, 20, 24), dtype=np.uint8)
    labels[0, 5:12, 6:15] = 3

    volume = Volume(pixels, a_geometry)
    render_result(volume, volume.like(labels), None, [0], tmp_path / "slice.png", "One slice")

    assert (tmp_path / "slice.png").is_file()


def test_other_geometry_is_refused(tmp_path: Path, a_phantom_volume: Volume, a_geometry: np.ndarray) -> None:
    other = Volume(np.zeros((3, 4, 5), dtype=np.uint8), a_geometry)

    with pytest.raises(GeometryError, match="one geometry"):
        render_result(a_phantom_volume, other, None, [], tmp_path / "picture.png", "")


def test_unknown_plane_is_refused(tmp_path: Path, a_phantom_volume: Volume) -> None:
    with pytest.raises(InputError, match="oblique"):
        render_result(a_phantom_volume, a_phantom_volume, None, [], tmp_path / "picture.png", "", plane="oblique")


def test_missing_folder_is_said_in_words(tmp_path: Path, a_phantom_volume: Volume) -> None:
    nothing = a_phantom_volume.like(np.zeros(a_phantom_volume.shape, dtype=np.uint8))

    with pytest.raises(OutputError, match="does not exist"):
        render_result(a_phantom_volume, nothing, None, [], tmp_path / "nowhere" / "picture.png", "")
