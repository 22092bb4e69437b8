"""``momentumseg app``: the stand-alone window, in a process of its own, because this one may not know Qt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import typer

from momentumseg.errors import InputError

_PACKAGE = "momentumseg_standalone"

# The window's own options are passed on, --help too.
PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def app(context: typer.Context) -> None:
    """Open the stand-alone window, for machines without 3D Slicer: momentumseg app [VOLUME] [--demo] [--help]."""
    folder = standalone_folder()
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    done = subprocess.run([sys.executable, "-m", _PACKAGE, *context.args], env=environment, check=False)
    raise typer.Exit(done.returncode)


def standalone_folder() -> Path:
    """Folder that holds the window's package.

    Raises:
        InputError: this installation of MomentumSeg came without it.
    """
    folder = Path(__file__).resolve().parents[3] / "Standalone"
    if not (folder / _PACKAGE).is_dir():
        raise InputError(
            "This installation has no stand-alone window; get MomentumSeg's source folder and start ./run app there."
        )
    return folder
