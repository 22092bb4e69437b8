"""`slicer.packaging`: Python packages on the user's click. In testing mode nothing is ever installed."""

from __future__ import annotations

import importlib.metadata
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement

_state = {"in progress": False}


def load_requirements(path: str | Path) -> list[Requirement]:
    """Return the requirements of a file; comments, empty lines and options of pip are left out."""
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pip_check(req: Requirement | Sequence[Requirement]) -> bool:
    """Whether the requirements are met by what is installed; reads metadata only."""
    requirements = [req] if isinstance(req, Requirement) else list(req)
    return all(_is_met(requirement) for requirement in requirements)


def isPipInstallInProgress() -> bool:  # noqa: N802 - Slicer's name
    """Whether an installation runs."""
    return _state["in progress"]


def pip_ensure(
    requirements: Sequence[Requirement],
    constraints: str | None = None,
    skip_packages: Sequence[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> None:
    """Install what is missing, after asking.

    Raises:
        RuntimeError: the user declined.
    """
    missing = [r for r in requirements if not _is_met(r)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    names = ", ".join(str(r) for r in missing)
    if prompt_install and not slicer.util.confirmOkCancelDisplay(f"These Python packages will be installed: {names}"):
        raise RuntimeError(f"The user declined to install {names}.")
    pip_install([str(r) for r in missing], constraints=constraints, skip_packages=skip_packages, requester=requester)


def pip_install(
    requirements: str | Sequence[Any],
    constraints: str | None = None,
    no_deps_requirements: str | Sequence[Any] | None = None,
    skip_packages: Sequence[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Callable[[str], None] | None = None,  # noqa: N803
    completedCallback: Callable[[int], None] | None = None,  # noqa: N803
) -> None:
    """Run pip with these arguments; in testing mode only log them.

    Raises:
        subprocess.CalledProcessError: pip failed.
    """
    arguments = requirements.split() if isinstance(requirements, str) else [str(r) for r in requirements]
    arguments += ["-c", str(constraints)] if constraints else []
    if slicer.app.testingEnabled():
        logging.info("Testing mode: not installed: %s", arguments)
        return
    _state["in progress"] = True
    try:
        _run_pip(["install", *arguments], logCallback)
        if no_deps_requirements:
            names = no_deps_requirements.split() if isinstance(no_deps_requirements, str) else no_deps_requirements
            _run_pip(["install", "--no-deps", *(str(n) for n in names)], logCallback)
    finally:
        _state["in progress"] = False
    if completedCallback is not None:
        completedCallback(0)


def _run_pip(arguments: list[str], log: Callable[[str], None] | None) -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8")
    for line in process.stdout or ():
        logging.info(line.rstrip())
        if log is not None:
            log(line.rstrip())
        slicer.app.processEvents()
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, command)


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        installed = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(installed, prereleases=True)
