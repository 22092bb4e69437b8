"""Lists, tuples, dictionaries and unions in a parameter node; what is read writes itself back when it is changed."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from typing import Any

import slicer

from momentumseg_standalone.slicer_python.parameter_node_wrapper.annotations import (
    Default,
    is_union,
    splitAnnotations,
)
from momentumseg_standalone.slicer_python.parameter_node_wrapper.serializers import (
    NoneSerializer,
    Serializer,
    simple_serializer,
)
from momentumseg_standalone.slicer_python.parameter_node_wrapper.validators import IsInstance, NotNone, is_validator


class ObservedList(MutableSequence):
    """A list that is written back to the parameter node whenever it changes."""

    def __init__(self, values: list[Any], save: Callable[[list[Any]], None]) -> None:
        """Take the values and the function that writes them."""
        self._values, self._save = values, save

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._change(lambda values: values.__setitem__(index, value))

    def __delitem__(self, index: Any) -> None:
        self._change(lambda values: values.__delitem__(index))

    def __len__(self) -> int:
        return len(self._values)

    def insert(self, index: int, value: Any) -> None:
        """Insert a value."""
        self._change(lambda values: values.insert(index, value))

    def sort(self, **options: Any) -> None:
        """Sort in place."""
        self._change(lambda values: values.sort(**options))

    def _change(self, change: Callable[[list[Any]], Any]) -> None:
        """Write first, then keep: a value that is refused changes nothing."""
        changed = list(self._values)
        change(changed)
        self._save(changed)
        self._values = changed

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ObservedList({self._values})"


class ObservedDict(MutableMapping):
    """A dictionary that is written back to the parameter node whenever it changes."""

    def __init__(self, values: dict[Any, Any], save: Callable[[dict[Any, Any]], None]) -> None:
        """Take the values and the function that writes them."""
        self._values, self._save = values, save

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        changed = {**self._values, key: value}
        self._save(changed)
        self._values = changed

    def __delitem__(self, key: Any) -> None:
        changed = dict(self._values)
        del changed[key]
        self._save(changed)
        self._values = changed

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"ObservedDict({self._values})"


class ListSerializer(Serializer):
    """`name_len` and one entry `name_<index>` an element."""

    def __init__(self, element: Serializer) -> None:
        """Take the serializer of the elements."""
        self.validators = [NotNone()]
        self._element = element

    def default(self) -> Any:
        """Return an empty list."""
        return []

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the length is stored."""
        return bool(node.HasParameter(f"{name}_len"))

    def validate(self, value: Any) -> None:
        """Check every element."""
        super().validate(value)
        for element in value:
            self._element.validate(element)

    def _store(self, node: Any, name: str, value: Any) -> None:
        old_length = self._length(node, name)
        with slicer.util.NodeModify(node):
            for index, element in enumerate(value):
                self._element.write(node, f"{name}_{index}", element)
            node.SetParameter(f"{name}_len", str(len(value)))
            for index in range(len(value), old_length):
                self._element.remove(node, f"{name}_{index}")

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}_len")) if self.is_in(node, name) else 0

    def read(self, node: Any, name: str) -> ObservedList:
        """Return the list; its changes are written."""
        values = [self._element.read(node, f"{name}_{i}") for i in range(self._length(node, name))]
        return ObservedList(values, lambda changed: self.write(node, name, changed))

    def remove(self, node: Any, name: str) -> None:
        """Take length and elements out of the node."""
        with slicer.util.NodeModify(node):
            for index in range(self._length(node, name)):
                self._element.remove(node, f"{name}_{index}")
            node.UnsetParameter(f"{name}_len")


class TupleSerializer(Serializer):
    """One entry `name_<index>` an element."""

    def __init__(self, elements: list[Serializer]) -> None:
        """Take the serializers of the elements."""
        self.validators = [NotNone()]
        self._elements = elements

    def default(self) -> Any:
        """Return the elements' defaults."""
        return tuple(element.default() for element in self._elements)

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the first element is stored."""
        return self._elements[0].is_in(node, f"{name}_0")

    def validate(self, value: Any) -> None:
        """Check number and elements."""
        super().validate(value)
        if len(tuple(value)) != len(self._elements):
            raise ValueError(f"The value must have {len(self._elements)} elements, it has {len(tuple(value))}.")
        for serializer, element in zip(self._elements, value, strict=True):
            serializer.validate(element)

    def _store(self, node: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(node):
            for index, (serializer, element) in enumerate(zip(self._elements, value, strict=True)):
                serializer.write(node, f"{name}_{index}", element)

    def read(self, node: Any, name: str) -> Any:
        """Return the tuple."""
        return tuple(serializer.read(node, f"{name}_{i}") for i, serializer in enumerate(self._elements))

    def remove(self, node: Any, name: str) -> None:
        """Take the elements out of the node."""
        with slicer.util.NodeModify(node):
            for index, serializer in enumerate(self._elements):
                serializer.remove(node, f"{name}_{index}")


class DictSerializer(ListSerializer):
    """A list of (key, value), which keeps the order."""

    def __init__(self, key: Serializer, value: Serializer) -> None:
        """Take the serializers of keys and values."""
        super().__init__(TupleSerializer([key, value]))

    def default(self) -> Any:
        """Return an empty dictionary."""
        return {}

    def validate(self, value: Any) -> None:
        """Check every key and value."""
        super().validate(list(value.items()))

    def _store(self, node: Any, name: str, value: Any) -> None:
        super()._store(node, name, list(value.items()))

    def read(self, node: Any, name: str) -> Any:
        """Return the dictionary; its changes are written."""
        return ObservedDict(dict(super().read(node, name)), lambda changed: self.write(node, name, changed))


class UnionSerializer(Serializer):
    """`name_<index of the member type>`."""

    def __init__(self, members: list[Serializer]) -> None:
        """Take the serializers of the member types, in the order of the union."""
        self.validators = []
        self._members = members

    def default(self) -> Any:
        """Return None for `Optional`, else the default of the first type."""
        if len(self._members) == 2 and isinstance(self._members[1], NoneSerializer):
            return None
        return self._members[0].default()

    def is_in(self, node: Any, name: str) -> bool:
        """Whether a value of any member type is stored."""
        return any(member.is_in(node, f"{name}_{i}") for i, member in enumerate(self._members))

    def validate(self, value: Any) -> None:
        """Raise what the last member type raises if none of them takes the value."""
        self._member_for(value)

    def _member_for(self, value: Any) -> int:
        failure: Exception | None = None
        exact = [i for i, m in enumerate(self._members) if _takes_exactly(m, value)]
        for index in exact + [i for i in range(len(self._members)) if i not in exact]:
            try:
                self._members[index].validate(value)
            except (TypeError, ValueError, AttributeError) as error:
                # What the type of the value itself says is more use than "must be None".
                failure = failure or error
            else:
                return index
        raise failure or TypeError(f"No type of the union takes {value!r}.")

    def _store(self, node: Any, name: str, value: Any) -> None:
        index = self._member_for(value)
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            self._members[index].write(node, f"{name}_{index}", value)

    def read(self, node: Any, name: str) -> Any:
        """Return the value of whatever type is stored."""
        for index, member in enumerate(self._members):
            if member.is_in(node, f"{name}_{index}"):
                return member.read(node, f"{name}_{index}")
        raise KeyError(f"The parameter node has no value '{name}'.")

    def remove(self, node: Any, name: str) -> None:
        """Take the value out of the node, whatever its type."""
        with slicer.util.NodeModify(node):
            for index, member in enumerate(self._members):
                member.remove(node, f"{name}_{index}")


def _takes_exactly(serializer: Serializer, value: Any) -> bool:
    """Whether a value has the serializer's own type: True must not be kept as a number in `int | bool`."""
    if value is None:
        return isinstance(serializer, NoneSerializer)
    types = [v.classtype for v in serializer.validators if isinstance(v, IsInstance)]
    return any(type(value) in (t if isinstance(t, tuple) else (t,)) for t in types)


def make_serializer(annotated: Any) -> tuple[Serializer, Default | None, list[Any]]:
    """Return a type's serializer with its validators, its default if one is annotated, and the other annotations.

    Raises:
        TypeError: values of this type cannot be kept in a parameter node.
    """
    kind, annotations = splitAnnotations(annotated)
    serializer = _serializer_of(kind)
    serializer.validators = [*serializer.validators, *(a for a in annotations if is_validator(a))]
    default = next((a for a in annotations if isinstance(a, Default)), None)
    return serializer, default, [a for a in annotations if not is_validator(a) and not isinstance(a, Default)]


def _serializer_of(kind: Any) -> Serializer:
    found = simple_serializer(kind)
    if found is not None:
        return found
    parts = [make_serializer(part)[0] for part in typing.get_args(kind)]
    origin = typing.get_origin(kind)
    if origin is list and len(parts) == 1:
        return ListSerializer(parts[0])
    if origin is tuple and parts:
        return TupleSerializer(parts)
    if origin is dict and len(parts) == 2:
        return DictSerializer(parts[0], parts[1])
    if is_union(kind):
        return UnionSerializer(parts)
    if getattr(kind, "_is_parameterPack", False):
        from momentumseg_standalone.slicer_python.parameter_node_wrapper.parameter_pack import ParameterPackSerializer

        return ParameterPackSerializer(kind)
    raise TypeError(f"Parameters of the type {kind} cannot be kept in a parameter node.")
