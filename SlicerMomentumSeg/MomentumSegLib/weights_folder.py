"""The folder of downloaded and imported models, as files: how much there is, and its removal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MomentumSegLib.errors import UserError
from MomentumSegLib.translation import tr as _

WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt")  # as momentumseg.weights.store, which is not imported here


def model_files(folder: Path) -> Sequence[Path]:
    """Return the files of models directly in ``folder``; nothing else there is ours."""
    try:
        found = [path for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES and path.is_file()]
    except OSError:
        return []
    return sorted(found)


def size_bytes(folder: Path) -> int:
    """Return what the models occupy on the disk."""
    return sum(path.stat().st_size for path in model_files(folder))


def delete_models(folder: Path) -> int:
    """Delete the models, nothing else, and return the bytes freed.

    Raises:
        UserError: a file could not be removed; those before it are gone.
    """
    freed = 0
    for path in model_files(folder):
        size = path.stat().st_size
        try:
            path.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            text = _("{path} could not be deleted ({reason}); close what uses it and try again.")
            raise UserError(text.format(path=path, reason=reason)) from error
        freed += size
    return freed


def readable_size(size: int) -> str:
    """Return a number of bytes for people: ``12 MB``, ``1.5 GB``."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 or size == 0 else f"{max(size // 1000, 1)} kB"
