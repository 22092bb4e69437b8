"""The running application: scene, `slicer.app`, `slicer.modules`, window and modules, put together."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import momentumseg_standalone.installation as installation

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "SlicerMomentumSeg"


class Host:
    """Made by `start_host`; ended by `stop`.

    Attributes:
        core: the scene and its logics.
        app: what modules know as `slicer.app`.
        window: the main window.
        layout_manager: the views.
    """

    def __init__(self, *, testing: bool, module_folders: list[Path]) -> None:
        import slicer

        from momentumseg_standalone import application, main_window, modules, scene
        from momentumseg_standalone.files.io_manager import qSlicerIOManager
        from momentumseg_standalone.views.layout_manager import qSlicerLayoutManager

        self._folder = Path(tempfile.mkdtemp(prefix="momentumseg-"))
        self.core = scene.make_scene_core(self._folder)
        slicer.mrmlScene = self.core.scene
        self.modules = slicer.modules = modules.Modules()
        slicer.moduleNames = modules.ModuleNames()
        self.app = slicer.app = application.qSlicerApplication(self.core, self._folder, testing=testing)
        self.module_manager = self.app._module_manager = modules.qSlicerModuleManager()
        self.app._io_manager = qSlicerIOManager(self.core)
        for name, logic in self.core.module_logics.items():
            self.module_manager._add(name, modules.qSlicerLoadableModule(name, logic))
        self.layout_manager = qSlicerLayoutManager(self.core)
        self.app.setLayoutManager(self.layout_manager)
        self.window = main_window.MainWindow(self.core, self.layout_manager, self.module_manager)
        self.layout_manager.setLayout(self.core.layout_logic.GetLayoutNode().SlicerLayoutFourUpView)
        self.loaded = [name for folder in module_folders for name in modules.load_folder(folder, self.module_manager)]
        self.window._selector._fill()

    def show(self, module: str | None = None) -> None:
        """Show the window and, in it, the panel of a module."""
        self.window.show()
        if module is not None:
            self.window.moduleSelector().selectModule(module)
        self.app.startupCompleted.emit()

    def stop(self) -> None:
        """End everything in the reverse order; afterwards the object is of no use."""
        self.window._panel._leave()
        self.module_manager._unload_all()
        self.window.close()
        self.window.setObjectName("")  # `slicer.util.mainWindow()` must not find it any more
        self.window._release()
        self.layout_manager._release()
        self.core.scene.Clear(True)
        shutil.rmtree(self._folder, ignore_errors=True)


def start_host(*, testing: bool = False, module_folders: list[Path] | None = None) -> Host:
    """Make Qt's application, install the modules `qt` and `ctk`, and make the host.

    Args:
        testing: dialogs return at once and settings are kept apart.
        module_folders: folders with scripted modules; by default that of the extension.
    """
    _choose_graphics()
    installation.install_all()
    from PySide6 import QtWidgets

    from momentumseg_standalone.stand_ins import register_stand_ins

    register_stand_ins()

    if QtWidgets.QApplication.instance() is None:
        application = QtWidgets.QApplication(sys.argv[:1])
        application.setApplicationName("MomentumSeg")
        _applications.append(application)
    return Host(testing=testing, module_folders=[MODULE_FOLDER] if module_folders is None else module_folders)


_applications: list[object] = []  # Python must not delete it while Qt uses it


def _choose_graphics() -> None:
    """Without a display VTK draws by EGL: it finds that out by itself, but only after a warning."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
