"""The modules use no name that 3D Slicer does not have; planted mistakes show that the check can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import momentumseg_standalone

momentumseg_standalone.install()

import ui_usage  # noqa: E402

MODULES = Path(__file__).resolve().parents[2] / "SlicerMomentumSeg"

UI = """<ui version="4.0"><class>P</class><widget class="qMRMLWidget" name="P"><layout class="QVBoxLayout" name="outer">
<item><widget class="QPushButton" name="applyButton"><property name="text"><string>Apply</string></property>
 <property name="enabled"><bool>false</bool></property></widget></item>
<item><widget class="ctkSliderWidget" name="slider">
 <property name="maximum"><double>2.0</double></property></widget></item>
<item><widget class="QTableWidget" name="table"><property name="toolTip"><string>x</string></property></widget></item>
<item><widget class="qMRMLNodeComboBox" name="selector">
 <property name="SlicerParameterName" stdset="0"><string>volume</string></property></widget></item>
</layout></widget><connections><connection><sender>P</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>selector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""

CODE = """
import qt, ctk, slicer

class Panel:
    def __init__(self, ui):
        self.ui = ui
        self._timer = qt.QTimer()
        self._timer.setInterval(20)
        self._timer.connect("timeout()", self.poll)
        self.ui.applyButton.connect("clicked(bool)", self.on_apply)
        self.ui.slider.connect("valueChanged(double)", self.poll)
        self.ui.selector.setMRMLScene(slicer.mrmlScene)

    def poll(self):
        self._timer.active

    def on_apply(self):
        button = self.ui.applyButton
        button.enabled = False
        button.text = self.ui.selector.currentNodeID + str(self.ui.slider.value)
        node = self.ui.selector.currentNode()
        node.GetDisplayNode().SetVisibility(True)
        self.ui.table.setItem(0, 0, qt.QTableWidgetItem("x"))
        slicer.util.errorDisplay("no", windowTitle="x", detailedText="y")
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentation.CreateDefaultDisplayNodes()
        slicer.app.processEvents()
        box = ctk.ctkMessageBox()
        box.icon = qt.QMessageBox.Information
        dialog = qt.QDialog()
        dialog.exec_()
"""


def found(tmp_path: Path, code: str = CODE, ui: str = UI) -> list[str]:
    (tmp_path / "Panel.py").write_text(code, encoding="utf-8")
    (tmp_path / "Panel.ui").write_text(ui, encoding="utf-8")
    return [problem.text for problem in ui_usage.check(tmp_path)]


def test_the_modules_use_only_names_of_slicer() -> None:
    assert [str(problem) for problem in ui_usage.check(MODULES)] == []


def test_there_is_something_to_check() -> None:
    panel = ui_usage.Panel.of(MODULES)
    assert panel.widgets["applyButton"] == {"QPushButton"}
    assert len(list(MODULES.rglob("*.py"))) > 20


def test_right_code_has_no_problems(tmp_path: Path) -> None:
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("self.ui.slider.value)", "self.ui.slider.value())", "'value' of ctkSliderWidget is a property"),
        (
            "self.ui.selector.currentNodeID ",
            "self.ui.selector.currentNodeID() ",
            "'currentNodeID' of qMRMLNodeComboBox",
        ),
        ("button.enabled = False", "button.enabel = False", "QPushButton has no 'enabel'"),
        ("button.enabled = False", "button.isEnabled = False", "'isEnabled' is no property"),
        ("self.ui.applyButton.connect", "self.ui.applyButton.conect", "QPushButton has no 'conect'"),
        ("clicked(bool)", "clicked(int)", "QPushButton has no signal 'clicked(int)'"),
        ("valueChanged(double)", "valueChanged(int)", "ctkSliderWidget has no signal"),
        ("timeout()", "timedOut()", "QTimer has no signal 'timedOut()'"),
        ("self._timer.active", "self._timer.isRunning()", "QTimer has no 'isRunning'"),
        ("self._timer.active", "self._timer.active()", "'active' of QTimer is a property"),
        ("self.ui.slider.connect", "self.ui.slider.setMaximum(3); self.ui.slider.connect", "no 'setMaximum'"),
        ("self.ui.table.setItem", "self.ui.table.setCell", "QTableWidget has no 'setCell'"),
        ("qt.QTimer()", "qt.QTimerr()", "qt has no 'QTimerr'"),
        ("qt.QMessageBox.Information", "qt.QMessageBox.Info", "QMessageBox has no 'Info'"),
        ("ctk.ctkMessageBox()", "ctk.ctkMesageBox()", "ctk has no 'ctkMesageBox'"),
        ("slicer.util.errorDisplay", "slicer.util.showError", "slicer.util has no 'showError'"),
        ('windowTitle="x"', 'windowTitle="x"); slicer.util.loadUI("x", parent="y"', "takes no 'parent'"),
        ("slicer.app.processEvents", "slicer.app.processEvent", "qSlicerApplication has no 'processEvent'"),
        ("slicer.mrmlScene.AddNewNodeByClass", "slicer.mrmlScene.AddNodeByClass", "vtkMRMLScene has no"),
        ("segmentation.CreateDefaultDisplayNodes", "segmentation.CreateDisplayNodes", "vtkMRMLSegmentationNode has no"),
        ("SetVisibility(True)", "SetVisible(True)", "no class of VTK or MRML has 'SetVisible'"),
        ("slicer.mrmlScene)", "slicer.vtkMRMLSceneView())", "slicer has no 'vtkMRMLSceneView'"),
        ("slicer.util.errorDisplay", "slicer.util.executePythonModule('x', []); slicer.util.errorDisplay", "5.10"),
    ],
)
def test_planted_mistake_in_the_code_is_found(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CODE
    problems = found(tmp_path, code=CODE.replace(old, new))
    assert len(problems) >= 1
    assert any(message in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('class="ctkSliderWidget"', 'class="ctkSliderWiget"', "ctkSliderWiget, which 3D Slicer does not have"),
        ('name="maximum"', 'name="maximun"', "no property 'maximun'"),
        ("<bool>false</bool>", "<string>no</string>", "property 'enabled' has the type bool"),
        ("<signal>mrmlSceneChanged(", "<signal>sceneChanged(", "no signal 'sceneChanged"),
        ("<slot>setMRMLScene(", "<slot>setScene(", "no slot 'setScene"),
        ("<receiver>selector", "<receiver>selektor", "'selektor', which is no widget"),
    ],
)
def test_planted_mistake_in_the_ui_file_is_found(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in UI
    problems = found(tmp_path, ui=UI.replace(old, new), code="")
    assert any(message in problem for problem in problems), problems


def test_panel_binds_to_the_parameters(an_app: Any) -> None:
    """Every SlicerParameterName is a parameter, and its widget can show the parameter's type."""
    import slicer

    from MomentumSegLib.parameters import MomentumSegParameters

    widget = slicer.util.loadUI(str(MODULES / "Resources" / "UI" / "MomentumSeg.ui"))
    widget.setMRMLScene(slicer.mrmlScene)
    parameters = MomentumSegParameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))
    parameters.connectGui(widget)
    bound = {w.property("SlicerParameterName") for w in child_widgets(widget)} - {None}
    assert len(bound) > 3
    widget.delete()


def child_widgets(widget: Any) -> list[Any]:
    import qt

    return list(widget.findChildren(qt.QWidget))
