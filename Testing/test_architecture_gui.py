"""The rules of the house for what runs inside 3D Slicer and for the window that stands in for it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "SlicerMomentumSeg").rglob("*.py"))
WINDOW = sorted((ROOT / "Standalone").rglob("*.py"))

# What 3D Slicer brings. vtkmodules is vtk without the import of all of it.
IN_SLICER = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "numpy", "scipy", "SimpleITK", "SampleData"}
OPTIONAL_IN_SLICER = {"PyTorchUtils"}  # of the extension PyTorch, asked for where it is used
ENGINE_IN_SLICER = {"momentumseg", "momentumseg.errors", "momentumseg.worker", "momentumseg.worker.protocol"}
NEVER_IN_THE_WINDOW = {"torch", "monai", "safetensors"}
# Code of others runs inside these: the module that is loaded, the widget that is built, the slot that is called.
MAY_CATCH_EVERYTHING = {"file_actions.py", "modules.py", "ui_loader.py", "rules.py"}

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
each_file = pytest.mark.parametrize("path", [*MODULES, *WINDOW], ids=lambda path: path.relative_to(ROOT).as_posix())


def _imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            inside = [f"{module}.{alias.name}" for alias in node.names]
            yield from inside if module == "momentumseg.worker" else [module]


@each_module
def test_modules_need_only_what_slicer_brings_and_the_protocol(path: Path) -> None:
    imported = set(_imports(path))
    engine = {name for name in imported if name.partition(".")[0] == "momentumseg"}
    tops = {name.partition(".")[0] for name in imported - engine} - set(sys.stdlib_module_names)
    assert engine <= ENGINE_IN_SLICER
    assert tops <= IN_SLICER | OPTIONAL_IN_SLICER | {"MomentumSegLib"}


@pytest.mark.parametrize("path", WINDOW, ids=lambda path: path.name)
def test_the_window_computes_nothing(path: Path) -> None:
    assert not {name.partition(".")[0] for name in _imports(path)} & NEVER_IN_THE_WINDOW


@each_module
def test_slicer_takes_no_module_for_a_program(path: Path) -> None:
    assert not path.read_text(encoding="utf-8").startswith("#!")


@each_file
def test_no_assert_print_or_broad_except(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error that the user understands"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}: log it"
        if isinstance(node, ast.ExceptHandler) and path.name not in MAY_CATCH_EVERYTHING:
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {getattr(kind, "id", "everything" if kind is None else "") for kind in kinds}
            broad = names & {"everything", "Exception", "BaseException"}
            assert not broad or isinstance(node.body[-1], ast.Raise), f"line {node.lineno}: name the errors"
