"""Typed parameters live in a node of the scene and in widgets, with the same names and refusals as in 3D Slicer."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated, Any, Optional

import pytest


class Colour(enum.Enum):
    RED = "#f00"
    BLUE = "#00f"

    def label(self) -> str:
        return self.name.title()


@pytest.fixture
def wrapper(an_app: Any) -> Any:
    import slicer.parameterNodeWrapper

    return slicer.parameterNodeWrapper


@pytest.fixture
def node(an_app: Any) -> Any:
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


def make(wrapper: Any, defaults: dict[str, Any] | None = None, **annotations: Any) -> Any:
    """Return a wrapper class with these parameters."""
    return wrapper.parameterNodeWrapper(type("Parameters", (), {"__annotations__": annotations, **(defaults or {})}))


def named(widget: Any, parameter: str) -> Any:
    widget.setProperty("SlicerParameterName", parameter)
    return widget


class Ui:
    """What childWidgetVariables returns: widgets as attributes."""

    def __init__(self, **widgets: Any) -> None:
        vars(self).update(widgets)


def test_values_are_stored_as_slicer_stores_them(wrapper: Any, node: Any) -> None:
    import slicer

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    cls = make(
        wrapper, count=int, size=float, on=bool, name=str, path=pathlib.Path, colour=Colour,
        volume=slicer.vtkMRMLScalarVolumeNode, numbers=list[int], pair=tuple[int, str], table=dict[str, float],
        either=int | None, other=Optional[int],  # noqa: UP045
    )  # fmt: skip
    p = cls(node)
    assert (p.count, p.size, p.on, p.name, p.colour) == (0, 0, False, "", Colour.RED)
    assert (p.volume, p.either, p.other) == (None, None, None)
    p.count, p.size, p.on, p.name, p.path, p.colour = 3, 0.5, True, "ü", pathlib.Path("a/b"), Colour.BLUE
    p.volume, p.numbers, p.pair, p.table, p.either = volume, [4, 5], (6, "x"), {"a": 1.5}, 7
    stored = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    assert stored == {
        "count": "3", "size": "0.5", "on": "True", "name": "ü", "path": str(pathlib.Path("a/b")), "colour": "BLUE",
        "volume": "", "numbers_len": "2", "numbers_0": "4", "numbers_1": "5", "pair_0": "6", "pair_1": "x",
        "table_len": "1", "table_0_0": "a", "table_0_1": "1.5", "either_0": "7", "other_1": "True",
    }  # fmt: skip
    assert node.GetNodeReference("volume") is volume
    again = cls(node)
    assert (again.volume, again.numbers, again.pair, dict(again.table), again.either) == (
        volume, [4, 5], (6, "x"), {"a": 1.5}, 7,
    )  # fmt: skip
    again.numbers = [1]
    assert not node.HasParameter("numbers_1")


def test_defaults(wrapper: Any, node: Any) -> None:
    cls = make(
        wrapper, {"model": "general"}, model=str, opacity=Annotated[float, wrapper.Default(0.5)],
        names=Annotated[list[str], wrapper.Default(generator=lambda: ["a"])],
        colour=Annotated[Colour, wrapper.Default(Colour.BLUE)],
    )  # fmt: skip
    p = cls(node)
    assert (p.model, p.opacity, p.names, p.colour) == ("general", 0.5, ["a"], Colour.BLUE)
    p.model = "abdomen"
    assert cls(node).model == "abdomen"
    assert cls.dataType("model") is str


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        (int, 1.5, TypeError),
        (int, "1", TypeError),
        (int, None, ValueError),
        (float, "1", TypeError),
        (str, 5, TypeError),
        (str, None, ValueError),
        (bool, 1, TypeError),
        (Colour, "RED", TypeError),
        (list[int], ["a"], TypeError),
        (tuple[int, int], (1,), ValueError),
        (dict[str, int], {"a": "b"}, TypeError),
        (int | None, "x", TypeError),
        (pathlib.Path, "a", TypeError),
    ],
)
def test_value_of_another_type_is_refused(wrapper: Any, node: Any, kind: Any, value: Any, error: Any) -> None:
    p = make(wrapper, x=kind)(node)
    before = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    with pytest.raises(error):
        p.x = value
    assert {name: node.GetParameter(name) for name in node.GetParameterNames()} == before


def test_validators_refuse_values(wrapper: Any, node: Any) -> None:
    w = wrapper
    cls = make(
        w, a=Annotated[int, w.WithinRange(0, 10)], b=Annotated[int, w.Minimum(0)], c=Annotated[int, w.Maximum(5)],
        d=Annotated[str, w.Choice(["x", "y"]), w.Default("x")], e=Annotated[str, w.Exclude(["bad"])],
    )  # fmt: skip
    p = cls(node)
    for name, value in {"a": 11, "b": -1, "c": 6, "d": "z", "e": "bad"}.items():
        with pytest.raises(ValueError, match="value"):
            setattr(p, name, value)
    p.a, p.b, p.c, p.d, p.e = 10, 0, 5, "y", "good"


def test_node_of_another_class_is_refused(wrapper: Any, node: Any) -> None:
    import slicer

    p = make(wrapper, volume=slicer.vtkMRMLScalarVolumeNode)(node)
    with pytest.raises(TypeError):
        p.volume = node


@pytest.mark.parametrize(
    "name",
    [
        "allParameters", "default", "isCached", "dataType", "getValue", "setValue", "connectGui",
        "connectParametersToGui", "disconnectGui", "StartModify", "EndModify", "AddObserver", "RemoveObserver",
        "Modified",
    ],
)  # fmt: skip
def test_reserved_name_is_refused(wrapper: Any, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make(wrapper, **{name: int})


def test_type_that_cannot_be_stored_is_refused(wrapper: Any) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        make(wrapper, x=complex)


def test_lists_dictionaries_and_packs_write_themselves_back(wrapper: Any, node: Any) -> None:
    annotations = {"x": float, "y": Annotated[float, wrapper.Minimum(0)]}
    Point = wrapper.parameterPack(type("Point", (), {"__annotations__": annotations}))  # noqa: N806 - a class
    p = make(wrapper, numbers=list[int], table=dict[str, int], point=Point, span=wrapper.FloatRange)(node)
    p.numbers.append(3)
    p.numbers += [4]
    p.table["a"] = 5
    p.point.x = 2.5
    p.span = wrapper.FloatRange(1, 2)
    p.span.maximum = 3
    assert (p.numbers, dict(p.table), p.point.x, p.span.maximum) == ([3, 4], {"a": 5}, 2.5, 3)
    assert node.GetParameter("point.x") == "2.5"
    with pytest.raises(ValueError, match="at least 0"):
        p.point.y = -1
    with pytest.raises(TypeError):
        p.numbers.append("x")
    assert (p.numbers, p.point.y) == ([3, 4], 0)
    assert Point(1.0, 2.0) == Point(y=2.0, x=1.0)
    p.setValue("point.x", 9.0)
    assert (p.getValue("point.x"), p.dataType("point.x")) == (9.0, float)
    assert wrapper.nestedParameterNames(Point) == ["x", "y"]


def test_widgets_and_parameters_follow_each_other(wrapper: Any, node: Any) -> None:
    import ctk
    import qt
    import slicer

    w = wrapper
    cls = make(
        w, on=bool, count=Annotated[int, w.WithinRange(0, 9)], size=Annotated[float, w.WithinRange(0, 1)], name=str,
        colour=Colour, plane=Annotated[str, w.Choice(["axial", "coronal"]), w.Default("axial")], path=pathlib.Path,
        volume=slicer.vtkMRMLScalarVolumeNode, span=Annotated[w.FloatRange, w.RangeBounds(0, 100)], note=str,
    )  # fmt: skip
    ui = Ui(
        on=qt.QCheckBox(), count=qt.QSpinBox(), size=ctk.ctkSliderWidget(), name=qt.QLineEdit(), colour=qt.QComboBox(),
        plane=qt.QComboBox(), path=ctk.ctkPathLineEdit(), volume=slicer.qMRMLNodeComboBox(), span=ctk.ctkRangeWidget(),
        note=qt.QTextEdit(),
    )  # fmt: skip
    for name, widget in vars(ui).items():
        named(widget, name)
    ui.volume.noneEnabled = True
    ui.volume.setMRMLScene(slicer.mrmlScene)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    p = cls(node)
    tag = p.connectParametersToGui(vars(ui))
    assert (ui.count.maximum, ui.size.maximum, ui.span.maximum) == (9, 1.0, 100.0)
    assert [ui.colour.itemText(i) for i in range(2)] == ["Red", "Blue"]

    ui.on.checked, ui.count.value, ui.size.value, ui.name.text = True, 4, 0.25, "liver"
    ui.colour.currentIndex, ui.plane.currentIndex, ui.path.currentPath = 1, 1, "/tmp/x"
    ui.volume.setCurrentNode(volume)
    ui.span.setValues(10, 20)
    ui.note.setPlainText("two\nlines")
    assert (p.on, p.count, p.size, p.name, p.colour, p.plane) == (True, 4, 0.25, "liver", Colour.BLUE, "coronal")
    assert (p.path, p.volume, p.span.minimum, p.note) == (pathlib.Path("/tmp/x"), volume, 10.0, "two\nlines")

    p.on, p.count, p.colour, p.volume, p.name = False, 7, Colour.RED, None, "spleen"
    assert (ui.on.checked, ui.count.value, ui.colour.currentText, ui.volume.currentNode(), ui.name.text) == (
        False, 7, "Red", None, "spleen",
    )  # fmt: skip
    p.disconnectGui(tag)
    p.name = "kidney"
    ui.count.value = 2
    assert (ui.name.text, p.count) == ("spleen", 7)


def test_widget_that_names_no_parameter_is_refused_and_nothing_is_connected(wrapper: Any, node: Any) -> None:
    import qt

    p = make(wrapper, count=int)(node)
    ui = Ui(good=named(qt.QSpinBox(), "count"), bad=named(qt.QSpinBox(), "cuont"))
    with pytest.raises(ValueError, match="cuont"):
        p.connectGui(ui)
    ui.good.value = 5
    assert p.count == 0


@pytest.mark.parametrize(
    ("widget", "kind"),
    [
        ("ctkSliderWidget", float), ("qMRMLSliderWidget", float), ("QSlider", int), ("QComboBox", str),
        ("ctkRangeWidget", "FloatRange"), ("QRadioButton", bool), ("QPlainTextEdit", str), ("QCheckBox", str),
        ("QSpinBox", float),
    ],
)  # fmt: skip
def test_widget_that_cannot_show_the_parameter_is_refused(wrapper: Any, node: Any, widget: str, kind: Any) -> None:
    import ctk
    import qt
    import slicer

    cls = next(getattr(m, widget) for m in (qt, ctk, slicer) if hasattr(m, widget))
    p = make(wrapper, x=wrapper.FloatRange if kind == "FloatRange" else kind)(node)
    with pytest.raises(RuntimeError):
        p.connectGui(Ui(x=named(cls(), "x")))


def test_parameters_survive_the_scene(wrapper: Any, an_app: Any, tmp_path: pathlib.Path) -> None:
    import slicer
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class SomethingLogic(ScriptedLoadableModuleLogic):
        pass

    cls = make(wrapper, volume=slicer.vtkMRMLScalarVolumeNode, numbers=list[int])
    p = cls(SomethingLogic().getParameterNode())
    p.volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    p.numbers = [1, 2]
    file = tmp_path / "scene ü.mrml"
    slicer.mrmlScene.SetURL(str(file))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(False)
    slicer.mrmlScene.Connect()
    again = cls(SomethingLogic().getParameterNode())
    assert (again.volume.GetName(), again.numbers) == ("CT", [1, 2])
    assert SomethingLogic().getParameterNode() is again.parameterNode


def test_connect_gui_binds_for_good_as_in_slicer(wrapper: Any, node: Any) -> None:
    import qt

    ui = Ui(x=named(qt.QSpinBox(), "x"))
    p = make(wrapper, x=int)(node)
    assert p.connectGui(ui) is None
    p.disconnectGui(None)
    ui.x.value = 3
    assert p.x == 3
