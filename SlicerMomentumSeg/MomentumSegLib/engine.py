"""Where the engine (the package ``momentumseg``) lies, installed or in a source checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from MomentumSegLib.errors import UserError


def engine_folder() -> Path:
    """The folder that holds the package ``momentumseg``: beside this package when installed, else ``Logic``.

    Raises:
        UserError: it is in neither.
    """
    modules = Path(__file__).resolve().parents[1]
    for folder in (modules, modules.parent / "Logic"):
        if (folder / "momentumseg" / "__init__.py").is_file():
            return folder
    raise UserError(
        f"The engine of MomentumSeg was not found beside {modules}; install the MomentumSeg extension again."
    )


def add_engine_to_path() -> None:
    """Make ``momentumseg.worker.protocol`` importable here; the rest of the engine runs in the worker only."""
    folder = str(engine_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)
