"""Finds names in a scripted module's code and .ui files that 3D Slicer does not have; nothing of the module runs.

The class of an expression is known for widgets of .ui files (`self.ui.applyButton`), for `qt.X(...)`, `ctk.X(...)` and
`slicer.X(...)`, for `slicer.app` and `slicer.mrmlScene`, and for names and attributes that are only ever set to those.
"""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import slicer_facts

_MODULES_OF_CLASSES = ("qt", "ctk", "slicer")
_KNOWN_OBJECTS = {"slicer.app": "qSlicerApplication", "slicer.mrmlScene": "vtkMRMLScene"}
# Of a Python class that a module derives from Qt's, and of every object of Qt in PythonQt.
_ALWAYS_THERE = frozenset({"name", "objectName", "exec_", "raise_"})
_VTK_MODULES = ("vtkCommonCore", "vtkCommonDataModel", "vtkCommonMath", "vtkCommonTransforms", "vtkImagingCore")
# uic knows it, though it is no property.
_PROPERTIES_OF_UIC = frozenset({"buddy"})
_ADDED_TO_SLICER = frozenset({"util", "app", "mrmlScene", "modules", "packaging", "i18n", "parameterNodeWrapper"})


@dataclass(frozen=True)
class Problem:
    """One name that does not exist, or one that is used wrongly."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@cache
def _vtk_names(class_name: str) -> frozenset[str] | None:
    """Return what Python sees on a class of VTK or MRML, None for an unknown class."""
    import slicer
    import vtk

    found = getattr(slicer, class_name, None) or getattr(vtk, class_name, None)
    return frozenset(dir(found)) if isinstance(found, type) else None


@cache
def all_vtk_names() -> frozenset[str]:
    """Return the names of all methods and constants of MRML, Slicer's logics and the data classes of VTK."""
    import slicer

    vtk = (import_module(f"vtkmodules.{name}") for name in _VTK_MODULES)
    modules = (slicer, *vtk)
    classes = [c for m in modules for n, c in vars(m).items() if n.startswith("vtk") and isinstance(c, type)]
    return frozenset(name for c in classes for name in dir(c))


def known_class(name: str) -> bool:
    """Whether the API has the class."""
    return name in slicer_facts.classes() or _vtk_names(name) is not None


def names_of(class_name: str) -> frozenset[str]:
    """Return the names of a class of Qt, ctk, Slicer or VTK."""
    if class_name in slicer_facts.classes():
        return slicer_facts.names(class_name) | _ALWAYS_THERE
    return _vtk_names(class_name) or frozenset()


@dataclass
class Panel:
    """The widgets of the .ui files: name -> classes (more than one if two files use the name differently)."""

    widgets: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, folder: Path) -> Panel:
        """Read all .ui files below a folder."""
        panel = cls()
        for file in sorted(folder.rglob("*.ui")):
            root = ElementTree.parse(file).getroot()
            for element in (*root.iter("widget"), *root.iter("layout")):
                panel.widgets[element.get("name", "")].add(element.get("class", ""))
            for action in root.iter("action"):
                panel.widgets[action.get("name", "")].add("QAction")
        return panel


class _Scope:
    """What names of a function, or attributes of a class, are set to: a class only if all assignments agree."""

    def __init__(self) -> None:
        self.classes: dict[str, set[str | None]] = defaultdict(set)

    def class_of(self, name: str) -> str | None:
        found = self.classes.get(name, set())
        return next(iter(found)) if len(found) == 1 else None


class PythonChecker(ast.NodeVisitor):
    """Checks one Python file."""

    def __init__(self, file: str, panel: Panel) -> None:
        self.file, self.panel = file, panel
        self.problems: list[Problem] = []
        self._locals: list[_Scope] = [_Scope()]
        self._attributes: list[_Scope] = [_Scope()]

    def report(self, node: ast.AST, text: str) -> None:
        self.problems.append(Problem(self.file, getattr(node, "lineno", 0), text))

    # --- what is known about an expression

    def class_of(self, node: ast.AST) -> str | None:
        """Return the class of an expression, None where it is not known."""
        dotted = _dotted(node)
        if dotted in _KNOWN_OBJECTS:
            return _KNOWN_OBJECTS[dotted]
        if isinstance(node, ast.Call):
            return self._class_of_call(node)
        if isinstance(node, ast.Name):
            return self._locals[-1].class_of(node.id)
        if isinstance(node, ast.Attribute):
            owner = node.value
            is_ui = (isinstance(owner, ast.Attribute) and owner.attr == "ui") or _dotted(owner) == "ui"
            if is_ui and node.attr in self.panel.widgets:
                classes = self.panel.widgets[node.attr]
                return next(iter(classes)) if len(classes) == 1 else None
            if _dotted(owner) == "self":
                return self._attributes[-1].class_of(node.attr)
        return None

    def _class_of_call(self, node: ast.Call) -> str | None:
        module, _, name = (_dotted(node.func) or "").partition(".")
        if module in _MODULES_OF_CLASSES and known_class(name):
            return name
        if isinstance(node.func, ast.Attribute) and node.func.attr == "AddNewNodeByClass" and node.args:
            first = node.args[0]
            return first.value if isinstance(first, ast.Constant) and known_class(str(first.value)) else None
        return None

    # --- scopes

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        scope = _Scope()
        for argument in (*node.args.args, *node.args.kwonlyargs):
            scope.classes[argument.arg].add(None)
        self._locals.append(scope)
        self._collect(node, scope, self._attributes[-1])
        self.generic_visit(node)
        self._locals.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        scope = _Scope()
        self._attributes.append(scope)
        for function in (n for n in ast.walk(node) if isinstance(n, ast.FunctionDef)):
            self._locals.append(_Scope())
            self._collect(function, self._locals[-1], scope)
            self._locals.pop()
        self.generic_visit(node)
        self._attributes.pop()

    def _collect(self, function: ast.FunctionDef, local: _Scope, attributes: _Scope) -> None:
        for node in ast.walk(function):
            for target, value in _bindings(node):
                found = self.class_of(value) if value is not None else None
                if isinstance(target, ast.Name):
                    local.classes[target.id].add(found)
                elif isinstance(target, ast.Attribute) and _dotted(target.value) == "self":
                    attributes.classes[target.attr].add(found)

    # --- checks

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        dotted = _dotted(node)
        if dotted and dotted.split(".")[0] in _MODULES_OF_CLASSES:
            self._check_module_name(node, dotted.split("."))
        cls = self.class_of(node.value)
        if cls is None:
            return
        if node.attr not in names_of(cls):
            self.report(node, f"{cls} has no '{node.attr}'")
        elif isinstance(node.ctx, ast.Store) and not cls.startswith("vtk") and not _is_assignable(cls, node.attr):
            self.report(node, f"'{node.attr}' is no property of {cls}: it cannot be assigned")

    def _check_module_name(self, node: ast.AST, parts: list[str]) -> None:
        module, name = parts[0], parts[1]
        if module == "slicer" and (name in _ADDED_TO_SLICER or name in slicer_facts.names("slicer")):
            if name == "util" and len(parts) == 3:
                self._check_util(node, parts[2])
            return
        if not known_class(name) and not (module == "slicer" and name[0].islower() and not name.startswith("vtk")):
            self.report(node, f"{module} has no '{name}' (if it is new: run Utilities/slicer_api.py)")
        elif len(parts) == 3 and known_class(name) and parts[2] not in names_of(name):
            self.report(node, f"{name} has no '{parts[2]}'")
        elif not known_class(name):
            self.report(node, f"slicer has no '{name}'")

    def _check_util(self, node: ast.AST, name: str) -> None:
        util = slicer_facts.python_modules()["slicer.util"]
        if name not in util["functions"] and name not in slicer_facts.names("slicer.util"):
            self.report(node, f"slicer.util has no '{name}'")
        elif name in util.get("changes", {}).get("5.10", {}).get("functions_not_there", ()):
            self.report(node, f"slicer.util of Slicer 5.10 has no '{name}': look it up with getattr")

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute):
            return
        name, cls = node.func.attr, self.class_of(node.func.value)
        if cls is not None and cls in slicer_facts.classes():
            if name in slicer_facts.properties(cls) and name != "singleShot":
                self.report(node, f"'{name}' of {cls} is a property: it cannot be called")
            if name in ("connect", "disconnect"):
                self._check_signal(node, cls)
        if (_dotted(node.func) or "").startswith("slicer.util."):
            self._check_keywords(node, name)
        elif cls is None and _looks_like_vtk(node.func) and name not in all_vtk_names():
            self.report(node, f"no class of VTK or MRML has '{name}'")

    def _check_signal(self, node: ast.Call, cls: str) -> None:
        if not node.args or not isinstance(node.args[0], ast.Constant) or not isinstance(node.args[0].value, str):
            return
        if node.args[0].value.replace(" ", "") not in slicer_facts.signatures(cls, "signals") | _QT_SIGNALS:
            self.report(node, f"{cls} has no signal '{node.args[0].value}'")

    def _check_keywords(self, node: ast.Call, name: str) -> None:
        function = slicer_facts.python_modules()["slicer.util"]["functions"].get(name)
        parameters = [p.rstrip("=") for p in function["params"]] if function else ["**"]
        for keyword in (k for k in node.keywords if k.arg is not None):
            if keyword.arg not in parameters and not any(p.startswith("**") for p in parameters):
                self.report(node, f"slicer.util.{name} takes no '{keyword.arg}'")


_QT_SIGNALS = frozenset({"destroyed()", "destroyed(QObject*)", "objectNameChanged(QString)"})


def _dotted(node: ast.AST) -> str | None:
    """Return "a.b.c" of an expression of names, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else None
    return None


def _is_assignable(class_name: str, name: str) -> bool:
    return name in slicer_facts.properties(class_name) or name in _ALWAYS_THERE


def _looks_like_vtk(function: ast.Attribute) -> bool:
    """Whether a call may be one of a method of VTK, by its spelling."""
    return re.match(r"[A-Z][a-z]+[A-Z]", function.attr) is not None and _is_object(function.value)


def _is_object(node: ast.AST) -> bool:
    """Whether something may be an object of VTK: not a module or class (`Path.X`, `subprocess.Popen`)."""
    dotted = _dotted(node)
    return (
        dotted is None or dotted.split(".")[0] in ("self", "slicer") or dotted.split(".")[-1].endswith(("ode", "_node"))
    )


def _bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """Yield (target, value) of an assignment; the value is None where it is not one expression."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(target.elts, node.value.elts, strict=False)
            else:
                yield target, node.value
    elif isinstance(node, ast.AnnAssign):
        yield node.target, node.value
    elif isinstance(node, (ast.For, ast.comprehension)):
        yield from ((name, None) for name in ast.walk(node.target) if isinstance(name, ast.Name))
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, None


def check_python(file: Path, panel: Panel) -> list[Problem]:
    """Return what is wrong in a Python file."""
    checker = PythonChecker(str(file), panel)
    checker.visit(ast.parse(file.read_text(encoding="utf-8")))
    return checker.problems


# --- .ui files

_ELEMENT_TYPES = {
    "bool": {"bool"},
    "number": {"int", "uint", "double"},
    "double": {"double"},
    "string": {"QString", "QKeySequence", "QUrl", "QVariant"},
    "stringlist": {"QStringList"},
    "size": {"QSize"},
    "rect": {"QRect"},
    "font": {"QFont"},
    "sizepolicy": {"QSizePolicy"},
    "iconset": {"QIcon"},
    "pixmap": {"QPixmap"},
}


def check_ui(file: Path) -> list[Problem]:
    """Return what is wrong in a .ui file: classes, properties, their types, and connections."""
    root = ElementTree.parse(file).getroot()
    problems: list[str] = []
    widgets = {e.get("name", ""): e.get("class", "") for e in root.iter("widget")}
    for element in root.iter("widget"):
        name, cls = element.get("name", ""), element.get("class", "")
        if cls == "Line":
            continue
        if cls not in slicer_facts.classes():
            problems.append(f"'{name}' has the class {cls}, which 3D Slicer does not have")
            continue
        problems += [f"'{name}' ({cls}): {text}" for text in _property_problems(element, cls)]
    for connection in root.iterfind("connections/connection"):
        problems += _connection_problems(connection, widgets)
    return [Problem(str(file), 0, text) for text in problems]


def _property_problems(element: ElementTree.Element, cls: str) -> Iterator[str]:
    known = slicer_facts.properties(cls)
    for prop in element.findall("property"):
        name, dynamic = prop.get("name", ""), prop.get("stdset") == "0" and prop.get("name") not in known
        if dynamic or name in _PROPERTIES_OF_UIC:
            continue
        if name not in known:
            yield f"no property '{name}'"
            continue
        value: Any = next(iter(prop), None)
        expected = _ELEMENT_TYPES.get(value.tag) if value is not None else None
        if expected is not None and known[name].rstrip("*") not in expected:
            yield f"property '{name}' has the type {known[name]}, not {value.tag}"


def _connection_problems(connection: ElementTree.Element, widgets: dict[str, str]) -> Iterator[str]:
    texts = {tag: (connection.findtext(tag) or "").strip() for tag in ("sender", "signal", "receiver", "slot")}
    for role, member, kind in (("sender", "signal", "signals"), ("receiver", "slot", "slots")):
        cls, signature = widgets.get(texts[role]), texts[member].replace(" ", "")
        if cls is None:
            yield f"a connection has the {role} '{texts[role]}', which is no widget"
        elif cls in slicer_facts.classes() and signature not in slicer_facts.signatures(cls, kind):
            yield f"'{texts[role]}' ({cls}) has no {member} '{texts[member]}'"


def check(folder: Path) -> list[Problem]:
    """Return what is wrong in all Python and .ui files below a folder."""
    panel = Panel.of(folder)
    in_python = [p for file in sorted(folder.rglob("*.py")) for p in check_python(file, panel)]
    return in_python + [p for file in sorted(folder.rglob("*.ui")) for p in check_ui(file)]
