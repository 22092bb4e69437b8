"""Which widget may show which type of parameter, and how its value is read and written.

A widget must have exactly the listed class, as in 3D Slicer: an object of a derived class is refused.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from momentumseg_standalone.slicer_python.parameter_node_wrapper.annotations import (
    Decimals,
    SingleStep,
    findFirstAnnotation,
    getNodeTypes,
    isNodeOrUnionOfNodes,
    splitAnnotations,
)
from momentumseg_standalone.slicer_python.parameter_node_wrapper.parameter_pack import FloatRange
from momentumseg_standalone.slicer_python.parameter_node_wrapper.serializers import PATH_TYPES
from momentumseg_standalone.slicer_python.parameter_node_wrapper.validators import (
    Choice,
    Maximum,
    Minimum,
    RangeBounds,
    WithinRange,
)

_INT_LIMITS = (-(2**31), 2**31 - 1)


class GuiConnector(ABC):
    """Reads and writes one widget as one type of value."""

    classes: tuple[str, ...]
    signals: tuple[str, ...]

    def __init__(self, widget: Any, datatype: Any) -> None:
        """Prepare the widget for the annotated type; raise RuntimeError where the annotations do not suffice."""
        self._widget = widget
        self._kind, self._annotations = splitAnnotations(datatype)
        self._callback: Callable[[], None] | None = None
        self._prepare()

    @classmethod
    @abstractmethod
    def accepts(cls, kind: Any) -> bool:
        """Whether the connector handles an (unannotated) type."""

    @abstractmethod
    def read(self) -> Any:
        """Return the widget's value."""

    @abstractmethod
    def write(self, value: Any) -> None:
        """Show a value."""

    def widget(self) -> Any:
        """Return the widget."""
        return self._widget

    def onChanged(self, callback: Callable[[], None] | None) -> None:  # noqa: N802 - Slicer's name
        """Call a function when the user changes the widget; None ends that."""
        connecting = callback is not None
        if connecting != (self._callback is not None):
            for signal in self.signals:
                (self._widget.connect if connecting else self._widget.disconnect)(signal, self.changed)
        self._callback = callback

    def changed(self) -> None:
        """Tell that the widget has changed."""
        if self._callback is not None:
            self._callback()

    def _prepare(self) -> None:
        """Set up the widget; connectors with annotations replace this."""
        return

    def _annotation(self, kind: type) -> Any:
        return findFirstAnnotation(self._annotations, kind)


class CheckedConnector(GuiConnector):
    """A bool as the mark of a check box or a checkable button."""

    classes = ("QCheckBox", "ctkCheckBox", "QPushButton", "ctkCheckablePushButton")
    signals = ("toggled(bool)",)

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take bool."""
        return kind is bool

    def _prepare(self) -> None:
        self._widget.checkable = True

    def read(self) -> Any:
        """Return whether it is checked."""
        return self._widget.checked

    def write(self, value: Any) -> None:
        """Check or uncheck it."""
        self._widget.checked = value


class NumberConnector(GuiConnector):
    """A number in a slider or a spin box, whose range comes from the annotations."""

    signals = ("valueChanged(double)",)
    bounded_classes = ("QSlider", "ctkSliderWidget", "qMRMLSliderWidget", "ctkDoubleSlider")
    whole_classes = ("QSlider", "QSpinBox")
    classes = ("QDoubleSpinBox", "ctkDoubleSpinBox", "qMRMLSpinBox", *bounded_classes, *whole_classes)

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take int and float."""
        return kind in (int, float)

    def _prepare(self) -> None:
        name = type(self._widget).__name__
        if name in self.whole_classes:
            self.signals = ("valueChanged(int)",)
            if self._kind is not int:
                raise RuntimeError(f"A {name} shows whole numbers: it cannot be bound to a parameter of type float.")
        within, low, high = (self._annotation(kind) for kind in (WithinRange, Minimum, Maximum))
        if name in self.bounded_classes and within is None and (low is None or high is None):
            raise RuntimeError(f"A {name} needs a range: annotate the parameter with WithinRange(minimum, maximum).")
        limits = _INT_LIMITS if name in self.whole_classes else (-math.inf, math.inf)
        self._widget.minimum = within.minimum if within else low.minimum if low else limits[0]
        self._widget.maximum = within.maximum if within else high.maximum if high else limits[1]
        for annotation, attribute in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            found = self._annotation(annotation)
            if found is not None:
                setattr(self._widget, attribute, found.value)

    def read(self) -> Any:
        """Return the number."""
        return self._kind(self._widget.value)

    def write(self, value: Any) -> None:
        """Show the number."""
        self._widget.value = value


class ChoiceConnector(GuiConnector):
    """One of the values of a `Choice` annotation in a combo box."""

    classes = ("QComboBox", "ctkComboBox")
    signals = ("currentIndexChanged(int)",)

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take simple types."""
        return kind in (int, float, str, bool)

    def _prepare(self) -> None:
        choice = self._annotation(Choice)
        if choice is None:
            raise RuntimeError("A combo box needs choices: annotate the parameter with Choice([...]), or use an Enum.")
        self._fill([(str(value), value) for value in choice.choices])

    def _fill(self, entries: list[tuple[str, Any]]) -> None:
        self._values = [value for _, value in entries]
        self._widget.clear()
        for text, _ in entries:
            self._widget.addItem(text)

    def read(self) -> Any:
        """Return the chosen value."""
        return self._values[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        """Choose the value; raise ValueError where it is not in the list."""
        if value not in self._values:
            raise ValueError(f"The value {value!r} is not among the choices {self._values}.")
        self._widget.currentIndex = self._values.index(value)


class EnumConnector(ChoiceConnector):
    """A member of an Enum in a combo box, shown by its `label()` or its name."""

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take enums."""
        return isinstance(kind, type) and issubclass(kind, enum.Enum)

    def _prepare(self) -> None:
        label = getattr(self._kind, "label", lambda member: member.name)
        self._fill([(label(member), member) for member in self._kind])


class TextConnector(GuiConnector):
    """A text in a line."""

    classes = ("QLineEdit",)
    signals = ("textChanged(QString)",)

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take str."""
        return kind is str

    def read(self) -> Any:
        """Return the text."""
        return self._widget.text

    def write(self, value: Any) -> None:
        """Show the text; the cursor stays where it is if nothing changes."""
        if self._widget.text != value:
            self._widget.text = value


class LabelConnector(TextConnector):
    """A text that is only shown."""

    classes = ("QLabel",)
    signals = ()


class LongTextConnector(TextConnector):
    """A text of several lines."""

    classes = ("QTextEdit",)
    signals = ("textChanged()",)

    def read(self) -> Any:
        """Return the text without its formats."""
        return self._widget.toPlainText()

    def write(self, value: Any) -> None:
        """Show the text."""
        if self._widget.toPlainText() != value:
            self._widget.setPlainText(value)


class RangeConnector(GuiConnector):
    """Two numbers in a slider with two handles."""

    classes = ("ctkRangeWidget", "ctkDoubleRangeSlider", "qMRMLRangeWidget")
    signals = ("valuesChanged(double,double)",)

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take FloatRange."""
        return kind is FloatRange

    def _prepare(self) -> None:
        bounds = self._annotation(RangeBounds)
        if bounds is None:
            name = type(self._widget).__name__
            raise RuntimeError(f"A {name} needs bounds: annotate the parameter with RangeBounds(minimum, maximum).")
        self._widget.minimum, self._widget.maximum = bounds.minimum, bounds.maximum
        for annotation, attribute in ((Decimals, "decimals"), (SingleStep, "singleStep")):
            found = self._annotation(annotation)
            if found is not None:
                setattr(self._widget, attribute, found.value)

    def read(self) -> Any:
        """Return both numbers."""
        return FloatRange(self._widget.minimumValue, self._widget.maximumValue)

    def write(self, value: Any) -> None:
        """Show both numbers."""
        self._widget.setValues(value.minimum, value.maximum)


class PathConnector(GuiConnector):
    """A path in a line with a browse button."""

    classes = ("ctkPathLineEdit",)
    signals = ("currentPathChanged(QString)",)
    attribute = "currentPath"

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take the classes of pathlib."""
        return kind in PATH_TYPES

    def read(self) -> Any:
        """Return the path."""
        return self._kind(getattr(self._widget, self.attribute))

    def write(self, value: Any) -> None:
        """Show the path."""
        setattr(self._widget, self.attribute, str(value))


class DirectoryConnector(PathConnector):
    """A folder on a button."""

    classes = ("ctkDirectoryButton",)
    signals = ("directoryChanged(QString)",)
    attribute = "directory"


class NodeConnector(GuiConnector):
    """A node of the scene in a selector, which is set to the node's types."""

    classes = ("qMRMLNodeComboBox",)
    signals = ("currentNodeChanged(vtkMRMLNode*)",)

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take node classes and unions of them."""
        return isNodeOrUnionOfNodes(kind)

    def _prepare(self) -> None:
        self._widget.nodeTypes = getNodeTypes(self._kind)

    def read(self) -> Any:
        """Return the node or None."""
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        """Choose the node."""
        self._widget.setCurrentNode(value)


class ColorConnector(GuiConnector):
    """A colour on a button."""

    classes = ("ctkColorPickerButton",)
    signals = ("colorChanged(QColor)",)

    @classmethod
    def accepts(cls, kind: Any) -> bool:
        """Take QColor."""
        return getattr(kind, "__name__", "") == "QColor"

    def read(self) -> Any:
        """Return the colour."""
        return self._widget.color

    def write(self, value: Any) -> None:
        """Show the colour."""
        self._widget.color = value


_CONNECTORS: tuple[type[GuiConnector], ...] = (
    CheckedConnector,
    NumberConnector,
    ChoiceConnector,
    EnumConnector,
    TextConnector,
    LabelConnector,
    LongTextConnector,
    RangeConnector,
    PathConnector,
    DirectoryConnector,
    NodeConnector,
    ColorConnector,
)


def createGuiConnector(widget: Any, datatype: Any) -> GuiConnector:  # noqa: N802
    """Return the connector of a widget and a (possibly annotated) type.

    Raises:
        RuntimeError: no connector fits, or the type's annotations do not suffice for this widget.
    """
    name, kind = type(widget).__name__, splitAnnotations(datatype)[0]
    for connector in _CONNECTORS:
        if name in connector.classes and connector.accepts(kind):
            return connector(widget, datatype)
    raise RuntimeError(f"A {name} cannot show a parameter of the type {datatype}.")
