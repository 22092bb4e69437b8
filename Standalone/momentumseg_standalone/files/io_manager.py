"""`slicer.app.coreIOManager()`: what `slicer.util.loadVolume`, `saveNode` and the like call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vtk
from PySide6 import QtCore

from momentumseg.io.atomic import suffix_of
from momentumseg_standalone.errors import UserError
from momentumseg_standalone.files.loading import SEGMENTATION_SUFFIX, load_scene, load_segmentation, load_volume
from momentumseg_standalone.files.saving import save_scene
from momentumseg_standalone.pythonqt.rules import stand_in
from momentumseg_standalone.scene import SceneCore

_SEGMENTATION, _VOLUME, _SCENE = "SegmentationFile", "VolumeFile", "SceneFile"

# File types that a storage node reads into a new node without further ado.
_NODE_CLASSES = {
    "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
    "ModelFile": "vtkMRMLModelNode",
    "TransformFile": "vtkMRMLTransformNode",
    "TableFile": "vtkMRMLTableNode",
    "TextFile": "vtkMRMLTextNode",
    "SequenceFile": "vtkMRMLSequenceNode",
    "ColorTableFile": "vtkMRMLColorTableNode",
}
_TYPE_OF_SUFFIX = {
    ".mrb": _SCENE,
    ".mrml": _SCENE,
    ".stl": "ModelFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".obj": "ModelFile",
    ".ply": "ModelFile",
    ".tfm": "TransformFile",
    ".h5": "TransformFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".txt": "TextFile",
    ".json": "MarkupsFile",
    ".ctbl": "ColorTableFile",
}


@stand_in
class qSlicerIOManager(QtCore.QObject):
    """Names of Slicer's class; what is ours has a leading underscore.

    Args:
        core: the scene and its logics.
    """

    newFileLoaded = QtCore.Signal("QVariantMap")
    fileSaved = QtCore.Signal("QVariantMap")

    def __init__(self, core: SceneCore) -> None:
        super().__init__()
        self._core = core

    def fileType(self, file_name: str) -> str:
        path = Path(str(file_name))
        if path.name.lower().endswith(SEGMENTATION_SUFFIX):
            return _SEGMENTATION
        if path.name.lower().endswith(".seq.nrrd"):
            return "SequenceFile"
        return _TYPE_OF_SUFFIX.get(suffix_of(path), _VOLUME)

    def loadNodes(self, file_type: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        """Load a file; the nodes go into ``loaded``, what went wrong into ``messages``."""
        path = Path(properties["fileName"])
        try:
            node = self._loader(file_type)(path, properties)
        except UserError as error:
            _tell(messages, str(error))
            return False
        if node is not None:
            if properties.get("name"):
                node.SetName(properties["name"])
            if loaded is not None:
                loaded.AddItem(node)
        self.newFileLoaded.emit(dict(properties))
        return True

    def fileWriterFileType(self, node: Any, *_: Any) -> str:
        if node.IsA("vtkMRMLSegmentationNode"):
            return _SEGMENTATION
        return next((kind for kind, name in _NODE_CLASSES.items() if node.IsA(name)), _VOLUME)

    def fileWriterExtensions(self, node: Any) -> list[str]:
        """Formats such as "NIfTI (.nii.gz)" that the node can be written in."""
        storage = node.CreateDefaultStorageNode()
        if storage is None:
            return []
        storage.UnRegister(None)
        types = storage.GetSupportedWriteFileTypes()
        return [types.GetValue(index) for index in range(types.GetNumberOfValues())]

    def extractKnownExtension(self, file_name: str, node: Any) -> str:
        lower = str(file_name).lower()
        known = {text.rpartition("(")[2].rstrip(")") for text in self.fileWriterExtensions(node)}
        return max((ending for ending in known if lower.endswith(ending)), key=len, default="")

    def saveNodes(self, file_type: str, properties: dict[str, Any], messages: Any = None) -> bool:
        path = Path(properties["fileName"])
        try:
            if file_type == _SCENE:
                save_scene(self._core, path)
            else:
                self._write(self._core.scene.GetNodeByID(properties["nodeID"]), path, properties, keep=True)
        except UserError as error:
            _tell(messages, str(error))
            return False
        self.fileSaved.emit(dict(properties))
        return True

    def saveScene(self, file_name: str, _screen_shot: Any = None, messages: Any = None) -> bool:
        return self.saveNodes(_SCENE, {"fileName": file_name}, messages)

    def loadScene(self, file_name: str, _clear: bool = True, messages: Any = None) -> bool:
        return self.loadNodes(_SCENE, {"fileName": file_name}, None, messages)

    def exportNodes(
        self, ids: list[str], names: list[str], properties: Any, harden: bool, messages: Any = None
    ) -> bool:
        """Write nodes without changing where the scene keeps them."""
        try:
            for node_id, name in zip(ids, names, strict=True):
                node = self._core.scene.GetNodeByID(node_id)
                self._write(node, Path(name), properties, keep=False, harden=harden)
        except UserError as error:
            _tell(messages, str(error))
            return False
        return True

    def addDefaultStorageNodes(self) -> None:
        for index in range(self._core.scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
            self._core.scene.GetNthNodeByClass(index, "vtkMRMLStorableNode").AddDefaultStorageNode()

    def _loader(self, file_type: str) -> Callable[[Path, dict[str, Any]], Any]:
        loaders = {
            _VOLUME: self._load_volume,
            _SEGMENTATION: lambda path, properties: load_segmentation(self._core, path),
            _SCENE: lambda path, properties: load_scene(self._core, path),
        }
        if file_type in loaders:
            return loaders[file_type]
        if file_type not in _NODE_CLASSES:
            raise UserError(f"Files of the type {file_type} cannot be loaded here.")
        return lambda path, properties: self._load_node(_NODE_CLASSES[file_type], path)

    def _load_volume(self, path: Path, properties: dict[str, Any]) -> Any:
        if not path.exists():
            raise UserError(f"{path} does not exist; check the path.")
        if properties.get("labelmap"):
            return self._load_label_map(path)
        return load_volume(self._core, path, lambda sentence: None, show=properties.get("show", True))

    def _load_label_map(self, path: Path) -> Any:
        node = self._load_node("vtkMRMLLabelMapVolumeNode", path)
        node.CreateDefaultDisplayNodes()
        return node

    def _load_node(self, class_name: str, path: Path) -> Any:
        node = self._core.scene.AddNewNodeByClass(class_name, path.stem)
        if node.AddDefaultStorageNode(str(path)) and node.GetStorageNode().ReadData(node):
            if hasattr(node, "CreateDefaultDisplayNodes"):
                node.CreateDefaultDisplayNodes()
            return node
        self._core.scene.RemoveNode(node)
        raise UserError(f"{path} could not be read; it is damaged or of another kind.")

    def _write(self, node: Any, path: Path, properties: Any, *, keep: bool, harden: bool = False) -> None:
        if node is None:
            raise UserError(f"What was to be saved to {path} is no longer in the scene.")
        storage = node.GetStorageNode() if keep else None
        if storage is None:
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            if keep:
                self._core.scene.AddNode(storage)
                node.SetAndObserveStorageNodeID(storage.GetID())
        storage.SetFileName(str(path))
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        written = _hardened(node) if harden else node
        if not storage.WriteData(written):
            raise UserError(f"{path} could not be written; the folder may be gone or the disk full.")


def _hardened(node: Any) -> Any:
    """A copy outside the scene, in world coordinates."""
    if not hasattr(node, "GetParentTransformNode") or node.GetParentTransformNode() is None:
        return node
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.Copy(node)
    general = vtk.vtkGeneralTransform()
    node.GetParentTransformNode().GetTransformToWorld(general)
    copy.ApplyTransform(general)
    return copy


def _tell(messages: Any, sentence: str) -> None:
    if messages is not None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, sentence)
