"""The main window: menus, tool bars, the module panel, the views and the data probe."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt

from momentumseg_standalone import icons
from momentumseg_standalone.application import APPLICATION_NAME
from momentumseg_standalone.data_probe import DataProbe
from momentumseg_standalone.file_actions import FileActions
from momentumseg_standalone.module_panel import ModulePanel, qSlicerModuleSelectorToolBar
from momentumseg_standalone.mouse_modes import MouseModes
from momentumseg_standalone.scene import SceneCore

# Text, icon, key and what is done.
Entries = tuple[tuple[str, str, Any, Callable[[], Any]], ...]

_SIZE = QtCore.QSize(1400, 900)
_LAYOUTS = (
    ("Four-up", "SlicerLayoutFourUpView"),
    ("Conventional", "SlicerLayoutConventionalView"),
    ("Conventional, wide screen", "SlicerLayoutConventionalWidescreenView"),
    ("Three slices over three", "SlicerLayoutThreeOverThreeView"),
    ("Axial only", "SlicerLayoutOneUpRedSliceView"),
    ("Sagittal only", "SlicerLayoutOneUpYellowSliceView"),
    ("Coronal only", "SlicerLayoutOneUpGreenSliceView"),
    ("3D only", "SlicerLayoutOneUp3DView"),
    ("Four-up with plot", "SlicerLayoutFourUpPlotView"),
    ("Plot only", "SlicerLayoutOneUpPlotView"),
)


class MainWindow(QtWidgets.QMainWindow):
    """The application's window; `slicer.util.mainWindow()` finds it by its object name.

    Args:
        core: the scene and its logics.
        layout_manager: qSlicerLayoutManager.
        module_manager: qSlicerModuleManager.
    """

    def __init__(self, core: SceneCore, layout_manager: Any, module_manager: Any) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle(APPLICATION_NAME)
        self.setAcceptDrops(True)
        self.resize(_SIZE)
        self._core, self._layout_manager = core, layout_manager
        self.setCentralWidget(layout_manager.viewport())
        self._files = FileActions(core, self)
        self._selector = qSlicerModuleSelectorToolBar(module_manager)
        self._panel = ModulePanel(module_manager)
        self._selector.moduleSelected.connect(self._panel.show_module)
        self._mouse_modes = MouseModes(core.application_logic)
        self._probe = DataProbe(core.scene, core.application_logic)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self._panel)
        self._make_menus()
        self.addToolBar(self._selector)
        self.addToolBar(self._mouse_modes)
        self.statusBar().addPermanentWidget(self._probe, 1)

    # Names of Slicer's class.

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    # Qt's events.

    def dragEnterEvent(self, event: QtGui.QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QtGui.QDropEvent) -> None:
        event.acceptProposedAction()
        self._files.load([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])

    def _make_menus(self) -> None:
        tools = self.addToolBar("Files")
        tools.setObjectName("FileToolBar")
        for entry in self._add_menu("&File", self._file_entries()):
            if entry.icon and not entry.icon.isNull():
                tools.addAction(entry)
        self._edit_actions = self._add_menu("&Edit", self._edit_entries())
        edit_tools = self.addToolBar("Edit")
        edit_tools.setObjectName("EditToolBar")
        edit_tools.addActions([action for action in self._edit_actions if not action.icon.isNull()])
        self._add_layout_menu()
        self._add_menu("&Help", (("About MomentumSeg", "", None, self._show_about),))

    def _file_entries(self) -> Entries:
        keys = QtGui.QKeySequence.StandardKey
        return (
            ("Load volume…", "open", keys.Open, self._files.choose_volume),
            ("Load DICOM folder…", "dicom", None, self._files.choose_dicom_folder),
            ("Load sample: generated abdomen", "", None, self._load_sample),
            ("Load segmentation…", "", None, self._files.choose_segmentation),
            ("Load scene…", "", None, self._files.choose_scene),
            ("Save segmentation…", "save", keys.Save, self._files.choose_where_to_save_segmentation),
            ("Save scene…", "", "Ctrl+Shift+S", self._files.choose_where_to_save_scene),
            ("Close scene", "", "Ctrl+W", self._files.close_scene),
            ("Exit", "", keys.Quit, self.close),
        )

    def _edit_entries(self) -> Entries:
        keys = QtGui.QKeySequence.StandardKey
        return (
            ("Undo", "undo", keys.Undo, lambda: self._with_editor("undo")),
            ("Redo", "redo", keys.Redo, lambda: self._with_editor("redo")),
            ("Settings…", "", keys.Preferences, self._show_settings),
        )

    def _add_menu(self, title: str, entries: Entries) -> list[QtGui.QAction]:
        menu = self.menuBar().addMenu(title)
        actions = []
        for text, icon, shortcut, slot in entries:
            action = menu.addAction(text)
            if icon:
                action.setIcon(icons.icon(icon))
            if shortcut is not None:
                action.setShortcut(QtGui.QKeySequence(shortcut))
            action.setToolTip(text.replace("…", ""))
            action.triggered.connect(lambda _=False, slot=slot: slot())
            actions.append(action)
        return actions

    def _add_layout_menu(self) -> None:
        menu = self.menuBar().addMenu("&View")
        group = QtGui.QActionGroup(self)
        node = self._core.layout_logic.GetLayoutNode()
        for text, name in _LAYOUTS:
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setData(getattr(node, name))
            group.addAction(action)
        group.triggered.connect(lambda action: self._layout_manager.setLayout(action.data()))
        self._layout_manager.layoutChanged.connect(lambda arrangement: _check(group, arrangement))
        menu.addSeparator()
        menu.addAction("Fit slices to the volume").triggered.connect(lambda: self._layout_manager.resetSliceViews())
        menu.addAction("Fit the 3D view").triggered.connect(lambda: self._layout_manager.resetThreeDViews())
        menu.addSeparator()
        menu.addAction(self._panel.toggleViewAction())

    def _with_editor(self, method: str) -> None:
        """Undo and redo belong to the segment editor that is in use."""
        for editor in self.findChildren(QtWidgets.QWidget, "qMRMLSegmentEditorWidget"):
            if editor.isVisible():
                getattr(editor, method)()
                return

    def _load_sample(self) -> None:
        """What 3D Slicer's Sample Data offers of the module without network."""
        if self._has_module():
            from MomentumSegLib.sample_data import load_phantom

            load_phantom()

    def _show_settings(self) -> None:
        """The page that the module has in 3D Slicer's settings, in a dialog of its own."""
        if not self._has_module():
            return
        from MomentumSegLib.settings_panel import SettingsPanel

        page = SettingsPanel()
        dialog = QtWidgets.QDialog(self)
        dialog.setObjectName("SettingsDialog")
        dialog.setWindowTitle("Settings")
        layout = QtWidgets.QVBoxLayout(dialog)
        layout.addWidget(page.widget)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(dialog.reject)
        layout.addWidget(buttons)
        dialog.finished.connect(lambda _: dialog.deleteLater())
        dialog._page = page  # answers the page's buttons
        dialog.open()

    def _has_module(self) -> bool:
        """Whether the module that samples and settings belong to is loaded; says so, if not."""
        if importlib.util.find_spec("MomentumSegLib") is not None:
            return True
        slicer.util.errorDisplay(f"The module MomentumSeg is not loaded: start {APPLICATION_NAME} with its modules.")
        return False

    def _show_about(self) -> None:
        QtWidgets.QMessageBox.about(
            self,
            f"About {APPLICATION_NAME}",
            f"{APPLICATION_NAME}: one drawn slice becomes the whole organ. "
            "Built on the libraries of 3D Slicer, VTK and Qt. Research software, not for clinical use.",
        )

    def _release(self) -> None:
        self._probe._release()
        self._mouse_modes._release()


def _check(group: QtGui.QActionGroup, arrangement: int) -> None:
    for action in group.actions():
        action.setChecked(action.data() == arrangement)
