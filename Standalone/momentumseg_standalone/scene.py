"""The scene of the stand-alone application: Slicer's own scene and logics, made in Slicer's order."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

# In the order of their dependencies. The terminologies' logic is left out: its JSON files are not in the wheel.
_MODULE_LOGICS = {
    "Units": "vtkSlicerUnitsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}

_LABEL_COLORS = 256

# Dark, so that a bright surface and its colours stand out; Slicer's own default is light blue.
_BACKGROUND_3D = ((0.11, 0.12, 0.14), (0.20, 0.22, 0.26))


@dataclass(frozen=True)
class SceneCore:
    """A scene with the logics that work on it.

    Attributes:
        scene: vtkMRMLScene.
        application_logic: vtkSlicerApplicationLogic.
        layout_logic: vtkMRMLLayoutLogic.
        module_logics: by name of the module.
    """

    scene: Any
    application_logic: Any
    layout_logic: Any
    module_logics: dict[str, Any]


def make_scene_core(temporary_folder: Path) -> SceneCore:
    """A new, empty scene.

    Args:
        temporary_folder: existing; scene bundles are unpacked there.
    """
    scene = slicer.vtkMRMLScene()
    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetTemporaryPath(str(temporary_folder))
    _set_home(application_logic, temporary_folder)
    _set_cache(scene, temporary_folder / "cache")
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    _set_defaults(scene)
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLApplicationLogic(application_logic)
    application_logic.SetColorLogic(colors)
    application_logic.SetModuleLogic("Colors", colors)
    colors.SetMRMLScene(scene)
    application_logic.SetMRMLScene(scene)
    logics = {"Colors": colors, **_make_module_logics(scene, application_logic)}
    layout_logic = slicer.vtkMRMLLayoutLogic()
    layout_logic.SetMRMLScene(scene)
    return SceneCore(scene, application_logic, layout_logic, logics)


def _make_module_logics(scene: Any, application_logic: Any) -> dict[str, Any]:
    logics = {}
    for name, class_name in _MODULE_LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name, logic)
        logics[name] = logic
    return logics


def _set_cache(scene: Any, folder: Path) -> None:
    """Scene bundles are unpacked into the cache's folder, which must hold nothing else."""
    folder.mkdir(exist_ok=True)
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(folder))
    scene.SetCacheManager(cache)
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def _set_home(application_logic: Any, folder: Path) -> None:
    """Slicer reads colour tables from its home folder. Label maps and segments want these, which the wheel lacks."""
    colors = folder / "share" / "ColorFiles"
    colors.mkdir(parents=True, exist_ok=True)
    for name in ("GenericColors.txt", "GenericAnatomyColors.txt"):
        (colors / name).write_text(_color_table(), encoding="ascii")
    application_logic.SetHomeDirectory(str(folder))
    application_logic.SetShareDirectory("share")


def _color_table() -> str:
    """Slicer's text format: number, name, red, green, blue, opacity. Hues a golden angle apart differ well."""
    lines = ["0 Background 0 0 0 0"]
    for index in range(1, _LABEL_COLORS):
        red, green, blue = colorsys.hsv_to_rgb((index * 0.618034 + 0.3) % 1, 0.55, 0.9)
        lines.append(f"{index} label_{index} {round(255 * red)} {round(255 * green)} {round(255 * blue)} 255")
    return "\n".join(lines) + "\n"


def _set_defaults(scene: Any) -> None:
    """Defaults that also hold after the scene was closed."""
    view = scene.CreateNodeByClass("vtkMRMLViewNode")
    view.UnRegister(None)
    view.SetBackgroundColor(*_BACKGROUND_3D[0])
    view.SetBackgroundColor2(*_BACKGROUND_3D[1])
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    view.SetOrientationMarkerType(view.OrientationMarkerTypeAxes)
    view.SetOrientationMarkerSize(view.OrientationMarkerSizeSmall)
    scene.AddDefaultNode(view)
