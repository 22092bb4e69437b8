"""How the worker is started: in Slicer's Python, in another Python of this computer, or on another one by ssh."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MomentumSegLib.engine import engine_folder
from MomentumSegLib.errors import UserError

_MODULE = "momentumseg.worker"
_LAST_WORDS = 400
# Never ask for a password or a host key: nobody could answer. Notice a dead line within about a minute.
_SSH_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=20")
# What the Python of the host program needs and another Python must not see.
_OF_HOST_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSTARTUP", "PYTHONEXECUTABLE")


@dataclass(frozen=True)
class WorkerLaunch:
    """A command line that becomes a worker.

    Attributes:
        command: program and arguments.
        environment: of the process; None: that of this process.
        is_remote: the worker's process number is not one of this computer.
        log: file that receives what the process writes to its standard error; begun anew at each start.
    """

    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    is_remote: bool = False
    log: str = field(default_factory=lambda: str(default_log()))

    def start(self) -> subprocess.Popen:
        """Start it, with unbuffered pipes and without a console window.

        Raises:
            UserError: the program does not exist or cannot be run.
        """
        with self._log_file() as errors:
            try:
                return subprocess.Popen(
                    list(self.command),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    bufsize=0,
                    env=None if self.environment is None else dict(self.environment),
                    startupinfo=_without_window(),
                    # Ctrl-C in the terminal of the host is not for the worker: it ends when its input is closed.
                    start_new_session=os.name == "posix",
                )
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise UserError(
                    f"The worker's program {self.command[0]} cannot be run ({reason}): "
                    "choose another Python in the settings of MomentumSeg."
                ) from error

    def last_words(self) -> str:
        """The last line that the process wrote to its standard error, or an empty text."""
        try:
            with open(self.log, "rb") as file:
                file.seek(max(0, os.path.getsize(self.log) - (1 << 14)))
                lines = file.read().decode("utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][-_LAST_WORDS:] if said else ""

    def _log_file(self):
        """The log, opened for writing; a lost log must not prevent the start."""
        try:
            Path(self.log).parent.mkdir(parents=True, exist_ok=True)
            return open(self.log, "wb")
        except OSError:
            return open(os.devnull, "wb")


def local_launch(
    python: str = "", *, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, log: str = ""
) -> WorkerLaunch:
    """The worker on this computer.

    Args:
        python: another Python that has the packages; empty: the one of this program (PythonSlicer in Slicer).
        arguments: of the worker, for example ``("--idle-seconds", "60")``.
        environment: variables to add.
        log: file for the worker's standard error; empty: `default_log`.

    Raises:
        UserError: that Python does not exist, or the engine was not found.
    """
    own = own_python()
    program = _checked_python(python) if python.strip() else own
    variables = _own_environment() if program == own else _foreign_environment()
    variables.update({"PYTHONUTF8": "1", **(environment or {})})
    return WorkerLaunch((program, "-m", _MODULE, *arguments), variables, log=log or str(default_log()))


def ssh_launch(
    host: str,
    python: str = "python3",
    engine: str = "",
    *,
    ssh: Sequence[str] = ("ssh",),
    arguments: Sequence[str] = (),
    log: str = "",
) -> WorkerLaunch:
    """The worker on another computer, which has Python with torch and the engine; it never asks for a password.

    Args:
        host: as for the ssh command: ``name``, ``user@name``, or a name of the ssh configuration.
        python: of that computer; ``~/`` is its user's folder.
        engine: folder there that holds the package ``momentumseg``; empty where it is installed with pip.
        ssh: the ssh command, with further options.
        arguments: of the worker.
        log: file of this computer for messages of ssh and of the worker.

    Raises:
        UserError: a host or path that no command can hold.
    """
    host = host.strip()
    if not re.fullmatch(r"[^\s\-'\"`$;&|<>()\\][^\s'\"`$;&|<>()\\]*", host):
        raise UserError(f"'{host}' is no host for ssh: give a name such as gpu-server or user@gpu-server.")
    words = ["exec", "env", "PYTHONUTF8=1"]
    if engine.strip():
        words.append("PYTHONPATH=" + _remote_path(engine.strip()))
    words += [_remote_path(python.strip() or "python3"), "-m", _MODULE, *map(shlex.quote, arguments)]
    command = (*ssh, *_SSH_OPTIONS, host, " ".join(words))
    return WorkerLaunch(command, is_remote=True, log=log or str(default_log()))


def own_python() -> str:
    """The Python of this program: PythonSlicer beside Slicer, else the running interpreter."""
    beside = Path(sys.executable).parent if sys.executable else None
    if beside is not None and not Path(sys.executable).stem.lower().startswith("python"):
        found = shutil.which("PythonSlicer", path=os.fspath(beside)) or shutil.which("PythonSlicer")
        return found or sys.executable
    return sys.executable or shutil.which("PythonSlicer") or "python3"


def default_log() -> Path:
    """File for the standard error of the worker that this process starts."""
    return Path(tempfile.gettempdir()) / f"momentumseg-worker-{os.getpid()}.log"


def _without_window():
    """Windows opens a console for a program such as PythonSlicer; it is to be hidden."""
    if os.name != "nt":
        return None
    information = subprocess.STARTUPINFO()
    information.dwFlags = subprocess.STARTF_USESHOWWINDOW
    information.wShowWindow = subprocess.SW_HIDE
    return information


def _checked_python(python: str) -> str:
    path = os.path.expanduser(python.strip())
    found = shutil.which(path)
    if found is None:
        raise UserError(f"There is no Python at {path}: choose the python program of an environment that has torch.")
    return found


def _own_environment() -> dict[str, str]:
    """That of this process, with the engine first on Python's path."""
    variables = dict(os.environ)
    paths = [os.fspath(engine_folder()), *filter(None, [variables.get("PYTHONPATH")])]
    variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables


def _foreign_environment() -> dict[str, str]:
    """The environment before the host program changed it, with nothing of the host's Python."""
    variables = {name: value for name, value in _startup_environment().items() if name not in _OF_HOST_PYTHON}
    variables["PYTHONPATH"] = os.fspath(engine_folder())
    return variables


def _startup_environment() -> dict[str, str]:
    """Slicer puts its libraries on the loader's path; a program that is not its own must not find them there."""
    try:
        import slicer

        return dict(slicer.util.startupEnvironment())
    except (ImportError, AttributeError):
        return dict(os.environ)


def _remote_path(path: str) -> str:
    """A path for the shell of the other computer; its ``~/`` is expanded there."""
    if "\n" in path or "\0" in path:
        raise UserError("A path on the other computer must be one line: correct it in the settings of MomentumSeg.")
    if path == "~" or path.startswith("~/"):
        return '"$HOME"' + shlex.quote(path[1:])
    return shlex.quote(path)
