"""The worker's log file; standard library only."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from momentumseg import __version__
from momentumseg.weights.store import user_folder

_KEPT_FILES = 10
_LARGEST_FILE = 1 << 20


def open_log() -> str:
    """Send log messages to a file of this process in the user's folder; returns its path, or "" when there is none.

    Files of earlier workers are removed but for the latest ones.
    """
    for folder in (user_folder() / "logs", Path(tempfile.gettempdir()) / "momentumseg-logs"):
        path = folder / f"worker-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handler = RotatingFileHandler(path, maxBytes=_LARGEST_FILE, backupCount=1, encoding="utf-8")
        except OSError:
            continue
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        logging.captureWarnings(True)
        logging.getLogger(__name__).info("worker of MomentumSeg %s, process %d", __version__, os.getpid())
        _remove_old(folder)
        return str(path)
    return ""


def _remove_old(folder: Path) -> None:
    for path in sorted(folder.glob("worker-*.log*"), reverse=True)[_KEPT_FILES:]:
        try:
            path.unlink()
        except OSError:
            continue  # in use, or somebody else's
