"""Attributes of Qt objects mean what they mean in 3D Slicer: properties first, and nothing that is not there."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def qt(an_app: Any) -> Any:
    import qt

    return qt


def test_property_is_read_and_written_without_parentheses(qt: Any) -> None:
    button = qt.QPushButton("Apply")
    assert button.text == "Apply"
    button.enabled = False
    assert not button.isEnabled()
    assert button.enabled is False


def test_property_hides_the_method_of_the_same_name(qt: Any) -> None:
    combo = qt.QComboBox()
    combo.addItems(["a", "b"])
    with pytest.raises(TypeError):
        combo.currentText()
    assert (combo.currentText, combo.count, combo.currentIndex) == ("a", 2, 0)


def test_setters_that_qt_has_stay(qt: Any) -> None:
    label = qt.QLabel()
    label.setText("x")
    label.setVisible(True)
    assert (label.text, label.visible) == ("x", True)


@pytest.mark.parametrize("name", ["enabel", "textt", "setTextt", "checkStateChanged", "emit"])
def test_unknown_name_cannot_be_read(qt: Any, name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(qt.QCheckBox("x"), name)


@pytest.mark.parametrize("name", ["enabel", "show", "clicked", "setText"])
def test_name_that_is_no_property_cannot_be_written(qt: Any, name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        setattr(qt.QPushButton("x"), name, True)


def test_read_only_property_cannot_be_written(qt: Any) -> None:
    with pytest.raises(AttributeError, match="childrenRect"):
        qt.QWidget().childrenRect = qt.QRect(0, 0, 1, 1)


@pytest.mark.parametrize(
    ("widget", "name", "value"),
    [
        ("QPushButton", "enabled", "yes"),
        ("QPushButton", "enabled", None),
        ("QPushButton", "text", 5),
        ("QPushButton", "text", None),
        ("QSpinBox", "value", "5"),
        ("QSpinBox", "value", 1.5),
        ("QDoubleSpinBox", "value", "1.5"),
        ("QLabel", "alignment", "AlignLeft"),
        ("QWidget", "font", "Sans"),
        ("QPushButton", "icon", "icon.png"),
        ("QWidget", "minimumSize", (3, 4)),
        ("QComboBox", "currentIndex", None),
    ],
)
def test_value_of_another_type_is_refused(qt: Any, widget: str, name: str, value: object) -> None:
    made = getattr(qt, widget)()
    before = getattr(made, name)
    with pytest.raises(ValueError, match=name):
        setattr(made, name, value)
    assert str(getattr(made, name)).split(" at ")[0] == str(before).split(" at ")[0]


@pytest.mark.parametrize(
    ("widget", "name", "value"),
    [
        ("QPushButton", "enabled", 0),
        ("QSpinBox", "value", True),
        ("QDoubleSpinBox", "value", 2),
        ("QLabel", "alignment", 0x84),
        ("QPushButton", "shortcut", "Ctrl+Z"),
        ("QLineEdit", "echoMode", 2),
    ],
)
def test_value_that_pythonqt_converts_is_taken(qt: Any, widget: str, name: str, value: object) -> None:
    setattr(getattr(qt, widget)(), name, value)


def test_enums_are_ints(qt: Any) -> None:
    assert qt.Qt.Key_A == 65
    assert qt.Qt.AlignRight | qt.Qt.AlignTop == 34
    assert isinstance(qt.QSizePolicy.Expanding, int)
    assert qt.QMessageBox.Ok == 0x400
    assert isinstance(qt.QSlider().orientation, int)


def test_classes_are_instantiated_derived_from_and_asked_for(qt: Any) -> None:
    class Panel(qt.QWidget):
        def __init__(self) -> None:
            qt.QWidget.__init__(self)
            self.answer = 42  # a module's own class takes attributes of its own

    panel = Panel()
    layout = qt.QVBoxLayout(panel)
    button = qt.QPushButton("x", panel)
    layout.addWidget(button)
    assert isinstance(panel, qt.QWidget)
    assert panel.answer == 42
    assert panel.findChildren(qt.QPushButton) == [button]
    assert isinstance(layout.itemAt(0).widget(), qt.QAbstractButton)
    panel.enabled = False
    with pytest.raises(ValueError, match="enabled"):
        panel.enabled = "x"


def test_derived_class_replaces_properties_and_virtual_functions(qt: Any) -> None:
    class Square(qt.QWidget):
        def sizeHint(self) -> Any:
            return qt.QSize(33, 33)

        def text(self) -> str:
            return "mine"

    square = Square()
    square.adjustSize()
    assert (square.size.width(), square.text()) == (33, "mine")
    assert isinstance(qt.QWidget().sizeHint, qt.QSize)


def test_objects_that_python_did_not_make_follow_the_rules(qt: Any) -> None:
    box = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok)
    button = box.buttons()[0]
    clicks: list[bool] = []
    button.connect("clicked(bool)", clicks.append)
    button.click()
    assert clicks == [False]
    with pytest.raises(AttributeError):
        button.enabel = True


def test_object_name_children_and_dynamic_properties_are_attributes(qt: Any) -> None:
    widget = qt.QWidget()
    widget.objectName = "outer"
    child = qt.QLabel(widget)
    child.name = "inner"
    assert (widget.name, child.objectName) == ("outer", "inner")
    assert widget.inner is child
    widget.setProperty("SlicerParameterName", "threshold")
    assert widget.SlicerParameterName == "threshold"


def test_class_name_inherits_and_delete(qt: Any) -> None:
    import slicer

    combo = slicer.qMRMLNodeComboBox()
    assert (combo.className(), qt.QLabel().className()) == ("qMRMLNodeComboBox", "QLabel")
    assert combo.inherits("QWidget")
    combo.delete()
    with pytest.raises(RuntimeError):
        combo.show()


def test_reserved_words_have_names_with_and_without_underscore(qt: Any) -> None:
    dialog = qt.QDialog()
    qt.QTimer.singleShot(0, dialog.accept)
    assert dialog.exec_() == qt.QDialog.Accepted
    qt.QTimer.singleShot(0, dialog.reject)
    assert dialog.exec() == qt.QDialog.Rejected
    dialog.raise_()
    getattr(dialog, "raise")()


def test_timer_has_a_single_shot_property_beside_the_static_function(qt: Any) -> None:
    from driving import settle

    timer, shots = qt.QTimer(), []
    timer.singleShot = True
    timer.interval = 0
    timer.connect("timeout()", lambda: shots.append(1))
    timer.start()
    settle()
    settle()
    assert (shots, timer.active) == ([1], False)


def test_values_of_qt_keep_their_methods_and_take_no_attributes(qt: Any) -> None:
    color, item = qt.QColor(1, 2, 3), qt.QTableWidgetItem("x")
    assert (color.red(), item.text()) == (1, "x")
    with pytest.raises(AttributeError, match="getRgb"):
        color.getRgb()  # PySide6 has it, PythonQt has not
    with pytest.raises(AttributeError, match="note"):
        item.note = "x"


def test_error_in_an_event_handler_is_an_exception_and_not_a_crash(qt: Any) -> None:
    class Broken(qt.QWidget):
        def resizeEvent(self, event: Any) -> None:
            len(5)  # type: ignore[arg-type]  # raised by C code: PySide6 6.12 crashes on it before Python 3.12

    broken = Broken()
    with pytest.raises(TypeError, match="has no len"):
        broken.show()
        broken.resize(70, 80)
    broken.delete()


def test_importing_pyside_first_is_refused_in_words() -> None:
    import os
    import subprocess
    import sys

    code = "import PySide6.QtCore, momentumseg_standalone; momentumseg_standalone.install()"
    # PySide6 leaves its own choice in the environment of this process.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYSIDE")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "import momentumseg_standalone first" in run.stderr, sorted(environment)
