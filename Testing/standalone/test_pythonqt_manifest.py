"""The stand-ins offer nothing that 3D Slicer's own classes lack, and what they offer has the same type."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module

import pytest
import slicer_facts

# Python enums, or numbers that stand for an enum or a set of flags of the class itself.
_ENUM_TYPES = re.compile(r"^[A-Z]\w*$|::")
_PYTHON_TYPES = {"PyObject": re.compile(r"^(vtk\w+\*|QVariant|QObject\*)$"), "int": _ENUM_TYPES}
# Of PySide6 itself: C++ looks the first ones up by name, the last is how it spells `raise`.
_OF_PYTHON = frozenset({"staticMetaObject", "connectNotify", "disconnectNotify", "raise_"})


def _stand_ins() -> dict[str, type]:
    """Return every class of the host that has the name of a class of 3D Slicer."""
    import momentumseg_standalone

    momentumseg_standalone.install()
    from momentumseg_standalone.pythonqt.registry import widget_class, widget_class_names

    found = {name: widget_class(name) for name in widget_class_names()}
    for info in pkgutil.walk_packages(momentumseg_standalone.__path__, "momentumseg_standalone."):
        if info.name.endswith("__main__"):
            continue
        module = import_module(info.name)
        own = {n: c for n, c in vars(module).items() if isinstance(c, type) and c.__module__ == info.name}
        found |= {n: c for n, c in own.items() if re.match(r"^(ctk[A-Z]|qMRML|qSlicer)", n)}
    return found  # type: ignore[return-value]


def _meta_facts(cls: type) -> tuple[dict[str, tuple[str, bool]], list[str]]:
    """Return the properties (type, whether an enum) and the signals that Python added to a class of Qt."""
    from PySide6 import QtCore

    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    native = next(c for c in cls.__mro__ if c.__module__.startswith("PySide6")).staticMetaObject  # type: ignore[attr-defined]
    properties = [meta.property(i) for i in range(meta.propertyCount())]
    methods = [meta.method(i) for i in range(native.methodCount(), meta.methodCount())]
    signals = [m for m in methods if m.methodType() == QtCore.QMetaMethod.MethodType.Signal]
    return (
        {p.name(): (p.typeName(), p.isEnumType()) for p in properties},
        [bytes(m.methodSignature().data()).decode() for m in signals],
    )


STAND_INS = _stand_ins()
# Read before any object is made: PySide6 makes meta objects of Python classes anew when slots are added.
META = {name: _meta_facts(cls) for name, cls in STAND_INS.items() if hasattr(cls, "staticMetaObject")}


def _visible_of_qt(cls: type) -> set[str]:
    from momentumseg_standalone.pythonqt.withheld import withheld_names

    native = next(c for c in cls.__mro__ if c.__module__.startswith("PySide6"))
    return {name for name in dir(native) if name[0] != "_"} - withheld_names(native) - _OF_PYTHON


def test_there_are_stand_ins_to_hold_against_the_manifest() -> None:
    assert {"ctkSliderWidget", "qMRMLNodeComboBox", "qMRMLSegmentEditorWidget", "qMRMLSliceWidget"} <= set(STAND_INS)


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_class_exists_in_slicer(name: str) -> None:
    assert name in slicer_facts.classes(), "unknown in 3D Slicer, or: run Utilities/slicer_api.py again"


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_own_names_exist_in_slicer(name: str) -> None:
    own = {
        n
        for c in STAND_INS[name].__mro__
        if c.__module__.startswith("momentumseg_standalone")
        for n in vars(c)
        if n[0] != "_"
    }
    assert own - slicer_facts.names(name) - _OF_PYTHON == set()


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_own_names_of_qt_bases_exist_in_slicer(name: str) -> None:
    """What a stand-in inherits from Qt beyond the real class's base (its inner widget must not shine through)."""
    from PySide6 import QtCore

    cls = STAND_INS[name]
    if not issubclass(cls, QtCore.QObject):
        pytest.skip("no Qt class")
    tolerated = {n for n in _visible_of_qt(cls) if n[0].isupper()}  # enum values
    native = next(c for c in cls.__mro__ if c.__module__.startswith("PySide6"))
    beyond = _visible_of_qt(cls) - slicer_facts.names(name) - tolerated
    known_qt = slicer_facts.names(native.__name__) if native.__name__ in slicer_facts.classes() else set()
    assert beyond & known_qt == set()


@pytest.mark.parametrize("name", sorted(META))
def test_properties_have_the_type_of_slicers(name: str) -> None:
    known = slicer_facts.properties(name)
    wrong = {
        prop: (mine, known[prop])
        for prop, (mine, is_enum) in META[name][0].items()
        if prop in known and not _same_type(mine, known[prop], is_enum)
    }
    assert wrong == {}


def _same_type(mine: str, theirs: str, is_enum: bool) -> bool:
    mine, theirs = (re.sub(r"^(QFlags<)?(.*?)>?$", r"\2", t).removeprefix("const ") for t in (mine, theirs))
    if mine == theirs or (is_enum and _ENUM_TYPES.search(theirs)):
        return True
    return bool(_PYTHON_TYPES.get(mine, re.compile("$^")).search(theirs))


@pytest.mark.parametrize("name", sorted(META))
def test_signals_have_the_signature_of_slicers(name: str) -> None:
    patterns = [re.compile(_as_python_sees_it(s) + "$") for s in slicer_facts.signatures(name, "signals")]
    assert [s for s in META[name][1] if not any(p.match(s) for p in patterns)] == []


def _as_python_sees_it(signature: str) -> str:
    """Return a pattern: pointers to vtk objects are Python objects, enums of Qt are numbers."""
    pattern = re.escape(signature.replace("qSlicerIO::IOProperties", "QVariantMap"))
    pattern = re.sub(r"vtk\w+\\\*|QVariant(?!Map)", "PyObject", pattern)
    return re.sub(r"Qt::\w+", r"(int|Qt::\\w+)", pattern)


@pytest.mark.parametrize("module", ["slicer.packaging", "slicer.i18n", "slicer.parameterNodeWrapper"])
def test_python_modules_offer_slicers_functions_with_slicers_parameters(module: str) -> None:
    import inspect

    known = slicer_facts.python_modules()[module]["functions"]
    found = {n: f for n, f in vars(import_module(module)).items() if inspect.isfunction(f) and n[0] != "_"}
    own = {n: f for n, f in found.items() if f.__module__.startswith("momentumseg_standalone")}
    assert own
    assert set(own) <= set(known)
    for name, function in own.items():
        parameters = [p.rstrip("=") for p in known[name]["params"] if not p.startswith("_")]
        assert list(inspect.signature(function).parameters) == parameters, name


def test_base_classes_of_modules_have_slicers_methods() -> None:
    import slicer.ScriptedLoadableModule as base

    known = slicer_facts.python_modules()["slicer.ScriptedLoadableModule"]
    assert set(base.__all__) == set(known["__all__"])
