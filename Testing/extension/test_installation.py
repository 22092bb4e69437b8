"""What the worker's Python needs: found out without importing it, installed on a click only, and never at a price."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
import types
import venv
import zipfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from packing import ROOT

from MomentumSegLib import installation
from MomentumSegLib.errors import UserError
from MomentumSegLib.installation import Requirement
from MomentumSegLib.settings import Settings

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

on_posix = pytest.mark.skipif(os.name != "posix", reason="the stand-ins for python are shell scripts")


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Packages that the application's Python has; empty at first, and the test may add some."""
    installed: dict[str, str] = {}
    monkeypatch.setattr(installation, "_installed_version", installed.get)
    return installed


@pytest.fixture
def a_recorded_pip(monkeypatch: pytest.MonkeyPatch, nothing_installed: dict[str, str]) -> list[list[str]]:
    """Calls of Slicer's pip. It installs what it is asked for; the constraints file is replaced by its lines."""
    calls: list[list[str]] = []

    def install(arguments: list[str]) -> None:
        place = arguments.index("--constraint") + 1
        constraints = Path(arguments[place]).read_text(encoding="utf-8").split()
        calls.append([*arguments[:place], *constraints, *arguments[place + 1 :]])
        for requirement in installation.slicer_requirements():
            if str(requirement) in arguments:
                nothing_installed[requirement.name] = requirement.minimum

    monkeypatch.setattr(installation, "_slicers_pip", lambda: install)
    return calls


def test_requirements_are_those_of_the_engine() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {line.split(";")[0].strip() for line in project["dependencies"] if not line.startswith("tomli")}
    assert {str(requirement) for requirement in installation.worker_requirements()} == declared


def test_what_slicer_brings_is_not_asked_for() -> None:
    names = {requirement.name for requirement in installation.slicer_requirements()}
    assert names == {"torch", "monai", "safetensors"}


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.13.0+cpu", (2, 13, 0)), ("2.4", (2, 4)), ("0.4.3rc1", (0, 4, 3)), ("2.5.dev20", (2, 5)), ("odd", ())],
)
def test_version_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert installation.version_numbers(version) == numbers


@pytest.mark.parametrize(
    ("version", "met"), [("2.4.0", True), ("2.13.0+cu126", True), ("2.3.9", False), ("1.99", False), (None, False)]
)
def test_requirement_compares_numbers_not_text(version: str | None, met: bool) -> None:
    assert Requirement("torch", "2.4").is_met_by(version) is met


def test_missing_packages_are_found_without_importing_them() -> None:
    program = (
        "import sys, MomentumSegLib.installation as i; print([str(r) for r in i.missing_in_application()]);"
        "print(*{'torch', 'monai', 'safetensors', 'qt'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "SlicerMomentumSeg")}
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert answer.stdout.split("\n")[:2] == ["[]", ""], answer.stderr


def test_ready_looks_at_what_the_settings_name(nothing_installed: dict[str, str], tmp_path: Path) -> None:
    assert not installation.is_ready(Settings())
    assert installation.is_ready(Settings(ssh_host="gpu-server"))
    assert installation.is_ready(Settings(python=sys.executable))
    assert not installation.is_ready(Settings(python=str(tmp_path / "removed" / "python")))
    nothing_installed.update({"torch": "2.9.1", "monai": "1.5", "safetensors": "0.6.2"})
    assert installation.is_ready(Settings())


# Another Python.


def test_python_that_has_everything_is_accepted() -> None:
    report = installation.examine_python(sys.executable)
    assert report.version[:2] == sys.version_info[:2]
    assert report.missing() == []
    assert installation.version_numbers(report.found["torch"] or "") >= (2, 4)


def test_python_without_packages_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    folder = tmp_path / "an environment with spaces"
    venv.create(folder, with_pip=False)
    python = installation.python_of(folder)
    with pytest.raises(UserError) as refusal:
        installation.examine_python(python)
    sentence = str(refusal.value)
    assert "lacks torch 2.4, monai 1.3" in sentence
    assert f'"{python}" -m pip install "torch>=2.4"' in sentence


@on_posix
@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo hello", "does not answer as Python does"),
        ("exit 3", "does not answer as Python does"),
        ("echo '[1, 2]'", "does not answer as Python does"),
        ("exec sleep 60", "does not answer as Python does"),
        ("""echo '{"python": [3, 8, 10], "found": {}}'""", r"is Python 3\.8\.10; Python 3\.10 or newer is needed"),
    ],
)
def test_program_that_is_no_fitting_python_is_refused(script: str, sentence: str, tmp_path: Path) -> None:
    program = _a_script(tmp_path / "p\u00fdthon", script)
    with pytest.raises(UserError, match=sentence):
        installation.examine_python(program, timeout_seconds=5)


def test_program_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no program .*nowhere; choose"):
        installation.examine_python(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no Python environment"):
        installation.python_of(tmp_path)


def test_file_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "python").write_bytes(b"\0\1")
    with pytest.raises(UserError):
        installation.examine_python(tmp_path / "python")


# Installing.


def test_folder_of_wheels_is_installed_without_network(
    a_recorded_pip: list, nothing_installed: dict, tmp_path: Path
) -> None:
    nothing_installed.update({"numpy": "2.4.6", "torchvision": "0.20"})
    (tmp_path / "torch-2.9.1-cp312-none-any.whl").touch()
    steps: list[str] = []
    installation.install_from_folder(tmp_path, steps.append)
    (call,) = a_recorded_pip
    assert call[:3] == ["--no-index", "--find-links", str(tmp_path)]
    assert call[-3:] == ["torch>=2.4", "monai>=1.3", "safetensors>=0.4.3"]
    kept = call[call.index("--constraint") + 1 : -3]
    assert kept == ["numpy==2.4.6"], "torchvision must be free to follow another torch"
    assert steps == [f"Installing from {tmp_path}"]


def test_folder_without_wheels_says_how_to_fill_it(a_recorded_pip: list, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'holds no wheels.*pip download "torch>=2.4" "monai>=1.3"'):
        installation.install_from_folder(tmp_path)
    assert not a_recorded_pip


def test_torch_comes_through_the_pytorch_extension_and_stays_as_it_is(
    a_recorded_pip: list, nothing_installed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict] = []

    class PyTorchUtilsLogic:
        def installTorch(self, **options: object) -> object:
            asked.append(options)
            nothing_installed["torch"] = "2.9.1+cu126"
            return object()

    _fake_module(monkeypatch, "PyTorchUtils", PyTorchUtilsLogic=PyTorchUtilsLogic)
    installation.install_from_network()
    assert asked == [{"askConfirmation": False, "torchVersionRequirement": ">=2.4"}]
    (call,) = a_recorded_pip
    assert call[-2:] == ["monai>=1.3", "safetensors>=0.4.3"]
    assert "torch==2.9.1+cu126" in call, "the other packages must not replace the torch that fits the graphics card"


def test_without_the_pytorch_extension_nothing_is_installed(
    a_recorded_pip: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    monkeypatch.setattr(installation, "has_pytorch_extension", lambda: False)
    with pytest.raises(UserError, match="The extension PyTorch is missing; install it with the Extensions Manager"):
        installation.install_from_network()
    assert not a_recorded_pip


def test_torch_that_is_there_is_left_alone(
    a_recorded_pip: list, nothing_installed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_installed["torch"] = "2.5.0"
    monkeypatch.setattr(installation, "_install_torch", lambda requirement: pytest.fail("torch is there"))
    installation.install_from_network()
    assert len(a_recorded_pip) == 1


@pytest.mark.parametrize(
    "error", [subprocess.CalledProcessError(1, "pip"), RuntimeError("declined"), OSError(28, "No space left on device")]
)
def test_failure_is_one_sentence(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    nothing_installed: dict,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(installation, "_slicers_pip", lambda: fail)
    (tmp_path / "a.whl").touch()
    with pytest.raises(UserError) as failure:
        installation.install_from_folder(tmp_path)
    assert re.fullmatch(
        r"torch, monai, safetensors could not be installed; Slicer's log says why .*", str(failure.value)
    )
    assert type(error).__name__ in caplog.text, "the log keeps the reason"


def test_pip_that_installed_nothing_is_noticed(
    monkeypatch: pytest.MonkeyPatch, nothing_installed: dict, tmp_path: Path
) -> None:
    monkeypatch.setattr(installation, "_slicers_pip", lambda: lambda arguments: None)
    (tmp_path / "a.whl").touch()
    with pytest.raises(UserError, match="pip ended, but torch 2.4, monai 1.3, safetensors 0.4.3 cannot be found"):
        installation.install_from_folder(tmp_path)


def test_pip_runs_on_the_main_thread_only(a_recorded_pip: list, tmp_path: Path) -> None:
    errors: list[BaseException] = []
    for install in (installation.install_from_network, lambda: installation.install_from_folder(tmp_path)):
        thread = threading.Thread(target=_keep_error, args=(install, errors))
        thread.start()
        thread.join()
    assert [str(error) for error in errors] == ["pip may run on the main thread of Slicer only"] * 2


def test_slicer_with_its_own_packaging_uses_that(an_application: object, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple] = []
    module = types.ModuleType("slicer.packaging")
    module.pip_install = lambda *arguments, **options: calls.append((arguments, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    installation._slicers_pip()(["monai>=1.3"])
    assert calls == [((["monai>=1.3"],), {"requester": "MomentumSeg"})]


def test_slicer_5_10_uses_its_plain_pip(an_application: object, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    calls: list[list[str]] = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", calls.append, raising=False)
    installation._slicers_pip()(["monai>=1.3"])
    assert calls == [["monai>=1.3"]]


@pytest.mark.slow
def test_real_pip_refuses_to_replace_a_bundled_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wheel that wants another numpy is refused by pip itself, and the installed numpy stays."""
    _a_wheel(tmp_path, "monai", "9.0", requires=["numpy>=99"])
    _a_wheel(tmp_path, "numpy", "99.0")
    _a_wheel(tmp_path, "torch", "9.0")
    _a_wheel(tmp_path, "safetensors", "9.0")
    failures: list[str] = []

    def pip(arguments: list[str]) -> None:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", *arguments]
        answer = subprocess.run(command, capture_output=True, text=True)
        failures.append(answer.stderr)
        answer.check_returncode()

    monkeypatch.setattr(installation, "_slicers_pip", lambda: pip)
    monkeypatch.setattr(installation, "missing_in_application", installation.slicer_requirements)
    with pytest.raises(UserError, match="could not be installed"):
        installation.install_from_folder(tmp_path)
    assert "conflicting dependencies" in failures[0]


def _keep_error(action: Callable[[], None], errors: list[BaseException]) -> None:
    try:
        action()
    except RuntimeError as error:
        errors.append(error)


def _fake_module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    module.__spec__ = ModuleSpec(name, loader=None)  # find_spec asks for it
    monkeypatch.setitem(sys.modules, name, module)


def _a_script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _a_wheel(folder: Path, name: str, version: str, requires: list[str] | None = None) -> None:
    """A wheel with metadata only."""
    information = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires or [])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        wheel.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{information}/RECORD", "")
