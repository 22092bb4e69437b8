"""Write the facts about 3D Slicer's Python API that the tests and the stand-alone host use.

    python Utilities/slicer_api.py FACTS

FACTS is a folder with `slicer_application_names.json` (what a running 3D Slicer shows to Python),
`slicer_widget_api.json` (properties, signals and slots from its headers) and `slicer_python_api.json` (its Python
modules). Only the classes that this project uses are kept, and only names and types:

- `Testing/Fixtures/slicer_api/widgets.json`: the classes of Qt, ctk and Slicer;
- `Testing/Fixtures/slicer_api/python.json`: functions and parameters of slicer.util and the like, by version;
- `Standalone/momentumseg_standalone/pythonqt/withheld_names.json`: what PySide6 offers on a Qt class, 3D Slicer not.

A class that is newly used is found by itself: run the script again and commit what it writes.
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = REPOSITORY / "SlicerMomentumSeg"
HOST = REPOSITORY / "Standalone" / "momentumseg_standalone"
FIXTURES = REPOSITORY / "Testing" / "Fixtures" / "slicer_api"

# Asked for by the checks whatever the modules use.
ALWAYS = ("qSlicerApplication", "qSlicerCoreApplication", "qSlicerScriptedLoadableModule", "ctkSettingsDialog")
PYTHON_MODULES = (
    "slicer.util",
    "slicer.packaging",
    "slicer.i18n",
    "slicer.ScriptedLoadableModule",
    "slicer.parameterNodeWrapper",
)
# C++ looks these virtual functions up by name in Python: they must be found.
VIRTUAL = frozenset(
    {
        "closeEditor",
        "commitData",
        "connectNotify",
        "currentChanged",
        "dataChanged",
        "disconnectNotify",
        "editorDestroyed",
        "horizontalScrollbarAction",
        "horizontalScrollbarValueChanged",
        "initStyleOptionForIndex",
        "initViewItemOption",
        "itemDelegateForIndex",
        "multiData",
        "readLineInto",
        "resetInternalData",
        "rowsAboutToBeRemoved",
        "rowsInserted",
        "selectionChanged",
        "skipData",
        "supportedDragActions",
        "updateEditorData",
        "updateEditorGeometries",
        "updateGeometries",
        "verticalScrollbarAction",
        "verticalScrollbarValueChanged",
        "clone",
    }
)


def used_classes() -> set[str]:
    """Return the names of classes that the modules, their .ui files and the host mention."""
    found = set(ALWAYS)
    for path in (*MODULES.rglob("*.ui"), *(REPOSITORY / "Testing").rglob("*.ui")):
        root = ElementTree.parse(path).getroot()
        found |= {str(e.get("class")) for tag in ("widget", "layout") for e in root.iter(tag)}
        found |= {"QAction"} if root.find(".//action") is not None else set()
    for path in (*MODULES.rglob("*.py"), *HOST.rglob("*.py")):
        found |= set(re.findall(r"\b(?:Q[A-Z]\w+|Qt|ctk[A-Z]\w+|qMRML\w+|qSlicer\w+)\b", path.read_text("utf-8")))
    return found


def lineage(name: str, api: dict[str, Any]) -> list[str]:
    """Return a class and its bases, nearest first, as far as the headers' manifest knows them."""
    found, pending = [], [name]
    while pending:
        current = re.sub("<.*", "", pending.pop(0))
        if current in api and current not in found:
            found.append(current)
            pending += api[current].get("bases", [])
    return found


def add_missing_bases(api: dict[str, Any]) -> None:
    """Fill in the classes of Qt that only serve as bases (QAbstractScrollArea) from PySide6."""
    from PySide6 import QtCore, QtGui, QtWidgets

    pending = [base for entry in list(api.values()) for base in entry.get("bases", [])]
    while pending:
        name = pending.pop()
        found = next((getattr(m, name) for m in (QtCore, QtGui, QtWidgets) if hasattr(m, name)), None)
        if name in api or not isinstance(found, type) or not issubclass(found, QtCore.QObject):
            continue
        meta = found.staticMetaObject
        properties = [meta.property(i) for i in range(meta.propertyOffset(), meta.propertyCount())]
        bases = [base.__name__ for base in found.__bases__]
        api[name] = {
            "bases": bases,
            "properties": {p.name(): p.typeName() for p in properties},
            "python_names": [n for n in dir(found) if n[0] != "_"],
        }
        pending += bases


def widget_facts(seen: dict[str, list[str]], api: dict[str, Any]) -> dict[str, Any]:
    """Return names and types of the used classes and their bases; a class repeats nothing of its first known base."""
    wanted = {base for name in used_classes() for base in lineage(name, api) or ([name] if name in seen else [])}
    names = {name: _all_names(name, seen, api) for name in wanted}
    facts = {}
    for name in sorted(wanted):
        entry = api.get(name, {})
        bases = [b for b in (re.sub("<.*", "", base) for base in entry.get("bases", [])) if b in wanted]
        inherited = set().union(*(names[b] for b in bases)) if bases else set()
        facts[name] = {
            "bases": bases,
            "names": sorted(names[name] - inherited),
            "not_inherited": sorted(inherited - names[name]),
            "properties": entry.get("properties", {}),
            "signals": entry.get("signals", []),
            "slots": entry.get("slots", []),
            "not_in": entry.get("not_in", {}),
        }
    return facts


def _all_names(name: str, seen: dict[str, list[str]], api: dict[str, Any]) -> set[str]:
    if name in seen:
        return set(seen[name])
    found: set[str] = set()
    for base in lineage(name, api):
        found |= set(seen[base]) if base in seen else set(api[base].get("python_names", []))
    return found


def withheld_names(seen: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return what PySide6's classes offer beyond what 3D Slicer shows, by class."""
    import momentumseg_standalone

    momentumseg_standalone.install()
    import qt

    withheld = {}
    for name, known in seen.items():
        cls = getattr(qt, name, None)
        if isinstance(cls, type) and name != "Qt":
            extra = {n for n in dir(cls) if n[0] != "_" and not n[0].isupper()} - set(known) - VIRTUAL
            withheld[name] = sorted(n for n in extra if not (n[-1] == "_" and n[:-1] in known))
    return withheld


def python_facts(api: dict[str, Any]) -> dict[str, Any]:
    """Return the functions of Slicer's own Python modules with their parameters and what older versions lack."""
    return {
        name: {key: api[name][key] for key in ("functions", "changes", "__all__") if key in api[name]}
        for name in PYTHON_MODULES
    }


def write(path: Path, facts: dict[str, Any]) -> None:
    """Write one entry a line, so that changes can be reviewed."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in facts.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Read the facts in `folder` and write the three files."""
    sys.path.insert(0, str(HOST.parent))
    import momentumseg_standalone  # noqa: F401  # before PySide6, whose enums it chooses

    seen = json.loads((folder / "slicer_application_names.json").read_text("utf-8"))
    seen.pop("_meta", None)
    api = json.loads((folder / "slicer_widget_api.json").read_text("utf-8"))
    api.pop("_meta", None)
    python = json.loads((folder / "slicer_python_api.json").read_text("utf-8"))
    add_missing_bases(api)
    facts = widget_facts(seen, api)
    facts["slicer.modules"] = {"bases": [], "names": sorted(seen["slicer.modules"])}
    facts["slicer"] = {"bases": [], "names": sorted(n for n in seen["slicer dir"] if not n.startswith("vtk"))}
    facts["slicer.util"] = {"bases": [], "names": sorted(seen["slicer.util"])}
    write(FIXTURES / "widgets.json", facts)
    write(FIXTURES / "python.json", python_facts(python))
    write(HOST / "pythonqt" / "withheld_names.json", withheld_names(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
