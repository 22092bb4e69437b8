"""slicer.packaging of the host: reads requirements, checks them by metadata, and installs nothing in testing mode."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def packaging(an_app: Any) -> Any:
    import slicer.packaging

    return slicer.packaging


def test_requirements_of_a_file(packaging: Any, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# needed\nnumpy>=1.24  # arrays\n\n--no-index\nsurely-not-there>=2\n", encoding="utf-8")
    requirements = packaging.load_requirements(file)
    assert [r.name for r in requirements] == ["numpy", "surely-not-there"]
    assert packaging.pip_check(requirements[0])
    assert not packaging.pip_check(requirements)


def test_nothing_is_installed_in_testing_mode(packaging: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from packaging.requirements import Requirement

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    packaging.pip_install("surely-not-there")
    packaging.pip_ensure([Requirement("surely-not-there")])
    assert not packaging.isPipInstallInProgress()


def test_declined_installation_is_an_error(packaging: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer
    from packaging.requirements import Requirement

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *arguments, **options: False)
    with pytest.raises(RuntimeError, match="surely-not-there"):
        packaging.pip_ensure([Requirement("surely-not-there")], skip_in_testing=False)
