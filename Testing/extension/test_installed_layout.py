"""The same files work installed in one flat folder and straight from a source folder, with nothing else on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packing import Package

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("use_installed.py")


def _use(modules: Path, tmp_path: Path) -> dict:
    """What a fresh Python finds that has ``modules`` on its path, as Slicer puts it there, and works elsewhere."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MOMENTUMSEG", "PYTHON"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join((str(modules), str(_stand_ins()))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MOMENTUMSEG_HOME": str(tmp_path / "home"),
        "QT_QPA_PLATFORM": "offscreen",
    }
    answer = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=240
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def _stand_ins() -> Path:
    """The stand-alone host gives ``qt`` and ``ctk``; it is not part of the extension's package."""
    return Path(__file__).resolve().parents[2] / "Standalone"


def _check(found: dict) -> None:
    assert found["requirements"] == ["torch>=2.4", "monai>=1.3", "safetensors>=0.4.3"]
    assert found["icon"] and found["ui"]
    assert found["heavy"] == [], "the application's own process must not load torch"
    assert found["mrml"] == "vtkMRMLScene"
    assert "devices" in found["status"], found["status"]
    models = {model["name"]: model["state"] for model in found["list_models"]["models"]}
    assert models["lmsnet-general"] == "ready", "the weights in the package must be found"


def test_installed_package_works_from_its_folder(a_package: Package, tmp_path: Path) -> None:
    found = _use(a_package.modules, tmp_path)
    assert Path(found["engine"]) == a_package.modules
    _check(found)


def test_source_folder_works_without_being_built(a_source_export: Path, tmp_path: Path) -> None:
    found = _use(a_source_export / "SlicerMomentumSeg", tmp_path)
    assert Path(found["engine"]) == a_source_export / "Logic"
    _check(found)


def test_engine_finds_its_data_inside_the_package(a_package: Package, tmp_path: Path) -> None:
    """The model catalogue and the demo's description lie in a folder of their own, inside the engine's package."""
    program = "from momentumseg import resources; print(resources.resources_folder())"
    environment = {**os.environ, "PYTHONPATH": str(a_package.modules), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("MOMENTUMSEG_RESOURCES", None)
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert Path(answer.stdout.strip()) == a_package.modules / "momentumseg" / "Resources", answer.stderr
