"""The widgets of ctk behave as 3D Slicer's: values, limits, signals, and what a mouse does to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driving import settle


@pytest.fixture
def ctk(an_app: Any) -> Any:
    import ctk

    return ctk


def heard(widget: Any, *signals: str) -> list[tuple[Any, ...]]:
    """Return a list to which every emission adds (signal name, arguments)."""
    calls: list[tuple[Any, ...]] = []
    for signal in signals:
        name = signal.split("(")[0]
        widget.connect(signal, lambda *arguments, name=name: calls.append((name, *arguments)))
    return calls


def test_slider_brings_its_value_into_the_range_and_tells_changes_once(ctk: Any) -> None:
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.decimals = -1.0, 1.0, 1
    calls = heard(slider, "valueChanged(double)")
    slider.value = 5
    slider.value = 1.0
    slider.setValue(-0.26)
    assert calls == [("valueChanged", 1.0), ("valueChanged", -0.3)]
    slider.maximum = -0.5
    assert (slider.value, calls[-1]) == (-0.5, ("valueChanged", -0.5))
    slider.minimum = 3.0
    assert (slider.minimum, slider.maximum, slider.value) == (3.0, 3.0, 3.0)


def test_slider_and_spin_box_show_the_same_number(ctk: Any) -> None:
    import qt

    slider = ctk.ctkSliderWidget()
    slider.maximum, slider.singleStep = 1.0, 0.05
    box, bar = slider.findChild(qt.QDoubleSpinBox), slider.findChild(qt.QSlider)
    slider.value = 0.5
    assert (box.value, bar.value) == (0.5, 10)
    box.value = 0.25
    assert (slider.value, bar.value) == (0.25, 5)
    bar.value = 20
    assert (slider.value, box.value) == (1.0, 1.0)


def test_slider_without_tracking_tells_its_value_when_the_mouse_lets_go(ctk: Any) -> None:
    import qt
    from PySide6.QtTest import QTest

    slider = ctk.ctkSliderWidget()
    slider.tracking = False
    slider.resize(300, 30)
    slider.show()
    settle()
    calls = heard(slider, "valueChanged(double)", "valueIsChanging(double)")
    bar = slider.findChild(qt.QSlider)
    QTest.mousePress(bar, qt.Qt.LeftButton, qt.Qt.NoModifier, qt.QPoint(8, 10))
    QTest.mouseMove(bar, qt.QPoint(120, 10))
    assert {name for name, _ in calls} == {"valueIsChanging"}
    assert slider.value == 0
    QTest.mouseRelease(bar, qt.Qt.LeftButton, qt.Qt.NoModifier, qt.QPoint(120, 10))
    assert calls[-1][0] == "valueChanged"
    assert slider.value > 0
    slider.delete()


def test_range_keeps_its_numbers_in_order_and_in_the_limits(ctk: Any) -> None:
    chosen = ctk.ctkRangeWidget()
    chosen.minimum, chosen.maximum = 0, 200
    calls = heard(chosen, "valuesChanged(double,double)", "minimumValueChanged(double)")
    chosen.setValues(150, 20)
    chosen.minimumValue = 170
    chosen.maximumValue = 500
    assert calls == [
        ("minimumValueChanged", 20.0),
        ("valuesChanged", 20.0, 150.0),
        ("minimumValueChanged", 150.0),
        ("valuesChanged", 150.0, 150.0),
        ("valuesChanged", 150.0, 200.0),
    ]
    chosen.maximum = 100
    assert (chosen.minimumValue, chosen.maximumValue) == (100.0, 100.0)


def test_range_is_dragged_by_its_handles_and_as_a_whole(ctk: Any) -> None:
    import qt
    from PySide6.QtTest import QTest

    slider = ctk.ctkDoubleRangeSlider(qt.Qt.Horizontal)
    slider.resize(214, 24)  # 200 pixels between the handles' places
    slider.setRange(0, 100)
    slider.setValues(20, 60)
    slider.show()
    settle()

    def drag(start: int, end: int) -> tuple[float, float]:
        QTest.mousePress(slider, qt.Qt.LeftButton, qt.Qt.NoModifier, qt.QPoint(start, 12))
        QTest.mouseMove(slider, qt.QPoint(end, 12))
        QTest.mouseRelease(slider, qt.Qt.LeftButton, qt.Qt.NoModifier, qt.QPoint(end, 12))
        return slider.minimumValue, slider.maximumValue

    assert drag(47, 67) == (30.0, 60.0)
    assert drag(127, 207) == (30.0, 100.0)
    assert drag(147, 47) == (0.0, 70.0)
    slider.delete()


def test_collapsed_section_hides_its_children_and_shows_them_again(ctk: Any) -> None:
    import qt

    button = ctk.ctkCollapsibleButton()
    layout = qt.QVBoxLayout(button)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden on purpose")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.hide()
    button.show()
    settle()
    tall = button.sizeHint.height()
    calls = heard(button, "contentsCollapsed(bool)")
    button.collapsed = True
    assert (shown.visible, calls, button.checked) == (False, [("contentsCollapsed", True)], False)
    assert button.maximumHeight < tall
    button.collapsed = False
    assert (shown.visible, hidden.visible) == (True, False)
    button.delete()


def test_open_section_is_never_lower_than_its_contents(ctk: Any) -> None:
    import qt

    panel, button = qt.QWidget(), ctk.ctkCollapsibleButton("Inputs")
    outer = qt.QVBoxLayout(panel)
    outer.addWidget(button)
    layout = qt.QVBoxLayout(button)
    for _ in range(4):
        layout.addWidget(qt.QComboBox())
    panel.resize(200, 10)
    panel.show()
    settle()
    assert button.height >= 4 * layout.itemAt(0).widget().minimumSizeHint.height() + 20
    button.collapsed = True
    settle()
    panel.resize(200, 10)
    settle()
    assert button.height < 50
    panel.delete()


def test_title_opens_and_closes_but_not_the_space_below(ctk: Any) -> None:
    import qt
    from PySide6.QtTest import QTest

    button = ctk.ctkCollapsibleButton()
    qt.QVBoxLayout(button).addWidget(qt.QLabel("\n\n\n"))
    button.resize(200, 150)
    button.show()
    settle()
    for y, collapsed in ((120, False), (8, True)):
        QTest.mouseClick(button, qt.Qt.LeftButton, qt.Qt.NoModifier, qt.QPoint(100, y))
        assert button.collapsed is collapsed
    QTest.keyClick(button, qt.Qt.Key_Return)
    assert button.collapsed is False
    button.delete()


def test_collapsible_group_box_opens_and_closes(ctk: Any) -> None:
    import qt

    box = ctk.ctkCollapsibleGroupBox()
    box.title = "Advanced"
    label = qt.QLabel("x")
    qt.QVBoxLayout(box).addWidget(label)
    box.show()
    box.collapsed = True
    assert (label.visible, box.checked) == (False, False)
    box.checked = True
    assert (label.visible, box.collapsed) == (True, False)
    box.delete()


def test_path_is_checked_against_its_filters(ctk: Any, tmp_path: Path) -> None:
    file = tmp_path / "model ü.pth"
    file.write_text("x")
    edit = ctk.ctkPathLineEdit()
    edit.filters = ctk.ctkPathLineEdit.Files
    calls = heard(edit, "currentPathChanged(QString)", "validInputChanged(bool)")
    edit.currentPath = str(file)
    edit.currentPath = str(tmp_path)
    assert calls == [
        ("currentPathChanged", file.as_posix()),
        ("validInputChanged", True),
        ("currentPathChanged", tmp_path.as_posix()),
        ("validInputChanged", False),
    ]


def test_folder_button_shows_and_tells_its_folder(ctk: Any, tmp_path: Path) -> None:
    button = ctk.ctkDirectoryButton()
    calls = heard(button, "directoryChanged(QString)")
    button.directory = str(tmp_path)
    button.directory = str(tmp_path)
    assert calls == [("directoryChanged", str(tmp_path))]


def test_spin_box_and_colour_and_message(ctk: Any) -> None:
    import qt

    box = ctk.ctkDoubleSpinBox()
    calls = heard(box, "valueChanged(double)")
    box.maximum, box.value = 10, 12
    box.setValueAlways(10)
    assert calls == [("valueChanged", 10.0), ("valueChanged", 10.0)]
    button = ctk.ctkColorPickerButton()
    colors = heard(button, "colorChanged(QColor)")
    button.color = qt.QColor(255, 0, 0)
    assert (button.text, len(colors)) == ("#ff0000", 1)
    message = ctk.ctkMessageBox()
    message.text, message.standardButtons = "Go on?", qt.QMessageBox.Ok | qt.QMessageBox.Cancel
    qt.QTimer.singleShot(0, message.button(qt.QMessageBox.Cancel).click)
    assert message.exec_() == qt.QMessageBox.Cancel


def test_message_that_must_not_come_again_answers_as_before(ctk: Any) -> None:
    import qt

    key = "Test/DontShow"
    qt.QSettings().remove(key)
    first = ctk.ctkMessageBox()
    first.standardButtons, first.dontShowAgainSettingsKey = qt.QMessageBox.Ok | qt.QMessageBox.Cancel, key
    first.dontShowAgain = True
    qt.QTimer.singleShot(0, first.button(qt.QMessageBox.Ok).click)
    first.exec_()
    second = ctk.ctkMessageBox()
    second.standardButtons, second.dontShowAgainSettingsKey = qt.QMessageBox.Ok | qt.QMessageBox.Cancel, key
    assert second.exec_() == qt.QMessageBox.Ok  # at once: nobody clicks
    qt.QSettings().remove(key)
