"""`parameterNodeWrapper`: the class decorator that makes annotated names typed properties kept in a parameter node."""

from __future__ import annotations

import weakref
from typing import Any

import slicer
from vtkmodules.vtkCommonCore import vtkCommand

from momentumseg_standalone.slicer_python.parameter_node_wrapper.annotations import split_dotted, unannotatedType
from momentumseg_standalone.slicer_python.parameter_node_wrapper.gui_connectors import GuiConnector, createGuiConnector
from momentumseg_standalone.slicer_python.parameter_node_wrapper.parameter_pack import (
    Field,
    check_member,
    fields_of,
    refuse_reserved_names,
)

SlicerParameterNamePropertyName = "SlicerParameterName"


def parameterNodeWrapper(classtype: type | None = None) -> Any:  # noqa: N802 - Slicer's name
    """Make the annotated names of a class parameters: `Class(parameterNode)` reads and writes them in the node.

    Raises:
        ValueError: a parameter has one of the wrapper's own names.
        TypeError: a parameter's type cannot be kept in a node.
    """
    return _wrap if classtype is None else _wrap(classtype)


def isParameterNodeWrapper(classOrObj: Any) -> bool:  # noqa: N802, N803
    """Whether a class or an object was made by `parameterNodeWrapper`."""
    return bool(getattr(classOrObj, "_is_parameter_node_wrapper", False))


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:  # noqa: N802
    """Return the child widget that a .ui file binds to a parameter, None where there is none."""
    import qt

    children = widget.findChildren(qt.QWidget)
    return next((w for w in children if w.property(SlicerParameterNamePropertyName) == parameter), None)


def _wrap(cls: type) -> type:
    fields = fields_of(cls)
    for name, field in fields.items():
        setattr(cls, name, _parameter(field))
    members: dict[str, Any] = {n: m for n, m in vars(_WrapperMethods).items() if n in _METHOD_NAMES}
    members |= {"allParameters": fields, "_is_parameter_node_wrapper": True}
    refuse_reserved_names(cls, tuple(members), "parameterNodeWrapper")
    members["__init__"] = _initialize
    for name, member in members.items():
        setattr(cls, name, member)
    return cls


def _parameter(field: Field) -> property:
    def read(self: Any) -> Any:
        return field.serializer.read(self.parameterNode, self._prefix + field.basename)

    def write(self: Any, value: Any) -> None:
        field.serializer.write(self.parameterNode, self._prefix + field.basename, value)

    return property(read, write)


def _initialize(self: Any, parameterNode: Any, prefix: str | None = None) -> None:  # noqa: N803
    """Take the node; parameters that it does not have get their defaults."""
    self.parameterNode = parameterNode
    self._prefix = prefix or ""
    self._connections = {}
    self._next_tag = 0
    self._updating_gui = False
    with slicer.util.NodeModify(parameterNode):
        for name, field in self.allParameters.items():
            if not field.serializer.is_in(parameterNode, self._prefix + name):
                field.serializer.write(parameterNode, self._prefix + name, field.default.value)


def _check_name(cls: Any, name: str) -> Field:
    """Return the parameter that a dotted name begins with; raise ValueError where there is none."""
    top, rest = split_dotted(name)
    if top not in cls.allParameters:
        raise ValueError(f"There is no parameter '{top}'; there are: {', '.join(cls.allParameters)}.")
    if rest is not None:
        check_member(unannotatedType(cls.allParameters[top].unalteredType), rest)
    return cls.allParameters[top]


class _WrapperMethods:
    """The methods that the decorator gives to a class."""

    parameterNode: Any
    _connections: dict[int, tuple[dict[str, GuiConnector], int]]
    _next_tag: int
    _updating_gui: bool

    def default(self, paramName: str) -> Any:  # noqa: N803
        """Return the `Default` of a parameter."""
        return _check_name(self, paramName).default

    def isCached(self, paramName: str) -> bool:  # noqa: N802, N803
        """Whether reading is spared by a cache: here never, the node itself is read."""
        _check_name(self, paramName)
        return False

    @classmethod
    def dataType(cls, membername: str) -> Any:  # noqa: N802
        """Return the annotated type of a parameter."""
        field = _check_name(cls, membername)
        rest = split_dotted(membername)[1]
        return field.unalteredType if rest is None else unannotatedType(field.unalteredType).dataType(rest)

    def getValue(self, name: str) -> Any:  # noqa: N802
        """Return the value of a parameter by its dotted name."""
        _check_name(self, name)
        top, rest = split_dotted(name)
        value = getattr(self, top)
        return value if rest is None else value.getValue(rest)

    def setValue(self, name: str, value: Any) -> None:  # noqa: N802
        """Set a parameter by its dotted name."""
        _check_name(self, name)
        top, rest = split_dotted(name)
        if rest is None:
            setattr(self, top, value)
        else:
            getattr(self, top).setValue(rest, value)

    def connectGui(self, gui: Any) -> None:  # noqa: N802
        """Bind the widgets that name a parameter in their property "SlicerParameterName".

        As in 3D Slicer, whose documentation promises a tag for `disconnectGui`, nothing is returned: what is bound here
        stays bound. `connectParametersToGui` gives a tag.

        Args:
            gui: a widget, or an object whose attributes are widgets.

        Raises:
            ValueError: a widget names a parameter that does not exist.
            RuntimeError: a widget cannot show its parameter.
        """
        import qt

        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else list(vars(gui).values())
        named = [(w.property(SlicerParameterNamePropertyName), w) for w in widgets]
        self.connectParametersToGui({name: w for name, w in named if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:  # noqa: N802
        """Bind widgets (or connectors) to parameters by dotted name; return the tag for `disconnectGui`."""
        for name in mapping:
            _check_name(self, name)
        connectors = {
            name: w if isinstance(w, GuiConnector) else createGuiConnector(w, self.dataType(name))
            for name, w in mapping.items()
        }
        tag = self._next_tag
        self._next_tag += 1
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(_on_widget_changed(self, name, connector))
        # Weak: the node outlives the wrapper, and must not keep its panel alive.
        reference = weakref.ref(self)
        observer = self.parameterNode.AddObserver(vtkCommand.ModifiedEvent, lambda caller, event: _update(reference()))
        self._connections[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, guiTag: int) -> None:  # noqa: N802, N803
        """End a binding."""
        connectors, observer = self._connections.pop(guiTag, ({}, None))
        for connector in connectors.values():
            connector.onChanged(None)
        if observer is not None:
            self.parameterNode.RemoveObserver(observer)

    def StartModify(self) -> Any:  # noqa: N802
        """Collect changes of the node into one event."""
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: Any) -> Any:  # noqa: N802, N803
        """Send the collected event."""
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> Any:  # noqa: N802
        """Observe the node."""
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: Any) -> None:  # noqa: N802
        """End an observation."""
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:  # noqa: N802
        """Tell the node's observers that it has changed."""
        self.parameterNode.Modified()


_METHOD_NAMES = (
    "default",
    "isCached",
    "dataType",
    "getValue",
    "setValue",
    "connectGui",
    "connectParametersToGui",
    "disconnectGui",
    "StartModify",
    "EndModify",
    "AddObserver",
    "RemoveObserver",
    "Modified",
)


def _on_widget_changed(wrapper: Any, name: str, connector: GuiConnector) -> Any:
    def write() -> None:
        if not wrapper._updating_gui:
            with slicer.util.NodeModify(wrapper):
                wrapper.setValue(name, connector.read())

    return write


def _update(wrapper: Any) -> None:
    """Show all parameters in their widgets."""
    if wrapper is None or wrapper._updating_gui:
        return
    wrapper._updating_gui = True
    try:
        with slicer.util.NodeModify(wrapper):
            for connectors, _ in list(wrapper._connections.values()):
                for name, connector in connectors.items():
                    connector.write(wrapper.getValue(name))
    finally:
        wrapper._updating_gui = False
