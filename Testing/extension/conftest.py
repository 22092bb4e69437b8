"""The extension's package, built once for all tests of this room."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers of this room: packing.py

from packing import Package, export_tracked, pack  # noqa: E402


@pytest.fixture(scope="session")
def a_source_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files in a folder of their own, whose name has a space and an umlaut."""
    folder = tmp_path_factory.mktemp("a source f\u00fcr MomentumSeg")
    export_tracked(folder)
    return folder


@pytest.fixture(scope="session")
def a_package(a_source_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package as the Extension Manager would install it, unpacked."""
    return pack(a_source_export, tmp_path_factory.mktemp("package"))
