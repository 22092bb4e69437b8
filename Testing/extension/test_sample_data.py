"""Sample data: what is registered, and that the generated abdomen is one."""

from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest
from application import SmallApplication
from scipy import ndimage

from MomentumSegLib import phantom


@pytest.fixture(scope="module")
def an_abdomen() -> phantom.Phantom:
    return phantom.generate_abdomen()


@pytest.fixture
def registered(an_application: SmallApplication, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What the module registers in Sample Data."""
    entries: list[dict] = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(**entry: object) -> None:
            entries.append(entry)

    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "SampleData", module)
    from MomentumSegLib import sample_data

    sample_data.register()
    return entries


def test_entries_have_what_sample_data_needs(registered: list[dict]) -> None:
    assert [entry["sampleName"] for entry in registered] == ["MomentumSegPhantom", "CTLiver", "MRHead"]
    assert {entry["category"] for entry in registered} == {"MomentumSeg"}
    for entry in registered:
        assert entry["nodeNames"] and entry["fileNames"].endswith(".nrrd") and entry["uris"]


def test_downloads_are_verified(registered: list[dict]) -> None:
    for entry in registered[1:]:
        digest = entry["checksums"].removeprefix("SHA256:")
        assert re.fullmatch("[0-9a-f]{64}", digest)
        assert entry["uris"] == f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{digest}"


def test_generated_entry_has_a_picture_and_needs_no_network(registered: list[dict]) -> None:
    from MomentumSegLib import sample_data

    entry = registered[0]
    assert entry["customDownloader"] is sample_data.load_phantom
    assert sample_data.PHANTOM_THUMBNAIL.is_file() and entry["thumbnailFileName"] == str(sample_data.PHANTOM_THUMBNAIL)
    assert "://" not in entry["uris"]


def test_application_without_sample_data_is_no_error(
    an_application: SmallApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MomentumSegLib import sample_data

    monkeypatch.setitem(sys.modules, "SampleData", None)
    sample_data.register()


def test_phantom_arrives_in_the_scene(
    an_application: SmallApplication, an_abdomen: phantom.Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    from MomentumSegLib import sample_data

    monkeypatch.setattr(slicer, "mrmlScene", slicer.vtkMRMLScene(), raising=False)
    (node,) = sample_data.load_phantom()
    (second,) = sample_data.load_phantom()
    assert (node.GetName(), second.GetName()) == ("Generated abdomen", "Generated abdomen_1")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), an_abdomen.voxels)
    matrix = slicer.vtkMRMLVolumeNode.GetIJKToRASMatrix
    ijk_to_ras = slicer.util.arrayFromVTKMatrix(_matrix_of(node, matrix))
    np.testing.assert_allclose(ijk_to_ras, an_abdomen.ijk_to_ras)
    display = node.GetScalarVolumeDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == sample_data.SOFT_TISSUE_WINDOW


def test_phantom_is_the_same_every_time_and_another_with_another_seed(an_abdomen: phantom.Phantom) -> None:
    np.testing.assert_array_equal(phantom.generate_abdomen().voxels, an_abdomen.voxels)
    assert (phantom.generate_abdomen(seed=3).labels != an_abdomen.labels).mean() > 0.005


@pytest.mark.parametrize(
    ("name", "millilitres"), [("liver", (800, 1800)), ("spleen", (90, 300)), ("left kidney", (90, 220))]
)
def test_organs_have_a_natural_size(an_abdomen: phantom.Phantom, name: str, millilitres: tuple[int, int]) -> None:
    volume = (an_abdomen.labels == _label(name)).sum() * np.prod(phantom.SPACING_MM) / 1000
    assert millilitres[0] <= volume <= millilitres[1]


@pytest.mark.parametrize("name", phantom.LABEL_NAMES.values())
def test_organs_are_in_one_piece_and_span_slices(an_abdomen: phantom.Phantom, name: str) -> None:
    mask = an_abdomen.labels == _label(name)
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())[1:]
    assert sizes.max() >= 0.99 * sizes.sum()
    assert mask.any(axis=(1, 2)).sum() >= 15


def test_organs_lie_on_their_sides(an_abdomen: phantom.Phantom) -> None:
    """Right is positive in RAS: a flipped volume would show the liver on the left."""
    sides = {name: _centre_ras(an_abdomen, name)[0] for name in phantom.LABEL_NAMES.values()}
    assert sides["liver"] > 30 and sides["right kidney"] > 30
    assert sides["spleen"] < -30 and sides["left kidney"] < -30
    assert _centre_ras(an_abdomen, "left kidney")[1] < _centre_ras(an_abdomen, "liver")[1], "kidneys lie at the back"


def test_values_are_hounsfield_units(an_abdomen: phantom.Phantom) -> None:
    voxels = an_abdomen.voxels
    assert voxels.dtype == np.int16
    assert abs(voxels[:, :5, :5].mean() + 1000) < 10
    assert abs(np.median(voxels[an_abdomen.labels == _label("liver")]) - 105) < 10


def _matrix_of(node, get):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    get(node, matrix)
    return matrix


def _label(name: str) -> int:
    return next(label for label, known in phantom.LABEL_NAMES.items() if known == name)


def _centre_ras(abdomen: phantom.Phantom, name: str) -> np.ndarray:
    centre = ndimage.center_of_mass(abdomen.labels == _label(name))
    return (abdomen.ijk_to_ras @ (*centre[::-1], 1))[:3]
