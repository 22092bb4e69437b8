"""`parameterPack`: parameters that belong together, as one value; and `FloatRange`, a pack of two numbers."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer

from momentumseg_standalone.slicer_python.parameter_node_wrapper.annotations import (
    Default,
    split_dotted,
    unannotatedType,
)
from momentumseg_standalone.slicer_python.parameter_node_wrapper.containers import make_serializer
from momentumseg_standalone.slicer_python.parameter_node_wrapper.serializers import Serializer
from momentumseg_standalone.slicer_python.parameter_node_wrapper.validators import IsInstance, NotNone

RESERVED_PACK_NAMES = ("allParameters", "_is_parameterPack", "getValue", "setValue", "dataType")


@dataclass(frozen=True)
class Field:
    """One declared parameter: Slicer's ParameterInfo."""

    basename: str
    serializer: Serializer
    default: Default
    unalteredType: Any  # noqa: N815 - Slicer's name


def fields_of(cls: type) -> dict[str, Field]:
    """Return the parameters that a class declares, in order.

    Raises:
        TypeError: a type cannot be kept in a parameter node.
    """
    fields = {}
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        serializer, default, _ = make_serializer(annotated)
        if hasattr(cls, name):
            default = Default(getattr(cls, name))
        fields[name] = Field(name, serializer, default or Default(generator=serializer.default), annotated)
    return fields


def refuse_reserved_names(cls: type, names: tuple[str, ...], kind: str) -> None:
    """Raise ValueError if a class has a name of its own that the decorator gives it."""
    for name in names:
        if hasattr(cls, name):
            raise ValueError(f"'{name}' cannot be used in a {kind}: it is one of the {kind}'s own names.")


def parameterPack(classtype: type | None = None) -> Any:  # noqa: N802 - Slicer's name
    """Make a class of declared parameters a value type with defaults, validation, equality and dotted access."""
    return _make_pack if classtype is None else _make_pack(classtype)


def isParameterPack(obj: Any) -> bool:  # noqa: N802
    """Whether a class or object is a parameterPack."""
    return bool(getattr(obj, "_is_parameterPack", False))


def nestedParameterNames(parameterPackClassOrInstance: Any) -> list[str]:  # noqa: N802, N803
    """Return the dotted names of all parameters of a pack and of the packs in it."""
    names = []
    for name, field in unannotatedType(parameterPackClassOrInstance).allParameters.items():
        kind = unannotatedType(field.unalteredType)
        names += [f"{name}.{inner}" for inner in nestedParameterNames(kind)] if isParameterPack(kind) else [name]
    return names


def _make_pack(cls: type) -> type:
    fields = fields_of(cls)
    if not fields:
        raise ValueError(f"The parameterPack {cls.__name__} declares no parameters.")
    for field in fields.values():
        field.serializer.validate(field.default.value)
    for name in fields:
        setattr(cls, name, _member(name, fields[name]))
    refuse_reserved_names(cls, RESERVED_PACK_NAMES, "parameterPack")
    own_init = vars(cls).get("__init__")
    members: dict[str, Any] = {
        "allParameters": fields,
        "_is_parameterPack": True,
        "getValue": _get_value,
        "setValue": _set_value,
        "dataType": classmethod(_data_type),
        "__init__": _init_with(own_init),
    }
    for name, method in (("__eq__", _equal), ("__str__", _text), ("__repr__", _text)):
        if name not in vars(cls):
            members[name] = method
    for name, member in members.items():
        setattr(cls, name, member)
    return cls


def _member(name: str, field: Field) -> property:
    def read(self: Any) -> Any:
        return self.__dict__["_values"][name]

    def write(self: Any, value: Any) -> None:
        field.serializer.validate(value)
        self.__dict__.setdefault("_values", {})[name] = value
        save = self.__dict__.get("_save")
        if save is not None:
            save(self)

    return property(read, write)


def _init_with(own_init: Callable[..., None] | None) -> Callable[..., None]:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        fields = self.allParameters
        self.__dict__["_values"] = {name: field.default.value for name, field in fields.items()}
        if own_init is not None:
            own_init(self, *args, **kwargs)
            return
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} values, got {len(args)}.")
        given = dict(zip(fields, args, strict=False))
        for name, value in kwargs.items():
            if name not in fields or name in given:
                raise TypeError(f"{type(self).__name__} takes no value '{name}', or takes it only once.")
            given[name] = value
        for name, value in given.items():
            setattr(self, name, value)

    return init


def _equal(self: Any, other: Any) -> bool:
    return type(self) is type(other) and self.__dict__["_values"] == other.__dict__["_values"]


def _text(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in self.__dict__['_values'].items())})"


def check_member(cls: Any, name: str) -> None:
    """Raise ValueError unless a pack has a parameter of this dotted name."""
    top, rest = split_dotted(name)
    if not hasattr(cls, top):
        raise ValueError(f"The parameterPack {cls} has no member '{top}'.")
    if rest is not None:
        inner = unannotatedType(cls.allParameters[top].unalteredType) if top in cls.allParameters else None
        if not isParameterPack(inner):
            raise ValueError(f"'{top}' is no parameterPack, so it has no member '{rest}'.")
        check_member(inner, rest)


def _get_value(self: Any, membername: str) -> Any:
    check_member(type(self), membername)
    top, rest = split_dotted(membername)
    value = getattr(self, top)
    return value if rest is None else value.getValue(rest)


def _set_value(self: Any, membername: str, value: Any) -> None:
    check_member(type(self), membername)
    top, rest = split_dotted(membername)
    if rest is None:
        setattr(self, top, value)
    else:
        getattr(self, top).setValue(rest, value)


def _data_type(cls: Any, membername: str) -> Any:
    check_member(cls, membername)
    top, rest = split_dotted(membername)
    annotated = cls.allParameters[top].unalteredType
    return annotated if rest is None else unannotatedType(annotated).dataType(rest)


class ParameterPackSerializer(Serializer):
    """One entry `name.member` a member; what is read writes itself back when it is changed."""

    def __init__(self, pack: Any) -> None:
        """Take the pack's class."""
        self.validators = [NotNone(), IsInstance(pack)]
        self._pack = pack

    def default(self) -> Any:
        """Return a pack of defaults."""
        return self._pack()

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the first member is stored."""
        first = next(iter(self._pack.allParameters.values()))
        return bool(first.serializer.is_in(node, f"{name}.{first.basename}"))

    def _store(self, node: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(node):
            for field in self._pack.allParameters.values():
                field.serializer.write(node, f"{name}.{field.basename}", value.__dict__["_values"][field.basename])

    def read(self, node: Any, name: str) -> Any:
        """Return the pack; its changes are written."""
        pack = object.__new__(self._pack)
        fields = self._pack.allParameters.values()
        pack.__dict__["_values"] = {f.basename: f.serializer.read(node, f"{name}.{f.basename}") for f in fields}
        pack.__dict__["_save"] = lambda changed: self.write(node, name, changed)
        return pack

    def remove(self, node: Any, name: str) -> None:
        """Take the members out of the node."""
        for field in self._pack.allParameters.values():
            field.serializer.remove(node, f"{name}.{field.basename}")


@parameterPack
class FloatRange:
    """Two numbers, the first not larger than the second."""

    _minimum: float
    _maximum: float

    def __init__(self, minimum: float = 0, maximum: float = 0) -> None:
        """Take the two ends."""
        self.setRange(minimum, maximum)

    @staticmethod
    def checkRange(minimum: float, maximum: float) -> None:  # noqa: N802
        """Raise ValueError if the minimum is larger than the maximum."""
        if minimum > maximum:
            raise ValueError(f"The minimum must not be larger than the maximum: {minimum} > {maximum}.")

    def setRange(self, minimum: float, maximum: float) -> None:  # noqa: N802
        """Set both ends."""
        self.checkRange(minimum, maximum)
        self._minimum = minimum
        self._maximum = maximum

    @property
    def minimum(self) -> float:
        """The smaller end."""
        return self._minimum

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.setRange(value, self._maximum)

    @property
    def maximum(self) -> float:
        """The larger end."""
        return self._maximum

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.setRange(self._minimum, value)
