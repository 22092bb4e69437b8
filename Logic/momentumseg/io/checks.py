"""Output paths that can be written, found out before anything is computed."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from momentumseg.errors import OutputError
from momentumseg.io.atomic import output_error, suffix_of
from momentumseg.io.formats import WRITABLE_SUFFIXES


def check_writable_output(path: str | os.PathLike[str], suffixes: tuple[str, ...] | None = WRITABLE_SUFFIXES) -> Path:
    """The path, when a file of that name can be written; nothing is created.

    ``suffixes`` are the allowed endings (None: any). Raises `OutputError` for another suffix, a folder that does not
    exist or is read-only, a path that is a folder, and an older file that is write-protected.
    """
    path = Path(path)
    if suffixes is not None and suffix_of(path) not in suffixes:
        raise OutputError(f"{path} has an ending that cannot be written; use {', '.join(suffixes)}.")
    if path.is_dir():
        raise output_error(path, "it is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise output_error(path, f"the folder {path.parent} does not exist; create it or choose another")
    if path.exists() and not os.access(path, os.W_OK):
        raise output_error(path, "a write-protected file of that name exists; choose another name")
    try:
        # Asking the access rights is not enough: network and read-only disks answer wrongly.
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        full = error.errno == errno.ENOSPC
        reason = "the disk is full; free some space" if full else f"the folder {path.parent} is read-only"
        raise output_error(path, f"{reason} or choose another") from None


def create_folder(path: str | os.PathLike[str]) -> Path:
    """The path, which is a folder now. Raises `OutputError` when it cannot be made."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {path} cannot be created; choose another one.") from error
    return path
