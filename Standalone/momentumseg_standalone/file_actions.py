"""What the File menu and drag and drop do: dialogs, loading and saving, and one sentence when it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.errors import UserError
from momentumseg_standalone.files import loading, saving
from momentumseg_standalone.scene import SceneCore

_log = logging.getLogger(__name__)
_FOLDER_SETTING = "Files/Folder"


class FileActions:
    """Loads and saves on the user's behalf.

    Args:
        core: the scene and its logics.
        window: parent of the dialogs; its status bar says what was done.
    """

    def __init__(self, core: SceneCore, window: QtWidgets.QMainWindow) -> None:
        self._core = core
        self._window = window

    # What menus call.

    def choose_volume(self) -> None:
        name, _ = QtWidgets.QFileDialog.getOpenFileName(
            self._window, "Load a volume", self._folder(), f"{loading.VOLUME_FILTER};;All files (*)"
        )
        self._load_chosen(name)

    def choose_dicom_folder(self) -> None:
        self._load_chosen(
            QtWidgets.QFileDialog.getExistingDirectory(self._window, "Load a folder of DICOM files", self._folder())
        )

    def choose_segmentation(self) -> None:
        name, _ = QtWidgets.QFileDialog.getOpenFileName(
            self._window, "Load a segmentation", self._folder(), "Segmentations (*.seg.nrrd *.nrrd *.nii *.nii.gz)"
        )
        if name:
            self._remember(Path(name))
            self.attempt(lambda: loading.load_segmentation(self._core, Path(name)), f"Loaded {Path(name).name}")

    def choose_scene(self) -> None:
        name, _ = QtWidgets.QFileDialog.getOpenFileName(
            self._window, "Load a scene", self._folder(), "Scenes (*.mrb *.mrml)"
        )
        self._load_chosen(name)

    def choose_where_to_save_segmentation(self) -> None:
        node = self.current_segmentation()
        if node is None:
            self.show_error("There is no segmentation in the scene; draw one before saving it.")
            return
        suggestion = str(Path(self._folder()) / f"{node.GetName()}.seg.nrrd")
        name, kind = QtWidgets.QFileDialog.getSaveFileName(
            self._window, "Save the segmentation", suggestion, ";;".join(saving.SEGMENTATION_FILTERS)
        )
        if name:
            path = with_ending(Path(name), kind)
            self._remember(path)
            self.attempt(lambda: saving.save_segmentation(self._core, node, path), f"Saved {path}")

    def choose_where_to_save_scene(self) -> None:
        name, kind = QtWidgets.QFileDialog.getSaveFileName(
            self._window, "Save the scene", str(Path(self._folder()) / "scene.mrb"), ";;".join(saving.SCENE_FILTERS)
        )
        if name:
            path = with_ending(Path(name), kind)
            self._remember(path)
            self.attempt(lambda: saving.save_scene(self._core, path), f"Saved {path}")

    def close_scene(self) -> None:
        if slicer.util.confirmOkCancelDisplay("Everything that is not saved will be lost. Close the scene?"):
            self._core.scene.Clear(False)

    def load(self, paths: Iterable[Path]) -> None:
        """Load files and folders one after the other; a failure does not keep the others from being loaded."""
        for path in paths:
            if path.suffix.lower() in loading.SCENE_SUFFIXES and not self._is_wanted_scene(path):
                continue
            self.attempt(
                lambda path=path: loading.load_path(self._core, path, self.show_warning), f"Loaded {path.name}"
            )

    def current_segmentation(self) -> Any:
        """The segmentation that was added last and that users see."""
        scene = self._core.scene
        count = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
        nodes = [scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode") for index in range(count)]
        shown = [node for node in nodes if not node.GetHideFromEditors()]
        return shown[-1] if shown else None

    # How it is told.

    def attempt(self, action: Callable[[], Any], done: str = "") -> bool:
        """Do something that takes a while; tell the user in a sentence that, or why not, it was done."""
        QtWidgets.QApplication.setOverrideCursor(QtCore.Qt.CursorShape.WaitCursor)
        try:
            action()
        except UserError as error:
            failure: str | None = str(error)
        except Exception:  # noqa: BLE001  # users get a sentence, the log the rest
            _log.exception("Unexpected failure")
            failure = "This did not work because of a mistake in MomentumSeg; the log has the details."
        else:
            failure = None
        finally:
            QtWidgets.QApplication.restoreOverrideCursor()
        if failure is None:
            self._window.statusBar().showMessage(done, 10_000)
        else:
            self.show_error(failure)
        return failure is None

    def show_error(self, sentence: str) -> None:
        self._window.statusBar().showMessage(sentence)
        slicer.util.errorDisplay(sentence)

    def show_warning(self, sentence: str) -> None:
        _log.warning(sentence)
        self._window.statusBar().showMessage(sentence)

    def _load_chosen(self, name: str) -> None:
        if name:
            self._remember(Path(name))
            self.load([Path(name)])

    def _is_wanted_scene(self, path: Path) -> bool:
        """Whether the file is a scene, and the user lets the present one go."""
        if not self.attempt(lambda: loading.check_is_scene(path)):
            return False
        if self._core.scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0:
            return True
        return bool(slicer.util.confirmOkCancelDisplay("The present scene will be closed. Load the other one?"))

    def _folder(self) -> str:
        return str(slicer.app.settings().value(_FOLDER_SETTING, str(Path.home())))

    def _remember(self, path: Path) -> None:
        slicer.app.settings().setValue(_FOLDER_SETTING, str(path.parent))


def with_ending(path: Path, name_filter: str) -> Path:
    """The path with the ending that the chosen filter names, unless the user wrote one of ours."""
    known = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".stl", ".mrb", ".mrml")
    if path.name.lower().endswith(known):
        return path
    return path.with_name(path.name + name_filter.rpartition("*")[2].rstrip(")"))
