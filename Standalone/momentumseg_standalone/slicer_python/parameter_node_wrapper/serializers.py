"""How values of simple types are kept in a vtkMRMLScriptedModuleNode, which stores texts and references to nodes."""

from __future__ import annotations

import enum
import pathlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from momentumseg_standalone.slicer_python.parameter_node_wrapper.annotations import is_node_class
from momentumseg_standalone.slicer_python.parameter_node_wrapper.validators import (
    IsInstance,
    IsNone,
    NotNone,
    Validator,
)

PATH_TYPES = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)


class Serializer(ABC):
    """Writes values of one type into a parameter node under a name, and reads them."""

    validators: list[Validator]

    @abstractmethod
    def default(self) -> Any:
        """Return the value where no other default is given."""

    @abstractmethod
    def is_in(self, node: Any, name: str) -> bool:
        """Whether the node has a value of this name."""

    @abstractmethod
    def _store(self, node: Any, name: str, value: Any) -> None:
        """Write a valid value."""

    @abstractmethod
    def read(self, node: Any, name: str) -> Any:
        """Return the value."""

    @abstractmethod
    def remove(self, node: Any, name: str) -> None:
        """Take the value out of the node."""

    def validate(self, value: Any) -> None:
        """Raise TypeError or ValueError for a value that must not be written."""
        for validator in self.validators:
            validator.validate(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        """Write a value, if it is valid."""
        self.validate(value)
        self._store(node, name, value)


class TextSerializer(Serializer):
    """A value that has a text form."""

    def __init__(
        self,
        types: Any,
        default: Callable[[], Any],
        to_text: Callable[[Any], str],
        from_text: Callable[[str], Any],
    ) -> None:
        """Take the accepted types and the two conversions."""
        self.validators = [NotNone(), IsInstance(types)]
        self._default, self._to_text, self._from_text = default, to_text, from_text

    def default(self) -> Any:
        """Return the type's own default."""
        return self._default()

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the node has the parameter."""
        return bool(node.HasParameter(name))

    def _store(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, self._to_text(value))

    def read(self, node: Any, name: str) -> Any:
        """Return the value."""
        return self._from_text(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        """Take the parameter out of the node."""
        node.UnsetParameter(name)


class NodeSerializer(Serializer):
    """A node of the scene or None: a reference of the parameter node, beside an empty text that says it was set."""

    def __init__(self, node_class: type) -> None:
        """Take the class of the nodes."""
        self.validators = [IsInstance(node_class)]

    def default(self) -> Any:
        """Return None."""
        return None

    def is_in(self, node: Any, name: str) -> bool:
        """Whether a node or None was set."""
        return bool(node.HasParameter(name))

    def _store(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, node: Any, name: str) -> Any:
        """Return the node or None."""
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        """Take the reference out of the node."""
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class NoneSerializer(TextSerializer):
    """None, as a member of a union."""

    def __init__(self) -> None:
        """Store the text that says that None was set."""
        super().__init__(object, lambda: None, lambda value: "True", lambda text: None)
        self.validators = [IsNone()]


def simple_serializer(kind: Any) -> Serializer | None:
    """Return the serializer of a simple type, None for another type."""
    if kind in (int, float):
        return TextSerializer((int, float) if kind is float else int, kind, str, kind)
    if kind is str:
        return TextSerializer(str, str, str, str)
    if kind is bool:
        return TextSerializer(bool, bool, str, lambda text: text == "True")
    if kind in PATH_TYPES:
        return TextSerializer(kind, kind, str, kind)
    if kind is type(None):
        return NoneSerializer()
    if is_node_class(kind):
        return NodeSerializer(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum_serializer(kind)
    return _color_serializer() if _is_color(kind) else None


def _enum_serializer(kind: type[enum.Enum]) -> Serializer:
    """Enums are kept by name, so that their values may change."""
    members = list(kind)
    if not members:
        raise ValueError(f"The enum {kind.__name__} has no members.")

    def from_text(text: str) -> enum.Enum:
        if text not in kind.__members__:
            raise ValueError(f"The parameter node has '{text}', which is no name of the enum {kind.__name__}.")
        return kind[text]

    return TextSerializer(kind, lambda: members[0], lambda value: value.name, from_text)


def _is_color(kind: Any) -> bool:
    import qt

    return kind is qt.QColor


def _color_serializer() -> Serializer:
    import qt

    return TextSerializer(qt.QColor, qt.QColor, lambda color: color.name(qt.QColor.HexArgb), qt.QColor)
