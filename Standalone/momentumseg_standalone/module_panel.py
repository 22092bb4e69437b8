"""The panel on the left: a list of modules and the panel of the chosen one."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from momentumseg_standalone.modules import qSlicerScriptedLoadableModule
from momentumseg_standalone.pythonqt.rules import stand_in

_WIDTH = 400


@stand_in
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """The list of modules; `slicer.util.selectModule` uses it."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, manager: Any) -> None:
        super().__init__("Modules")
        self.setObjectName("ModuleSelectorToolBar")
        self._manager = manager
        self._selected = ""
        self._combo = QtWidgets.QComboBox()
        self._combo.setToolTip("The module whose panel is shown")
        self._combo.setAccessibleName("Module")
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToContents)
        self._combo.activated.connect(lambda index: self.selectModule(self._combo.itemData(index)))
        label = QtWidgets.QLabel(" Module: ")
        label.setBuddy(self._combo)
        self.addWidget(label)
        self.addWidget(self._combo)

    selectedModule = QtCore.Property(str, lambda self: self._selected)

    def selectModule(self, name: str) -> None:
        if self._manager.module(name) is None:
            raise RuntimeError(f"There is no module {name}.")
        self._selected = name
        self._combo.setCurrentIndex(self._combo.findData(name))
        self.moduleSelected.emit(name)

    def _fill(self) -> None:
        for name in self._manager.modulesNames():
            module = self._manager.module(name)
            if isinstance(module, qSlicerScriptedLoadableModule) and not module.hidden:
                self._combo.addItem(module.title, name)


class ModulePanel(QtWidgets.QDockWidget):
    """Shows one module's panel in a scroll area, and tells modules when they are entered and left.

    Args:
        manager: qSlicerModuleManager.
    """

    def __init__(self, manager: Any) -> None:
        super().__init__("Module")
        self.setObjectName("PanelDockWidget")
        self.setFeatures(QtWidgets.QDockWidget.DockWidgetFeature.DockWidgetMovable)
        self._manager = manager
        self._shown: Any = None
        self._scroll = QtWidgets.QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self._scroll.setMinimumWidth(_WIDTH)
        self._scroll.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(self._scroll)

    def show_module(self, name: str) -> None:
        """Replace the panel by that of another module."""
        module = self._manager.module(name)
        widget = module.widgetRepresentation() if module else None
        if widget is self._shown or widget is None:
            return
        self._leave()
        self._scroll.setWidget(widget)
        self.setWindowTitle(module.title)
        widget.setMRMLScene(slicer.mrmlScene)
        self._shown = widget
        widget.enter()
        widget.show()

    def _leave(self) -> None:
        if self._shown is not None:
            self._shown.exit()
            self._scroll.takeWidget()
            self._shown = None
