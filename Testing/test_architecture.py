"""The rules of the house, held by reading the source: which room may import which, and what no room may do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

LOGIC = Path(__file__).resolve().parents[1] / "Logic"
PACKAGE = LOGIC / "momentumseg"

ANY_ROOM = {"errors", "momentumseg"}  # the root holds only the version
GROUND = ANY_ROOM | {"geometry", "volumes", "resources", "networks"}
PARTS = GROUND | {"io", "transforms", "objectives", "strategies", "optimizers", "inference", "weights", "recipes"}

# Arrows point inward: a room imports itself and the rooms named here, no others.
MAY_IMPORT = {
    "momentumseg": set(),
    "errors": set(),
    "allocation": set(),
    "__main__": ANY_ROOM | {"cli"},
    "networks": ANY_ROOM,
    "geometry": ANY_ROOM,
    "resources": ANY_ROOM,
    "volumes": ANY_ROOM | {"geometry"},
    "io": ANY_ROOM | {"geometry", "volumes"},
    "transforms": PARTS - {"weights"},
    "objectives": PARTS - {"weights"},
    "strategies": PARTS - {"weights"},
    "optimizers": PARTS - {"weights"},
    "inference": PARTS - {"weights"},
    "recipes": ANY_ROOM | {"io", "resources"},
    "weights": ANY_ROOM | {"io", "networks", "resources", "transforms"},
    "sessions": PARTS | {"allocation"},
    "training": PARTS | {"allocation"},
    "evaluation": PARTS | {"allocation", "sessions", "training"},
    "worker": PARTS | {"allocation", "sessions", "training", "evaluation"},
    "cli": PARTS | {"sessions", "training", "evaluation", "worker"},
}

NOT_IN_LOGIC = {"slicer", "qt", "vtk", "ctk", "torchvision", "timm"}
NETWORKS_MAY_USE = {"torch", "numpy", "scipy"}
HEAVY = {"torch", "monai", "numpy", "scipy", "SimpleITK", "safetensors", "matplotlib", "skimage"}
CLI_ONLY = {"typer", "click", "rich"}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(LOGIC).as_posix()


each_source = pytest.mark.parametrize("path", SOURCES, ids=_name)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _room(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    if len(inside.parts) > 1:
        return inside.parts[0]
    return "momentumseg" if inside.stem == "__init__" else inside.stem


def _imported_modules(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, anywhere in it, also lazily or for type checking."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}:{node.lineno} imports relatively; use the full name"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "momentumseg" else (module,)


def _third_party(path: Path) -> set[str]:
    tops = {module.partition(".")[0] for module in _imported_modules(path)}
    return tops - set(sys.stdlib_module_names) - {"momentumseg", "__future__"}


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for module in _imported_modules(path):
        top, _, inside = module.partition(".")
        if top == "momentumseg":
            room = inside.partition(".")[0]
            rooms.add("momentumseg" if room.startswith("__") or not room else room)
    return rooms - {_room(path)}


@each_source
def test_arrows_point_inward(path: Path) -> None:
    room = _room(path)
    assert room in MAY_IMPORT, f"the room '{room}' is new: add it to MAY_IMPORT with the rooms it may import"
    assert _imported_rooms(path) <= MAY_IMPORT[room], f"{_name(path)} imports a room that '{room}' must not know"


def test_arrows_have_no_cycle() -> None:
    arrows: dict[str, set[str]] = {}
    for path in SOURCES:
        arrows.setdefault(_room(path), set()).update(_imported_rooms(path))
    while leaves := {room for room, targets in arrows.items() if not targets & arrows.keys()}:
        arrows = {room: targets for room, targets in arrows.items() if room not in leaves}
    assert not arrows, f"rooms that import each other in a circle: {sorted(arrows)}"


@each_source
def test_logic_knows_no_host_and_no_forbidden_package(path: Path) -> None:
    assert not _third_party(path) & NOT_IN_LOGIC


@each_source
def test_command_line_packages_stay_in_cli(path: Path) -> None:
    if _room(path) != "cli":
        assert not _third_party(path) & CLI_ONLY


@pytest.mark.parametrize("path", [path for path in SOURCES if _room(path) == "networks"], ids=_name)
def test_networks_know_only_torch(path: Path) -> None:
    assert _third_party(path) <= NETWORKS_MAY_USE


@each_source
def test_no_print_assert_or_broad_except(path: Path) -> None:
    offences = [
        f"{_name(path)}:{node.lineno} {what}" for node in ast.walk(_tree(path)) for what in [_offence(node)] if what
    ]
    assert not offences


def _offence(node: ast.AST) -> str:
    if isinstance(node, ast.Assert):
        return "assert: raise an error of momentumseg.errors instead"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
        return "print: return the result, or log it"
    if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not isinstance(node.body[-1], ast.Raise):
        return "broad except: name the errors"
    return ""


def _is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds)


@each_source
def test_no_absolute_path_in_code(path: Path) -> None:
    texts = [node.value for node in ast.walk(_tree(path)) if isinstance(node, ast.Constant)]
    roots = ("/work/", "/home/", "/tmp/", "/root/", "C:\\")
    assert not [text for text in texts if isinstance(text, str) and text.startswith(roots)]


@pytest.mark.parametrize("module", ["momentumseg", "momentumseg.errors", "momentumseg.cli", "momentumseg.cli.app"])
def test_import_stays_light(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(LOGIC)}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert not HEAVY & set(result.stdout.split())


@pytest.mark.parametrize(
    ("source", "offends"),
    [
        ("print(1)", True),
        ("assert x", True),
        ("try:\n    f()\nexcept Exception:\n    pass", True),
        ("try:\n    f()\nexcept:\n    pass", True),
        ("try:\n    f()\nexcept (OSError, BaseException):\n    pass", True),
        ("try:\n    f()\nexcept BaseException:\n    clean()\n    raise", False),
        ("try:\n    f()\nexcept OSError:\n    pass", False),
    ],
)
def test_the_checks_themselves(source: str, offends: bool) -> None:
    assert any(_offence(node) for node in ast.walk(ast.parse(source))) is offends
