"""Signals are connected by their C++ signature, to functions and to slots, and a wrong name is refused."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def qt(an_app: Any) -> Any:
    import qt

    return qt


@pytest.mark.parametrize("signal", ["clicked(bool)", "clicked( bool )", "clicked()"])
def test_function_is_called_with_the_arguments_of_the_signal(qt: Any, signal: str) -> None:
    button, calls = qt.QPushButton(), []
    button.connect(signal, lambda *arguments: calls.append(arguments))
    button.click()
    assert calls == [(False,) if "bool" in signal else ()]


def test_function_gets_only_as_many_arguments_as_it_takes(qt: Any) -> None:
    calls: list[Any] = []

    class Panel:
        def on_click(self) -> None:
            calls.append("method")

    button, panel = qt.QPushButton(), Panel()
    button.connect("clicked(bool)", panel.on_click)
    button.connect("clicked(bool)", lambda: calls.append("function"))
    button.connect("clicked(bool)", lambda checked, more=7: calls.append(more))
    button.click()
    assert calls == ["method", "function", 7]


@pytest.mark.parametrize(
    "signal", ["clickd()", "clicked(int)", "clicked", "text()", "currentNodeChanged(vtkMRMLNode*)"]
)
def test_signal_that_does_not_exist_is_refused(qt: Any, signal: str) -> None:
    with pytest.raises(ValueError, match="has no signal"):
        qt.QPushButton().connect(signal, print)


def test_refusal_names_the_signals_of_that_name(qt: Any) -> None:
    with pytest.raises(ValueError, match=r"clicked\(bool\)"):
        qt.QPushButton().connect("clicked(int)", print)


def test_receiver_and_slot(qt: Any) -> None:
    box, label = qt.QCheckBox(), qt.QLabel()
    box.connect("toggled(bool)", label, "setEnabled(bool)")
    box.checked = True
    box.checked = False
    assert not label.enabled
    with pytest.raises(ValueError, match="no slot"):
        box.connect("toggled(bool)", label, "setEnabeld(bool)")


def test_disconnected_function_is_not_called(qt: Any) -> None:
    button, calls = qt.QPushButton(), []

    def first() -> None:
        calls.append(1)

    button.connect("clicked()", first)
    button.connect("clicked()", lambda: calls.append(2))
    assert button.disconnect("clicked()", first)
    assert not button.disconnect("clicked()", first)
    button.click()
    assert calls == [2]
    button.disconnect("clicked()")
    button.click()
    assert calls == [2]


def test_bound_methods_are_recognised_when_disconnected(qt: Any) -> None:
    class Panel:
        count = 0

        def on_click(self) -> None:
            self.count += 1

    panel, button = Panel(), qt.QPushButton()
    button.connect("clicked(bool)", panel.on_click)
    button.click()
    assert button.disconnect("clicked(bool)", panel.on_click)
    button.click()
    assert panel.count == 1


def test_connections_belong_to_the_object_and_not_to_its_python_name(qt: Any) -> None:
    holder, calls = qt.QWidget(), []

    def on_click() -> None:
        calls.append(1)

    button = qt.QPushButton(holder)
    button.setObjectName("inner")
    button.connect("clicked()", on_click)
    del button
    found = holder.findChild(qt.QPushButton, "inner")
    found.click()
    assert found.disconnect("clicked()", on_click)
    found.click()
    assert calls == [1]


def test_signals_are_attributes_too(qt: Any) -> None:
    spin_box, values = qt.QSpinBox(), []
    spin_box.valueChanged.connect(values.append)
    spin_box.value = 3
    spin_box.valueChanged.disconnect(values.append)
    spin_box.value = 4
    assert values == [3]


def test_signals_with_vtk_arguments_have_their_cpp_signature(an_app: Any) -> None:
    import slicer

    combo, nodes, flags = slicer.qMRMLNodeComboBox(), [], []
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.noneEnabled = True
    combo.setMRMLScene(slicer.mrmlScene)
    combo.connect("currentNodeChanged(vtkMRMLNode*)", nodes.append)
    combo.connect("currentNodeChanged(bool)", flags.append)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    combo.setCurrentNode(node)
    combo.setCurrentNode(None)
    assert (nodes, flags) == ([node, None], [True, False])
