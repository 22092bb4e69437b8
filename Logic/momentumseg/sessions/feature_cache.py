"""Encoded slices of volumes: half precision in memory, spilled to disk beyond a budget of bytes."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from momentumseg.sessions.processes import host_name, process_is_alive

_log = logging.getLogger(__name__)
_FOLDER_PREFIX = "momentumseg-features-"
_DEFAULT_DISK_BUDGET = 16 << 30


class FeatureKey(NamedTuple):
    """What a slice's features depend on."""

    weights: str
    volume: str
    plane: str
    slice: int


class FeatureCache:
    """Least recently used arrays move from memory to one ``.npy`` file each; the oldest files are dropped.

    A lost entry is no loss: features are computed again. A full or read-only disk therefore only ends the spilling.
    Safe to use from several threads.

    Args:
        budget: bytes kept in memory.
        folder: where spilled slices go, in a folder of this process that `close` (or the end of the process) removes.
            Default: the system's temporary folder. Nothing is created before the budget is exceeded.
        disk_budget: bytes kept on disk.
    """

    def __init__(
        self, budget: int = 1 << 30, folder: Path | str | None = None, disk_budget: int = _DEFAULT_DISK_BUDGET
    ) -> None:
        self._parent = Path(folder) if folder is not None else Path(tempfile.gettempdir())
        self._budget = budget
        self._disk_budget = disk_budget
        self._memory: OrderedDict[FeatureKey, np.ndarray] = OrderedDict()
        self._files: OrderedDict[FeatureKey, tuple[Path, int]] = OrderedDict()
        self._memory_bytes = 0
        self._disk_bytes = 0
        self._spill_folder: Path | None = None
        self._spilling = disk_budget > 0
        self._remove_folder: weakref.finalize | None = None
        self._lock = threading.RLock()
        remove_stale_folders(self._parent)

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __contains__(self, key: FeatureKey) -> bool:
        with self._lock:
            return key in self._memory or key in self._files

    @property
    def memory_bytes(self) -> int:
        """Bytes held in memory; at most the budget."""
        return self._memory_bytes

    @property
    def disk_bytes(self) -> int:
        """Bytes held on disk; at most the disk budget."""
        return self._disk_bytes

    def get(self, key: FeatureKey) -> np.ndarray | None:
        """The array stored under ``key``, read-only, or None. One on disk is memory-mapped and stays there: a volume
        larger than the budget that is read from end to end would otherwise move every slice twice."""
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
            if key not in self._files:
                return None
            self._files.move_to_end(key)
            try:
                return np.load(self._files[key][0], mmap_mode="r")
            except (OSError, ValueError) as error:
                _log.warning("A spilled slice is lost and will be computed again: %s", error)
                self._forget_file(key)
                return None

    def put(self, key: FeatureKey, array: np.ndarray) -> None:
        """Keep ``array`` (made read-only) under ``key``."""
        array.setflags(write=False)
        with self._lock:
            self._discard(key)
            self._memory[key] = array
            self._memory_bytes += array.nbytes
            while self._memory_bytes > self._budget:
                oldest, evicted = self._memory.popitem(last=False)
                self._memory_bytes -= evicted.nbytes
                self._spill(oldest, evicted)

    def count(self, weights: str, volume: str, plane: str) -> int:
        """Number of slices stored of one volume."""
        with self._lock:
            return sum(key[:3] == (weights, volume, plane) for keys in (self._memory, self._files) for key in keys)

    def close(self) -> None:
        """Forget everything and remove the files. The cache may be used again."""
        with self._lock:
            self._memory.clear()
            self._files.clear()
            self._memory_bytes = self._disk_bytes = 0
            if self._remove_folder is not None:
                self._remove_folder()
            self._remove_folder = self._spill_folder = None

    def _discard(self, key: FeatureKey) -> None:
        if key in self._memory:
            self._memory_bytes -= self._memory.pop(key).nbytes
        if key in self._files:
            self._forget_file(key)

    def _forget_file(self, key: FeatureKey) -> None:
        path, size = self._files.pop(key)
        self._disk_bytes -= size
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # Windows keeps a file that is still mapped; the folder is removed at the end
            _log.debug("A spilled slice could not be removed yet: %s", error)

    def _spill(self, key: FeatureKey, array: np.ndarray) -> None:
        if not self._spilling or array.nbytes > self._disk_budget:
            return
        while self._disk_bytes + array.nbytes > self._disk_budget:
            self._forget_file(next(iter(self._files)))
        try:
            path = _written(self._folder(), array)
        except OSError as error:
            self._spilling = False
            _log.warning("Encoded slices cannot be kept on disk (%s); they will be computed again when needed.", error)
            return
        self._files[key] = (path, array.nbytes)
        self._disk_bytes += array.nbytes

    def _folder(self) -> Path:
        """The folder of this cache, created at the first need and removed with the cache or the process."""
        if self._spill_folder is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            prefix = f"{_FOLDER_PREFIX}{host_name()}-{os.getpid()}-"
            self._spill_folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self._parent))
            self._remove_folder = weakref.finalize(self, shutil.rmtree, self._spill_folder, ignore_errors=True)
        return self._spill_folder


def _written(folder: Path, array: np.ndarray) -> Path:
    """A new ``.npy`` file, whole or not at all."""
    path = folder / f"{secrets.token_hex(8)}.npy"
    try:
        with path.open("xb") as file:
            np.save(file, array, allow_pickle=False)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def remove_stale_folders(parent: Path) -> None:
    """Remove what processes of this computer that were killed left in ``parent``."""
    prefix = f"{_FOLDER_PREFIX}{host_name()}-"
    for folder in parent.glob(f"{prefix}*"):
        process, _, _ = folder.name[len(prefix) :].partition("-")
        if process.isdecimal() and not process_is_alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
