"""A .ui file becomes the widgets that it names, with their signals and properties, or is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PANEL = """<ui version="4.0"><class>Panel</class>
<widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="outer">
 <item><widget class="ctkCollapsibleButton" name="inputs"><property name="text"><string>Inputs</string></property>
  <property name="collapsed"><bool>true</bool></property>
  <layout class="QFormLayout" name="form">
   <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="volumeSelector">
    <property name="nodeTypes"><stringlist notr="true"><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
    <property name="noneEnabled"><bool>true</bool></property>
    <property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property></widget></item>
   <item row="1" column="1"><widget class="ctkSliderWidget" name="threshold">
    <property name="maximum"><double>200.0</double></property><property name="value"><double>150.5</double></property>
    <property name="spinBoxAlignment"><set>Qt::AlignRight|Qt::AlignTop</set></property></widget></item>
   <item row="2" column="1"><widget class="ctkPathLineEdit" name="path">
    <property name="filters"><set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Readable</set></property></widget></item>
  </layout></widget></item>
 <item><widget class="QCheckBox" name="more"><property name="checked"><bool>true</bool></property></widget></item>
 <item><widget class="QPushButton" name="apply"><property name="text"><string>Apply</string></property></widget></item>
</layout></widget>
<connections>
 <connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>volumeSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>
 <connection><sender>more</sender><signal>toggled(bool)</signal><receiver>apply</receiver><slot>setEnabled(bool)</slot>
 </connection>
</connections></ui>"""


@pytest.fixture
def load(an_app: Any, tmp_path: Path) -> Any:
    import slicer

    def load_text(text: str) -> Any:
        file = tmp_path / "Panel mit Umlaut ä.ui"
        file.write_text(text, encoding="utf-8")
        return slicer.util.loadUI(str(file))

    return load_text


def test_widgets_have_the_classes_and_properties_of_the_file(load: Any) -> None:
    import ctk
    import slicer

    widget = load(PANEL)
    ui = slicer.util.childWidgetVariables(widget)
    assert type(widget) is slicer.qMRMLWidget
    assert type(ui.volumeSelector) is slicer.qMRMLNodeComboBox
    assert type(ui.threshold) is ctk.ctkSliderWidget
    assert (ui.inputs.text, ui.inputs.collapsed) == ("Inputs", True)
    assert (ui.volumeSelector.nodeTypes, ui.volumeSelector.noneEnabled) == (["vtkMRMLScalarVolumeNode"], True)
    assert (ui.threshold.value, ui.threshold.maximum, int(ui.threshold.spinBoxAlignment)) == (150.5, 200.0, 34)
    assert ui.path.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Readable
    assert ui.volumeSelector.property("SlicerParameterName") == "inputVolume"


def test_connections_of_the_file_are_made(load: Any) -> None:
    import slicer

    widget = load(PANEL)
    ui = slicer.util.childWidgetVariables(widget)
    widget.setMRMLScene(slicer.mrmlScene)
    assert ui.volumeSelector.mrmlScene() is slicer.mrmlScene
    ui.more.checked = False
    assert not ui.apply.enabled


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('class="QCheckBox"', 'class="ctkFancyBox"', r"ctkFancyBox \('more'\)"),
        ("toggled(bool)", "togled(bool)", "no signal 'togled"),
        ("setEnabled(bool)", "setEnabeld(bool)", "no slot"),
        ("<receiver>apply", "<receiver>aply", "'aply'"),
        ("</ui>", "", "not valid XML"),
    ],
)
def test_mistake_in_the_file_is_refused_in_words(load: Any, old: str, new: str, message: str) -> None:
    assert old in PANEL
    with pytest.raises((RuntimeError, ValueError), match=message):
        load(PANEL.replace(old, new))


def test_error_of_a_widget_class_reaches_the_caller(load: Any) -> None:
    from PySide6 import QtWidgets

    from momentumseg_standalone.pythonqt import registry

    class Broken(QtWidgets.QWidget):
        def __init__(self, parent: Any = None) -> None:
            super().__init__(parent)
            raise LookupError("no terminology")

    registry.register_widget_class("qSlicerBroken", Broken)
    with pytest.raises(LookupError, match="no terminology"):
        load(PANEL.replace('class="QCheckBox"', 'class="qSlicerBroken"'))


def test_missing_file_is_refused_in_words(an_app: Any, tmp_path: Path) -> None:
    import slicer

    with pytest.raises(RuntimeError, match="not found"):
        slicer.util.loadUI(str(tmp_path / "missing.ui"))
