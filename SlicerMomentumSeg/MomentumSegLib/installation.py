"""What the worker's Python needs, whether it is there, and how it gets there. Nothing of it is imported to find out.

Everything here happens on the user's click only. pip runs on the main thread, as Slicer demands, and never replaces a
package that Slicer brings: those are pinned to the installed version by a constraints file.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import logging
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from MomentumSegLib.errors import UserError
from MomentumSegLib.settings import Settings
from MomentumSegLib.translation import tr as _
from MomentumSegLib.worker_launch import local_launch, own_python

REQUIREMENTS_FILE = Path(__file__).resolve().parents[1] / "Resources" / "MomentumSegRequirements.txt"

# Packages that Slicer brings or shares between extensions: an installation must leave them as they are.
KEPT_PACKAGES = (
    *(
        "numpy",
        "scipy",
        "SimpleITK",
        "pydicom",
        "requests",
        "pillow",
        "packaging",
        "vtk",
        "certifi",
        "pip",
        "setuptools",
    ),
    *("dicomweb-client", "highdicom", "torch", "torchvision"),
)
_OLDEST_PYTHON = (3, 10)
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*>=\s*([0-9.]+)")
_LEADING_DIGITS = re.compile(r"\d+")

# Run by the Python in question: prints its version and those of the packages named, without importing any of them.
_QUESTION = """
import importlib.metadata as metadata, json, sys
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({"python": list(sys.version_info[:3]), "found": {name: version(name) for name in sys.argv[1:]}}))
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Requirement:
    """A package and the oldest version that will do."""

    name: str
    minimum: str

    def __str__(self) -> str:
        return f"{self.name}>={self.minimum}"

    def is_met_by(self, version: str | None) -> bool:
        return version is not None and version_numbers(version) >= version_numbers(self.minimum)


@dataclass(frozen=True)
class PythonReport:
    """What a Python interpreter has: its ``version`` and, of each package asked for, the version or None."""

    executable: str
    version: tuple[int, ...]
    found: dict[str, str | None]

    def missing(self) -> list[Requirement]:
        """The requirements that are absent or too old, in the order of the file."""
        return [
            requirement
            for requirement in worker_requirements()
            if not requirement.is_met_by(self.found.get(requirement.name))
        ]


def version_numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, ``"2.13.0+cpu"`` -> ``(2, 13, 0)``; what follows does not count."""
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = _LEADING_DIGITS.match(part)
        if digits is None:
            break
        numbers.append(int(digits.group()))
    return tuple(numbers)


def slicer_requirements() -> list[Requirement]:
    """What has to be installed into Slicer's Python: the lines of the requirements file."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines())
    matches = [_REQUIREMENT.fullmatch(line) for line in lines if line]
    return [Requirement(*match.groups()) for match in matches if match]


def worker_requirements() -> list[Requirement]:
    """What any Python that runs the worker must have: the above and what Slicer brings."""
    return [
        *slicer_requirements(),
        Requirement("numpy", "1.24"),
        Requirement("scipy", "1.10"),
        Requirement("SimpleITK", "2.3"),
    ]


def missing_in_application() -> list[Requirement]:
    """Return what the application's own Python lacks, from the packages' metadata; takes milliseconds."""
    return [
        requirement
        for requirement in slicer_requirements()
        if not requirement.is_met_by(_installed_version(requirement.name))
    ]


def is_ready(settings: Settings) -> bool:
    """Whether a worker can be expected to start with these settings; asks no other program.

    A Python that the user chose was examined when it was chosen, and a remote host brings its own: only that the
    chosen file is still there is looked up.
    """
    if settings.ssh_host:
        return True
    if settings.python:
        return Path(settings.python).is_file()
    return not missing_in_application()


def examine_python(executable: str | Path, timeout_seconds: float = 60.0) -> PythonReport:
    """Run a Python and ask for its version and packages.

    Raises:
        UserError: it is no Python, is too old, lacks a package, or does not answer.
    """
    path = Path(executable).expanduser()
    report = _ask(path, timeout_seconds)
    if report.version < _OLDEST_PYTHON:
        found, needed = (".".join(map(str, numbers)) for numbers in (report.version, _OLDEST_PYTHON))
        raise UserError(
            _("{path} is Python {found}; Python {needed} or newer is needed.").format(
                path=path, found=found, needed=needed
            )
        )
    if missing := report.missing():
        raise UserError(
            _("{path} lacks {packages}; install them there with: {command}").format(
                path=path, packages=readable_list(missing), command=pip_command(missing, path)
            )
        )
    return report


def _ask(path: Path, timeout_seconds: float) -> PythonReport:
    if not path.is_file():
        raise UserError(_("There is no program {path}; choose the python of the environment to use.").format(path=path))
    names = [requirement.name for requirement in worker_requirements()]
    no_python = _("{path} does not answer as Python does; choose the python of the environment to use.").format(
        path=path
    )
    try:
        answer = subprocess.run(
            [str(path), "-c", _QUESTION, *names],
            capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=timeout_seconds,
            stdin=subprocess.DEVNULL, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            env=local_launch(str(path)).environment,  # as the worker will see it
        )  # fmt: skip
        told = json.loads(answer.stdout)
        return PythonReport(str(path), tuple(told["python"]), dict(told["found"]))
    except subprocess.TimeoutExpired as error:
        raise UserError(no_python) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.info("asking %s failed: %s", path, error)
        raise UserError(no_python) from error


def python_of(path: str | Path) -> Path:
    """Return the interpreter of an environment: ``path`` itself if it is a file, else the one inside the folder.

    Raises:
        UserError: the folder holds none.
    """
    chosen = Path(path).expanduser()
    if not chosen.is_dir():
        return chosen
    for inside in ("bin/python", "bin/python3", "python.exe", "Scripts/python.exe"):
        if (chosen / inside).is_file():
            return chosen / inside
    raise UserError(
        _("The folder {path} holds no Python environment; choose one that has bin/python.").format(path=chosen)
    )


def pip_command(requirements: Sequence[Requirement], python: str | Path | None = None) -> str:
    """The command that does by hand what the dialog does, for a terminal."""
    program = str(python or own_python())
    quoted = f'"{program}"' if " " in program else program
    return " ".join([quoted, "-m pip install", *(f'"{requirement}"' for requirement in requirements)])


def readable_list(requirements: Sequence[Requirement]) -> str:
    return ", ".join(f"{requirement.name} {requirement.minimum}" for requirement in requirements)


def install_from_network(on_step: Callable[[str], None] = lambda text: None) -> None:
    """Install what is missing: torch through the PyTorch extension, which finds the build for the graphics card.

    Raises:
        UserError: the PyTorch extension is missing, or an installation failed. Slicer works as before.
    """
    _require_main_thread()
    missing = missing_in_application()
    if any(requirement.name == "torch" for requirement in missing):
        on_step(_("Installing PyTorch; this can take some minutes"))
        _install_torch(next(requirement for requirement in missing if requirement.name == "torch"))
    others = [requirement for requirement in missing if requirement.name != "torch"]
    if others:
        on_step(_("Installing {packages}").format(packages=", ".join(requirement.name for requirement in others)))
        _pip_install([], others)
    _check_arrival()


def install_from_folder(folder: str | Path, on_step: Callable[[str], None] = lambda text: None) -> None:
    """Install what is missing from wheels in a folder, without any network.

    Raises:
        UserError: no wheels there, or pip could not use them. Slicer works as before.
    """
    _require_main_thread()
    path = Path(folder).expanduser()
    if not any(path.glob("*.whl")):
        raise UserError(
            _(
                "The folder {path} holds no wheels (*.whl); fill it on a computer with network: pip download {packages}"
            ).format(path=path, packages=" ".join(f'"{requirement}"' for requirement in slicer_requirements()))
        )
    on_step(_("Installing from {path}").format(path=path))
    _pip_install(["--no-index", "--find-links", str(path)], missing_in_application())
    _check_arrival()


def has_pytorch_extension() -> bool:
    return importlib.util.find_spec("PyTorchUtils") is not None


def _install_torch(requirement: Requirement) -> None:
    if not has_pytorch_extension():
        raise UserError(
            _("The extension PyTorch is missing; install it with the Extensions Manager, restart Slicer and try again.")
        )
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    with _told_to_user(_("PyTorch could not be installed")):
        installed = logic.installTorch(askConfirmation=False, torchVersionRequirement=f">={requirement.minimum}")
        if installed is None:
            raise UserError(_("PyTorch could not be installed; Slicer's log says why (View, Error Log)."))


def _pip_install(options: Sequence[str], requirements: Sequence[Requirement]) -> None:
    """Run pip in the application's Python through Slicer, which shows the progress."""
    if not requirements:
        return
    names = ", ".join(requirement.name for requirement in requirements)
    with (
        tempfile.TemporaryDirectory(prefix="momentumseg-") as folder,
        _told_to_user(_("{names} could not be installed").format(names=names)),
    ):
        constraints = Path(folder) / "constraints.txt"
        kept = kept_versions({requirement.name for requirement in requirements})
        constraints.write_text("\n".join(kept) + "\n", encoding="utf-8")
        arguments = [*options, "--only-binary", ":all:", "--constraint", str(constraints), *map(str, requirements)]
        _slicers_pip()(arguments)


def kept_versions(installing: Collection[str] = ()) -> list[str]:
    """The constraints that keep all shared packages but those being installed as they are: ``numpy==2.4.6``."""
    # torchvision fits one torch only: where torch is replaced it must be free to follow.
    free = {*installing, *(("torchvision",) if "torch" in installing else ())}
    versions = {name: _installed_version(name) for name in KEPT_PACKAGES if name not in free}
    return [f"{name}=={version}" for name, version in versions.items() if version is not None]


def _slicers_pip() -> Callable[[list[str]], object]:
    """Slicer's pip: with a progress window from 5.12 on, the plain one in 5.10."""
    import slicer

    try:
        packaging = importlib.import_module("slicer.packaging")
    except ModuleNotFoundError:
        return slicer.util.pip_install
    return lambda arguments: packaging.pip_install(arguments, requester="MomentumSeg")


@contextmanager
def _told_to_user(what: str) -> Iterator[None]:
    """Turns the errors of an installation into one sentence that begins with ``what``; the log keeps the rest."""
    try:
        yield
    except (subprocess.SubprocessError, OSError, RuntimeError, ImportError, ValueError, AttributeError) as error:
        _log.exception(what)
        advice = _("Slicer's log says why (View, Error Log). Without network, use Install from a folder.")
        raise UserError(f"{what}; {advice}") from error


def _check_arrival() -> None:
    importlib.invalidate_caches()
    if missing := missing_in_application():
        raise UserError(
            _("pip ended, but {packages} cannot be found; restart Slicer and try again.").format(
                packages=readable_list(missing)
            )
        )


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("pip may run on the main thread of Slicer only")
