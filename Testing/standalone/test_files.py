"""Files in and out: dropped, loaded, saved, read back; and what users are told when that fails."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import vtk
from driving import segment_array, settle

AWKWARD = "Befund – Röntgen 'neu' 断層"  # spaces, quotes and letters of three scripts


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    folder = tmp_path / AWKWARD
    folder.mkdir()
    return folder


@pytest.fixture
def a_drawing(a_segmentation: Any, a_volume: Any) -> dict[str, np.ndarray]:
    """Two boxes in the segmentation."""
    import slicer

    boxes = {}
    for name, start in (("organ", 5), ("vessel", 25)):
        array = np.zeros((12, 40, 48), dtype=np.uint8)
        array[2:9, 10:20, start : start + 12] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, a_segmentation, name, a_volume)
        boxes[name] = array > 0
    return boxes


def write_image(path: Path, matrix: np.ndarray) -> np.ndarray:
    """Int16 image in RAS matrix ``matrix``; returns its voxels."""
    array = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    image = sitk.GetImageFromArray(array)
    lps = np.diag((-1.0, -1.0, 1.0, 1.0)) @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return array


def drop(window: Any, path: Path) -> None:
    from PySide6 import QtCore, QtGui, QtWidgets
    from PySide6.QtCore import Qt

    data = QtCore.QMimeData()
    data.setUrls([QtCore.QUrl.fromLocalFile(str(path))])
    place, action = QtCore.QPoint(700, 400), Qt.DropAction.CopyAction
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QtGui.QDragEnterEvent(place, action, data, buttons, keys)
    QtWidgets.QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    QtWidgets.QApplication.sendEvent(window, QtGui.QDropEvent(QtCore.QPointF(place), action, data, buttons, keys))
    settle()


def volumes() -> list[Any]:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_dropped_image_is_loaded_and_shown(an_app: Any, a_folder: Path, a_geometry: np.ndarray, ending: str):
    import slicer

    path = a_folder / f"Kopf {AWKWARD}{ending}"
    array = write_image(path, a_geometry)
    drop(an_app.window, path)
    (node,) = volumes()
    assert node.GetName() == f"Kopf {AWKWARD}"
    assert np.array_equal(slicer.util.arrayFromVolume(node), array)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), a_geometry)
    shown = an_app.layout_manager.sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID()
    assert shown == node.GetID()


def test_dropped_folder_of_dicom_files_has_the_right_geometry(an_app: Any, a_folder: Path):
    import slicer

    array = write_dicom_series(a_folder)
    drop(an_app.window, a_folder)
    (node,) = volumes()
    assert np.array_equal(slicer.util.arrayFromVolume(node), array)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    expected = np.diag((-0.5, -0.75, 3.0, 1.0))
    expected[:3, 3] = (10, -20, 30)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), expected)


def write_dicom_series(folder: Path) -> np.ndarray:
    """Four slices of 0.5 x 0.75 x 3 mm, whose files are not in the order of their positions."""
    array = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    for index, name in enumerate(("c", "a", "d", "b")):
        image = sitk.GetImageFromArray(array[index][None])
        image.SetSpacing((0.5, 0.75, 3.0))
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        tags = {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.3.4.{index + 1}",
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4",
            "0020|0013": str(index + 1),
            "0020|0032": f"-10\\20\\{30 + 3 * index}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }
        image.SetOrigin((-10, 20, 30 + 3 * index))
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{name}.dcm"))
        writer.Execute(image)
    return array


def damaged(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.nii.gz"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no image", encoding="utf-8")
    elif kind == "truncated":
        image = sitk.GetImageFromArray(np.random.default_rng(1).integers(0, 999, (20, 30, 40)).astype(np.int16))
        sitk.WriteImage(image, str(path))
        content = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(content[: len(content) // 2]))
    elif kind == "unknown":
        path = folder / "notes.docx"
        path.write_bytes(b"PK\x03\x04")
    elif kind == "empty folder":
        path = folder / "nothing"
        path.mkdir()
    elif kind == "scene":
        path = folder / "scene.mrb"
        path.write_bytes(b"no zip")
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated", "unknown", "empty folder", "scene"])
def test_what_cannot_be_loaded_is_one_sentence_and_changes_nothing(
    an_app: Any, a_volume: Any, a_folder: Path, kind: str, caplog: pytest.LogCaptureFixture
):
    path = damaged(a_folder, kind)
    before = an_app.core.scene.GetNumberOfNodes()
    an_app.window._files.load([path])
    told = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    assert path.name in told[0]
    assert told[0].endswith(".") and "Traceback" not in told[0] and "\n" not in told[0]
    assert an_app.core.scene.GetNumberOfNodes() == before
    assert volumes() == [a_volume]


def test_segmentation_file_keeps_segments_and_voxels(
    an_app: Any, a_drawing: Any, a_segmentation: Any, a_volume: Any, a_folder: Path
):
    from momentumseg_standalone.files.loading import load_path
    from momentumseg_standalone.files.saving import save_segmentation

    path = a_folder / "drawn.seg.nrrd"
    assert save_segmentation(an_app.core, a_segmentation, path) == [path]
    assert [file.name for file in a_folder.iterdir()] == ["drawn.seg.nrrd"]
    node = load_path(an_app.core, path, print)
    names = [node.GetSegmentation().GetSegment(i).GetName() for i in node.GetSegmentation().GetSegmentIDs()]
    assert names == ["organ", "vessel"]
    for name, expected in a_drawing.items():
        assert np.array_equal(
            segment_array(node, node.GetSegmentation().GetSegmentIdBySegmentName(name), a_volume), expected
        )


def test_label_map_has_the_volumes_grid(
    an_app: Any, a_drawing: Any, a_segmentation: Any, a_volume: Any, a_folder: Path, a_geometry: Any
):
    from momentumseg.io.read import read_labelmap
    from momentumseg_standalone.files.saving import save_segmentation

    nodes = an_app.core.scene.GetNumberOfNodes()
    path = a_folder / "labels.nii.gz"
    save_segmentation(an_app.core, a_segmentation, path, a_volume)
    written = read_labelmap(path)
    expected = a_drawing["organ"] * 1 + a_drawing["vessel"] * 2
    assert np.array_equal(written.array, expected)
    assert np.allclose(written.ijk_to_ras, a_geometry, atol=1e-4)
    assert an_app.core.scene.GetNumberOfNodes() == nodes


def test_surfaces_lie_where_the_segments_are(
    an_app: Any, a_drawing: Any, a_segmentation: Any, a_folder: Path, a_geometry: Any
):
    from momentumseg_standalone.files.saving import save_segmentation

    files = save_segmentation(an_app.core, a_segmentation, a_folder / "surface.stl")
    assert [file.name for file in files] == ["surface_organ.stl", "surface_vessel.stl"]
    for file, name in zip(files, a_drawing, strict=True):
        reader = vtk.vtkSTLReader()
        reader.SetFileName(str(file))
        reader.Update()
        bounds = np.array(reader.GetOutput().GetBounds()).reshape(3, 2)
        voxels = np.argwhere(a_drawing[name])[:, ::-1]
        ras = np.c_[voxels, np.ones(len(voxels))] @ a_geometry.T
        lps = ras[:, :3] * (-1, -1, 1)
        assert np.allclose(bounds.mean(axis=1), (lps.min(axis=0) + lps.max(axis=0)) / 2, atol=0.8)
        assert (bounds[:, 1] - bounds[:, 0] > 0.7 * (lps.max(axis=0) - lps.min(axis=0))).all()


@pytest.mark.parametrize("ending", [".mrb", ".mrml"])
def test_scene_comes_back_with_its_data(
    an_app: Any, a_drawing: Any, a_segmentation: Any, a_volume: Any, a_folder: Path, ending: str
):
    import slicer

    from momentumseg_standalone.files.loading import load_path
    from momentumseg_standalone.files.saving import save_scene

    voxels = slicer.util.arrayFromVolume(a_volume).copy()
    path = a_folder / f"case{ending}"
    save_scene(an_app.core, path)
    an_app.core.scene.Clear(False)
    assert volumes() == []
    load_path(an_app.core, path, print)
    volume, segmentation = volumes()[0], slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert np.array_equal(slicer.util.arrayFromVolume(volume), voxels)
    for name, expected in a_drawing.items():
        assert np.array_equal(segment_array(segmentation, name, volume), expected)


@pytest.mark.parametrize("name", ["seg.docx", "missing/seg.seg.nrrd"])
def test_what_cannot_be_saved_is_one_sentence(
    an_app: Any, a_drawing: Any, a_segmentation: Any, a_folder: Path, name: str
):
    from momentumseg_standalone.errors import UserError
    from momentumseg_standalone.files.saving import save_segmentation

    with pytest.raises(UserError, match=r"^[^\n]*\.$"):
        save_segmentation(an_app.core, a_segmentation, a_folder / name)
    assert list(a_folder.iterdir()) == []


def test_older_file_stays_when_saving_fails(
    an_app: Any, a_drawing: Any, a_segmentation: Any, a_folder: Path, monkeypatch: Any
):
    import slicer

    from momentumseg_standalone.errors import UserError
    from momentumseg_standalone.files.saving import save_segmentation

    path = a_folder / "drawn.seg.nrrd"
    save_segmentation(an_app.core, a_segmentation, path)
    before = path.read_bytes()
    storage = slicer.vtkMRMLSegmentationStorageNode

    class Failing(storage):  # type: ignore[misc, valid-type]
        def WriteData(self, node: Any) -> int:
            return 0

    monkeypatch.setattr(slicer, "vtkMRMLSegmentationStorageNode", Failing)
    with pytest.raises(UserError):
        save_segmentation(an_app.core, a_segmentation, path)
    assert path.read_bytes() == before
    assert [file.name for file in a_folder.iterdir()] == ["drawn.seg.nrrd"]


def test_slicers_own_functions_load_and_save(an_app: Any, a_folder: Path, a_geometry: Any):
    import slicer

    path = a_folder / "a volume.nrrd"
    array = write_image(path, a_geometry)
    node = slicer.util.loadVolume(str(path), {"show": False})
    assert np.array_equal(slicer.util.arrayFromVolume(node), array)
    copy = a_folder / "copy.nrrd"
    assert slicer.util.saveNode(node, str(copy))
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(copy))), array)
    with pytest.raises(RuntimeError, match="does not exist"):
        slicer.util.loadVolume(str(a_folder / "nothing.nrrd"))
