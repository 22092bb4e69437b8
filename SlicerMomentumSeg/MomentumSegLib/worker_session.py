"""The one worker of this application: shared by the panel and by scripts, started as the settings say."""

from __future__ import annotations

import subprocess

from MomentumSegLib.settings import Settings, load_settings
from MomentumSegLib.worker_client import WorkerClient
from MomentumSegLib.worker_launch import WorkerLaunch, local_launch, ssh_launch

_client: WorkerClient | None = None


class SettingsLaunch:
    """Starts the worker as the settings say, so that a change takes effect at the next start.

    The settings are read by `update`, on the main thread: a worker is started in a thread, which must not touch Qt.
    """

    def __init__(self) -> None:
        self._settings = Settings()
        self._last: WorkerLaunch | None = None

    def update(self) -> None:
        self._settings = load_settings()

    @property
    def is_remote(self) -> bool:
        return bool(self._last and self._last.is_remote)

    @property
    def log(self) -> str:
        return self._last.log if self._last else ""

    def start(self) -> subprocess.Popen:
        self._last = launch_of(self._settings)
        return self._last.start()

    def last_words(self) -> str:
        return self._last.last_words() if self._last else ""


def launch_of(settings: Settings) -> WorkerLaunch:
    """Return how the worker is started with these settings. Raises `UserError` for a Python that does not exist."""
    arguments = ("--cache-bytes", str(settings.cache_bytes)) if settings.cache_bytes else ()
    if settings.ssh_host:
        return ssh_launch(settings.ssh_host, settings.ssh_python, arguments=arguments)
    return local_launch(settings.python, arguments=arguments, environment=settings.worker_environment())


_launch = SettingsLaunch()


def shared_client() -> WorkerClient:
    """Return the application's worker client; no process is started before the first request."""
    global _client
    if _client is None:
        _client = WorkerClient(_launch)
    _launch.update()
    return _client


def stop_shared_client() -> None:
    """End the worker; the next request starts a new one."""
    if _client is not None:
        _client.stop()
