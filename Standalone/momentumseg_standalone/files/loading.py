"""Files and folders as nodes of the scene. Every failure is a `UserError` of one sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk

from momentumseg.errors import MomentumSegError
from momentumseg.io.atomic import suffix_of
from momentumseg.io.formats import DICOM, JPEG, META, NIFTI, NRRD, PNG, format_of
from momentumseg.io.integrity import check_complete
from momentumseg.io.read import read_volume
from momentumseg.volumes.volume import Volume
from momentumseg_standalone.errors import UserError
from momentumseg_standalone.scene import SceneCore

_log = logging.getLogger(__name__)

Warn = Callable[[str], None]

SCENE_SUFFIXES = (".mrb", ".mrml")
SEGMENTATION_SUFFIX = ".seg.nrrd"
VOLUME_FILTER = "Images (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.ima *.png *.jpg *.jpeg)"

# Slicer's own readers keep the file with the node; the others are read by the engine's reader.
_READ_BY_SLICER = (NIFTI, NRRD, META)
_READ_BY_ENGINE = (DICOM, PNG, JPEG)


def load_path(core: SceneCore, path: Path, warn: Warn) -> Any:
    """Load whatever the path is: a scene, a segmentation, an image or a folder of DICOM files.

    Args:
        core: the scene and its logics.
        path: of a file or a folder.
        warn: called with a sentence for everything that was assumed.

    Returns:
        the node; None for a scene.

    Raises:
        UserError: it cannot be loaded.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; check the path.")
    if suffix_of(path) in SCENE_SUFFIXES:
        return load_scene(core, path)
    if path.name.lower().endswith(SEGMENTATION_SUFFIX):
        return load_segmentation(core, path)
    return load_volume(core, path, warn)


def load_volume(core: SceneCore, path: Path, warn: Warn, *, show: bool = True) -> Any:
    """A volume node of an image file or of a folder with a DICOM series; ``show`` puts it into the slice views.

    Raises:
        UserError: it cannot be read.
    """
    try:
        node = _read_volume_node(core, path, warn)
    except MomentumSegError as error:
        raise UserError(str(error)) from error
    if show:
        core.application_logic.GetSelectionNode().SetActiveVolumeID(node.GetID())
        core.application_logic.PropagateVolumeSelection()
    return node


def load_segmentation(core: SceneCore, path: Path) -> Any:
    """A segmentation node of a .seg.nrrd file, or of a label map with a segment for each label.

    Raises:
        UserError: it cannot be read.
    """
    node = core.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", node_name(path))
    node.CreateDefaultDisplayNodes()
    storage = slicer.vtkMRMLSegmentationStorageNode()
    core.scene.AddNode(storage)
    storage.SetFileName(str(path))
    with _Messages():
        done = storage.ReadData(node)
    if not done or node.GetSegmentation().GetNumberOfSegments() == 0:
        core.scene.RemoveNode(node)
        core.scene.RemoveNode(storage)
        raise UserError(f"{path} could not be read as a segmentation; give a .seg.nrrd file or a label map.")
    node.SetAndObserveStorageNodeID(storage.GetID())
    return node


def load_scene(core: SceneCore, path: Path) -> None:
    """Replace the scene by that of a .mrb or .mrml file.

    Raises:
        UserError: it cannot be read. The old scene is then gone, unless the file is no scene at all.
    """
    check_is_scene(path)
    messages = slicer.vtkMRMLMessageCollection()
    if suffix_of(path) == ".mrb":
        done = core.scene.ReadFromMRB(str(path), True, messages)
    else:
        core.scene.SetURL(str(path))
        done = core.scene.Connect(messages)
    if not done:
        _log.error("Scene %s: %s", path, messages.GetAllMessagesAsString())
        raise UserError(f"The scene {path} could not be read completely; it is damaged or files beside it are missing.")


def check_is_scene(path: Path) -> None:
    """Raise `UserError` for a file that is no scene, before the present scene is closed."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; check the path.")
    with path.open("rb") as file:
        start = file.read(1024)
    is_scene = start.startswith(b"PK") if suffix_of(path) == ".mrb" else b"<MRML" in start
    if not is_scene:
        raise UserError(f"{path} is no scene of 3D Slicer; choose another file.")


def _read_volume_node(core: SceneCore, path: Path, warn: Warn) -> Any:
    kind = DICOM if path.is_dir() else format_of(path)
    if kind in _READ_BY_ENGINE:
        return add_volume(core.scene, read_volume(path, on_warning=warn), node_name(path))
    if kind not in _READ_BY_SLICER:
        raise UserError(f"{path.name} cannot be read; load NIfTI, NRRD, MetaImage, DICOM, PNG or JPEG.")
    check_complete(path, kind)
    options = vtk.vtkStringArray()
    with _Messages():
        node = core.module_logics["Volumes"].AddArchetypeVolume(str(path), node_name(path), 0, options)
    if node is None or node.GetImageData() is None:
        read_volume(path)  # says in a sentence what is wrong, if it sees it too
        raise UserError(f"{path} could not be read; it is damaged, export it again.")
    return node


def add_volume(scene: Any, volume: Volume, name: str) -> Any:
    """A scalar volume node with the voxels (copied) and the geometry of ``volume``."""
    array = volume.array.view("uint8") if volume.array.dtype == bool else volume.array
    node = slicer.util.addVolumeFromArray(array, volume.ijk_to_ras, name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetDefaultColorMap()
    return node


def node_name(path: Path) -> str:
    """The file's name without the endings that say only its format."""
    name = path.name
    for ending in (SEGMENTATION_SUFFIX, suffix_of(path)):
        if ending and not path.is_dir() and name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


class _Messages:
    """Keeps VTK's messages out of the terminal while something may fail that we report ourselves."""

    def __enter__(self) -> None:
        self._shown = vtk.vtkObject.GetGlobalWarningDisplay()
        vtk.vtkObject.GlobalWarningDisplayOff()

    def __exit__(self, *_: object) -> None:
        vtk.vtkObject.SetGlobalWarningDisplay(self._shown)
