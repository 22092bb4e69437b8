"""The worker that trains: a process of its own, so that segmenting goes on beside a training."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from MomentumSegLib.settings import Settings, load_settings
from MomentumSegLib.worker_client import WorkerClient
from MomentumSegLib.worker_launch import default_log
from MomentumSegLib.worker_session import SettingsLaunch, launch_of

# A training can only be interrupted between two iterations, which take long on a slow computer; then the checkpoint is
# written.
_GRACE_SECONDS = 300.0
_REMOTE_RUNS = "~/.local/share/momentumseg/training"


class TrainingLaunch(SettingsLaunch):
    """Starts the training worker as the settings say, with a log of its own."""

    def start(self) -> subprocess.Popen:
        log = default_log()
        self._last = replace(launch_of(self._settings), log=str(log.with_name(f"training-{log.name}")))
        return self._last.start()


class TrainingSession:
    """The client, started with the first request, and what the settings say of trainings."""

    def __init__(self) -> None:
        self._launch = TrainingLaunch()
        self._launch.update()
        self.client = WorkerClient(self._launch, grace_seconds=_GRACE_SECONDS)

    def read_settings(self) -> None:
        """Changes of the settings count from the next start of the worker on."""
        self._launch.update()


def runs_folder(settings: Settings | None = None) -> str:
    """Folder of trainings, on the computer that trains: as set, or beside the weights."""
    settings = settings or load_settings()
    if settings.training_folder:
        return settings.training_folder
    if settings.ssh_host:
        return _REMOTE_RUNS
    return str(settings.weights_folder.parent / "training")


def is_local(settings: Settings | None = None) -> bool:
    """Whether the folders of trainings are on this computer."""
    return not (settings or load_settings()).ssh_host


def local_path(folder: str) -> Path:
    """A folder of this computer, as the worker takes it."""
    return Path(folder).expanduser()
