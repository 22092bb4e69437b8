"""What stands beside a parameter's type: its default, its label and how widgets show it."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import slicer


class Default:
    """The value of a parameter that nobody has set yet.

    Args:
        value: the value itself, or
        generator: a function that makes it anew for each parameter node.
    """

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        """Take a value or a generator, not both."""
        if value is not None and generator is not None:
            raise ValueError("Default takes a value or a generator, not both.")
        self._value = value
        self._generator = generator

    @property
    def value(self) -> Any:
        """The default value."""
        return self._value if self._generator is None else self._generator()

    def __repr__(self) -> str:
        return f"Default({self._value!r})" if self._generator is None else f"Default(generator={self._generator!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Default) and (self._value, self._generator) == (other._value, other._generator)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Label:
    """The text beside a parameter's widget."""

    value: str


@dataclass(frozen=True)
class Decimals:
    """How many digits after the point a widget shows."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """By how much one step of a widget changes the value."""

    value: float


def splitAnnotations(possiblyAnnotatedType: Any) -> tuple[Any, list[Any]]:  # noqa: N802, N803 - Slicer's names
    """Return the type and its annotations."""
    if typing.get_origin(possiblyAnnotatedType) is typing.Annotated:
        kind, *annotations = typing.get_args(possiblyAnnotatedType)
        return kind, annotations
    return possiblyAnnotatedType, []


def unannotatedType(possiblyAnnotatedType: Any) -> Any:  # noqa: N802, N803
    """Return the type without its annotations."""
    return splitAnnotations(possiblyAnnotatedType)[0]


def findFirstAnnotation(annotationsList: Sequence[Any], annotationType: type) -> Any:  # noqa: N802, N803
    """Return the first annotation of a kind, None where there is none."""
    return next((a for a in annotationsList if isinstance(a, annotationType)), None)


def is_union(kind: Any) -> bool:
    """Whether a type is `A | B` or `typing.Union[A, B]`."""
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def is_node_class(kind: Any) -> bool:
    """Whether a type is a class of MRML nodes."""
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def isNodeOrUnionOfNodes(datatype: Any) -> bool:  # noqa: N802
    """Whether a type is a node class, or a union of node classes and None."""
    kind = unannotatedType(datatype)
    members = typing.get_args(kind) if is_union(kind) else (kind,)
    nodes = [m for m in members if m is not type(None)]
    return bool(nodes) and all(is_node_class(m) for m in nodes)


def getNodeTypes(datatype: Any) -> list[str]:  # noqa: N802
    """Return the names of the node classes of a type."""
    kind = unannotatedType(datatype)
    members = typing.get_args(kind) if is_union(kind) else (kind,)
    return [m.__name__ for m in members if m is not type(None)]


def split_dotted(name: str) -> tuple[str, str | None]:
    """Return "a" and "b.c" of "a.b.c", and None for a name without a dot."""
    top, _, rest = name.partition(".")
    return top, rest or None
