"""What the user has set for the application, beyond one scene: where the worker runs and what it may keep.

Kept in the application's settings file under ``MomentumSeg/``; every value has a working default, which is not stored.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

PREFIX = "MomentumSeg/"
MEGABYTE = 2**20
CACHE_MEGABYTES = (128, 65_536)  # smallest and largest budget that the panel offers
PROMPT_SECONDS = (5, 3600)


class SettingsStore(Protocol):
    """The part of ``qt.QSettings`` that is used."""

    def value(self, key: str) -> Any: ...

    def setValue(self, key: str, value: Any) -> None: ...

    def remove(self, key: str) -> None: ...


@dataclass(frozen=True)
class Settings:
    """The settings, all optional.

    Attributes:
        python: path of the worker's Python; empty: the application's own.
        ssh_host: ``host`` or ``user@host`` where the worker runs; empty: this computer.
        ssh_python: command of the Python with MomentumSeg on that host.
        data_folder: folder of MomentumSeg's files; models lie in ``weights`` below. Empty: the platform's place.
        training_folder: folder of trainings, on the computer that trains; empty: ``training`` beside ``weights``.
        prompt_seconds: after so long without a mask for a prompt, the user is offered to end the worker.
        cache_megabytes: memory that the worker may fill with features of slices; 0: it looks at the free memory.
    """

    python: str = ""
    ssh_host: str = ""
    ssh_python: str = "python3"
    data_folder: str = ""
    training_folder: str = ""
    prompt_seconds: int = 60
    cache_megabytes: int = 0

    @property
    def weights_folder(self) -> Path:
        """Folder of downloaded and imported models; it need not exist."""
        return (Path(self.data_folder).expanduser() if self.data_folder else _default_data_folder()) / "weights"

    def worker_environment(self) -> dict[str, str]:
        """Environment variables to start a worker on this computer with, those that differ from the defaults."""
        return {"MOMENTUMSEG_HOME": str(Path(self.data_folder).expanduser())} if self.data_folder else {}

    @property
    def cache_bytes(self) -> int | None:
        """Budget of the worker's feature cache in bytes; None: the worker decides."""
        return self.cache_megabytes * MEGABYTE or None


def load_settings(store: SettingsStore | None = None) -> Settings:
    """Read the settings; what is missing or unreadable has its default."""
    store = store or _application_store()
    found = {field.name: store.value(PREFIX + field.name) for field in fields(Settings)}
    settings = Settings()
    for name, value in found.items():
        if value is None:
            continue
        if name == "cache_megabytes":
            value = _whole_number(value, CACHE_MEGABYTES)
        elif name == "prompt_seconds":
            value = _whole_number(value, PROMPT_SECONDS) or settings.prompt_seconds
        settings = replace(settings, **{name: value if isinstance(value, int) else str(value)})
    return settings


def save_settings(settings: Settings, store: SettingsStore | None = None) -> None:
    """Write the settings; what equals its default is removed, so that later defaults reach the user."""
    store = store or _application_store()
    defaults = Settings()
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if value == getattr(defaults, field.name):
            store.remove(PREFIX + field.name)
        else:
            store.setValue(PREFIX + field.name, value)


def _whole_number(value: Any, limits: tuple[int, int]) -> int:
    """Settings files give numbers back as text; 0 for what is no positive number."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        return 0
    low, high = limits
    return min(max(number, low), high) if number > 0 else 0


def _default_data_folder() -> Path:
    """The folder that the engine's ``weights.store.user_folder`` chooses; that module is not imported here."""
    if override := os.environ.get("MOMENTUMSEG_HOME"):
        return Path(override).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "MomentumSeg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "MomentumSeg"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "momentumseg"


def _application_store() -> SettingsStore:
    import slicer

    return slicer.app.userSettings()
