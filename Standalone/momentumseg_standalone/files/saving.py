"""Nodes and scenes as files: written whole or not at all. Every failure is a `UserError` of one sentence."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk

from momentumseg.errors import MomentumSegError
from momentumseg.io.atomic import suffix_of
from momentumseg.io.checks import check_writable_output
from momentumseg_standalone.errors import UserError
from momentumseg_standalone.files.loading import SEGMENTATION_SUFFIX
from momentumseg_standalone.scene import SceneCore

_log = logging.getLogger(__name__)

SEGMENTATION_FILTERS = (
    "Segmentation (*.seg.nrrd)",
    "NIfTI label map (*.nii.gz)",
    "Surfaces, a file for each segment (*.stl)",
)
SCENE_FILTERS = ("Scene with its data in one file (*.mrb)", "Scene, data beside it (*.mrml)")


def save_segmentation(core: SceneCore, node: Any, path: Path, reference: Any = None) -> list[Path]:
    """Write a segmentation as .seg.nrrd, as a NIfTI label map or as STL surfaces, chosen by the ending.

    Args:
        core: the scene and its logics.
        node: vtkMRMLSegmentationNode.
        path: for .stl the name that the files of the segments begin with.
        reference: the volume whose geometry the label map gets; None for that of the segmentation.

    Returns:
        the written files.

    Raises:
        UserError: nothing to write, or it cannot be written.
    """
    if node.GetSegmentation().GetNumberOfSegments() == 0:
        raise UserError(f"{node.GetName()} has no segments; draw something before saving it.")
    if path.name.lower().endswith(SEGMENTATION_SUFFIX):
        return [_save_with(slicer.vtkMRMLSegmentationStorageNode(), node, path)]
    if suffix_of(path) == ".stl":
        return _save_surfaces(node, path)
    if suffix_of(path) in (".nii.gz", ".nii", ".nrrd", ".mha"):
        return [_save_label_map(core, node, path, reference)]
    raise UserError(f"{path.name} has an ending that cannot be written; use .seg.nrrd, .nii.gz or .stl.")


def save_scene(core: SceneCore, path: Path) -> None:
    """Write the scene with all its data.

    Raises:
        UserError: it cannot be written.
    """
    if suffix_of(path) not in (".mrb", ".mrml"):
        raise UserError(f"{path.name} has an ending that cannot be written; use .mrb or .mrml.")
    messages = slicer.vtkMRMLMessageCollection()
    if suffix_of(path) == ".mrb":
        with written_whole(path) as temporary:
            if not core.scene.WriteToMRB(str(temporary), None, messages):
                raise _not_written(path, messages)
        return
    _check(path)
    for node in _storable_nodes(core.scene):
        _save_beside(core.scene, node, path)
    core.scene.SetURL(str(path))
    if not core.scene.Commit(str(path), messages):
        raise _not_written(path, messages)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path of the same name in a temporary folder beside; the file takes its place when the block ends well.

    Raises:
        UserError: the folder cannot be written.
    """
    _check(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".", dir=path.parent))
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}; choose another folder.") from error
    try:
        yield folder / path.name
        os.replace(folder / path.name, path)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}; choose another folder.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(path: Path) -> None:
    try:
        check_writable_output(path, suffixes=None)
    except MomentumSegError as error:
        raise UserError(str(error)) from error


def _save_with(storage: Any, node: Any, path: Path) -> Path:
    with written_whole(path) as temporary:
        storage.SetFileName(str(temporary))
        if not storage.WriteData(node) or not temporary.is_file():
            raise UserError(f"{path} could not be written; the disk may be full or the folder gone.")
    return path


def _save_label_map(core: SceneCore, node: Any, path: Path, reference: Any) -> Path:
    colors_before = _node_ids(core.scene, "vtkMRMLColorNode")
    label_map = core.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "__saved__")
    ids = vtk.vtkStringArray()
    node.GetSegmentation().GetSegmentIDs(ids)
    try:
        logic = core.module_logics["Segmentations"]
        if not logic.ExportSegmentsToLabelmapNode(node, ids, label_map, reference):
            raise UserError(f"{node.GetName()} could not be made a label map; save it as .seg.nrrd instead.")
        return _save_with(slicer.vtkMRMLVolumeArchetypeStorageNode(), label_map, path)
    finally:
        display = label_map.GetDisplayNode()
        core.scene.RemoveNode(label_map)
        for node_id in _node_ids(core.scene, "vtkMRMLColorNode") - colors_before:
            core.scene.RemoveNode(core.scene.GetNodeByID(node_id))
        if display is not None and display.GetScene() is not None:
            core.scene.RemoveNode(display)


def _node_ids(scene: Any, class_name: str) -> set[str]:
    return {scene.GetNthNodeByClass(n, class_name).GetID() for n in range(scene.GetNumberOfNodesByClass(class_name))}


def _save_surfaces(node: Any, path: Path) -> list[Path]:
    """One STL file a segment, in RAS as Slicer's export writes by default (LPS)."""
    node.CreateClosedSurfaceRepresentation()
    segmentation, written = node.GetSegmentation(), []
    for segment_id in segmentation.GetSegmentIDs():
        surface = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation(segment_id, surface)
        if surface.GetNumberOfPoints() == 0:
            continue
        name = segmentation.GetSegment(segment_id).GetName()
        target = path.with_name(f"{path.stem}_{_file_name(name)}.stl")
        written.append(_write_surface(surface, target))
    if not written:
        raise UserError(f"{node.GetName()} is empty; draw something before saving surfaces.")
    return written


def _write_surface(surface: Any, target: Path) -> Path:
    to_lps = vtk.vtkTransform()
    to_lps.Scale(-1, -1, 1)
    turned = vtk.vtkTransformPolyDataFilter()
    turned.SetTransform(to_lps)
    turned.SetInputData(surface)
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputConnection(turned.GetOutputPort())
    writer = vtk.vtkSTLWriter()
    writer.SetFileTypeToBinary()
    writer.SetHeader("3D Slicer output. SPACE=LPS")  # what Slicer reads to know the axes
    writer.SetInputConnection(triangles.GetOutputPort())
    with written_whole(target) as temporary:
        writer.SetFileName(str(temporary))
        if not writer.Write():
            raise UserError(f"{target} could not be written; the disk may be full or the folder gone.")
    return target


def _file_name(text: str) -> str:
    return "".join(character if character.isalnum() or character in "-_ " else "_" for character in text).strip() or "_"


def _storable_nodes(scene: Any) -> list[Any]:
    nodes = [scene.GetNodeByID(node_id) for node_id in sorted(_node_ids(scene, "vtkMRMLStorableNode"))]
    return [node for node in nodes if node.GetSaveWithScene() and not node.GetHideFromEditors()]


def _save_beside(scene: Any, node: Any, path: Path) -> None:
    """Write a node's data into the folder of the scene's file, if it has changed or lies elsewhere."""
    if node.GetStorageNode() is None and not node.AddDefaultStorageNode():
        return
    storage = node.GetStorageNode()
    if storage is None:
        return
    folder = path.with_name(f"{path.stem} data")
    folder.mkdir(exist_ok=True)
    ending = storage.GetDefaultWriteFileExtension()
    target = folder / f"{_file_name(node.GetName())}.{ending}"
    storage.SetFileName(str(target))
    if not storage.WriteData(node):
        raise UserError(f"{target} could not be written; the disk may be full.")


def _not_written(path: Path, messages: Any) -> UserError:
    _log.error("Scene %s: %s", path, messages.GetAllMessagesAsString())
    return UserError(f"The scene could not be written to {path}; the disk may be full or the folder gone.")
