"""The classes of the application that play classes of Slicer, made known to .ui files and under `slicer`."""

from __future__ import annotations

import slicer
from PySide6 import QtWidgets

from momentumseg_standalone import application, module_panel, modules
from momentumseg_standalone.files.io_manager import qSlicerIOManager
from momentumseg_standalone.pythonqt.registry import register_widget_class
from momentumseg_standalone.segment_editor.effect import qSlicerSegmentEditorAbstractEffect
from momentumseg_standalone.segment_editor.widget import qMRMLSegmentEditorWidget
from momentumseg_standalone.views.layout_manager import qSlicerLayoutManager
from momentumseg_standalone.views.plot_widget import qMRMLPlotWidget
from momentumseg_standalone.views.slice_view import qMRMLSliceView
from momentumseg_standalone.views.slice_widget import qMRMLSliceWidget
from momentumseg_standalone.views.three_d_view import qMRMLThreeDView
from momentumseg_standalone.views.three_d_widget import qMRMLThreeDWidget

# A test holds each of them against the names of the real class.
STAND_INS = {
    "qMRMLPlotWidget": qMRMLPlotWidget,
    "qMRMLSegmentEditorWidget": qMRMLSegmentEditorWidget,
    "qMRMLSliceView": qMRMLSliceView,
    "qMRMLSliceWidget": qMRMLSliceWidget,
    "qMRMLThreeDView": qMRMLThreeDView,
    "qMRMLThreeDWidget": qMRMLThreeDWidget,
    "qSlicerApplication": application.qSlicerApplication,
    "qSlicerIOManager": qSlicerIOManager,
    "qSlicerLayoutManager": qSlicerLayoutManager,
    "qSlicerLoadableModule": modules.qSlicerLoadableModule,
    "qSlicerModuleFactoryManager": modules.qSlicerModuleFactoryManager,
    "qSlicerModuleManager": modules.qSlicerModuleManager,
    "qSlicerModuleSelectorToolBar": module_panel.qSlicerModuleSelectorToolBar,
    "qSlicerScriptedLoadableModule": modules.qSlicerScriptedLoadableModule,
    "qSlicerScriptedLoadableModuleWidget": modules.qSlicerScriptedLoadableModuleWidget,
    "qSlicerSegmentEditorAbstractEffect": qSlicerSegmentEditorAbstractEffect,
}

# Those that a .ui file may name: they can be made with nothing but a parent.
_IN_UI_FILES = ("qMRMLSegmentEditorWidget",)


def register_stand_ins() -> None:
    """Called once, after `installation.install_all`."""
    for name, cls in STAND_INS.items():
        setattr(slicer, name, cls)
        if name in _IN_UI_FILES and issubclass(cls, QtWidgets.QWidget):
            register_widget_class(name, cls)
