"""The entry point ``run`` decides rightly what to install; its programs are stubs here, nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="run is a POSIX shell script; Windows has run.ps1")

# Plays python3 and the environment's python: records its arguments, answers what run asks, runs scripts for real.
PYTHON_STUB = """#!/bin/sh
printf '%s\\n' "python $*" >>"$LOG"
case "$*" in
    *"-m venv"*)
        for folder; do :; done
        mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; touch "$folder/pyvenv.cfg" ;;
    *ensurepip*) [ -z "${NO_VENV_MODULE:-}" ] || [ -e "$APT_DONE" ] ;;
    *"import pip"*) [ -e "$(dirname "$0")/../pyvenv.cfg" ] ;;
    *importlib.metadata*) exit 1 ;;
    *--dry-run*) [ -z "${OFFLINE:-}" ] && printf '{"install": [%s]}' "$REPORT" >"${PWD_REPORT}" ;;
    "- "*) exec "$REAL_PYTHON" "$@" ;;
    "-") [ -z "${NO_WINDOW:-}" ] || [ -e "$APT_DONE" ] ;;
esac
"""


class Machine:
    """A computer of stubs: its PATH holds nothing but what ``run`` may count on."""

    def __init__(self, folder: Path) -> None:
        self.project, self.bin, self.log = folder / "a project ü", folder / "bin", folder / "log"
        self.project.mkdir()
        self.bin.mkdir()
        for name in ("run", "pyproject.toml", "constraints.txt", "setup.py"):
            shutil.copy(ROOT / name, self.project / name)
        for tool in ("sh", "cat", "grep", "cksum", "mkdir", "cp", "touch", "rm", "dirname", "printf", "head"):
            (self.bin / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
        self.program("python3", PYTHON_STUB)
        self.environment = {
            "PATH": str(self.bin),
            "LOG": str(self.log),
            "APT_DONE": str(folder / "apt-done"),
            "REAL_PYTHON": sys.executable,
            "PWD_REPORT": str(self.project / ".venv" / "torch-report.json"),
            "REPORT": '{"metadata": {"name": "torch"}}',
        }

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.project / "run"), *arguments]
        return subprocess.run(command, env={**self.environment, **environment}, capture_output=True, encoding="utf-8")

    @property
    def calls(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def report_of(*names: str) -> str:
    return ", ".join(f'{{"metadata": {{"name": "{name}"}}}}' for name in names)


def test_installs_once_and_again_when_a_requirement_changes(machine: Machine) -> None:
    assert machine.run("setup").returncode == 0
    assert "--editable" in machine.calls
    machine.log.unlink()
    assert machine.run("setup").returncode == 0
    assert "pip" not in machine.calls
    with (machine.project / "constraints.txt").open("a", encoding="utf-8") as file:
        file.write("numpy==2.0\n")
    assert machine.run("setup").returncode == 0
    assert "--editable" in machine.calls


def test_cpu_wheels_where_torch_would_bring_cuda_and_there_is_no_gpu(machine: Machine) -> None:
    assert machine.run("setup", REPORT=report_of("torch", "nvidia-cublas")).returncode == 0
    assert CPU_INDEX in machine.calls


def test_plain_torch_where_it_brings_no_cuda(machine: Machine) -> None:
    assert machine.run("setup").returncode == 0
    assert CPU_INDEX not in machine.calls
    assert "--dry-run" in machine.calls


def test_plain_torch_where_there_is_a_gpu(machine: Machine) -> None:
    machine.program("nvidia-smi", "#!/bin/sh\nexit 0\n")
    assert machine.run("setup", REPORT=report_of("torch", "nvidia-cublas")).returncode == 0
    assert CPU_INDEX not in machine.calls


def test_a_driver_without_a_card_is_no_gpu(machine: Machine) -> None:
    machine.program("nvidia-smi", "#!/bin/sh\nexit 9\n")
    assert machine.run("setup", REPORT=report_of("torch", "cuda-toolkit")).returncode == 0
    assert CPU_INDEX in machine.calls


def test_installs_no_torch_when_pip_cannot_tell_what_it_brings(machine: Machine) -> None:
    result = machine.run("setup", OFFLINE="yes")
    assert result.returncode == 1
    assert "pip could not tell" in result.stderr
    assert "--editable" not in machine.calls


def test_debian_packages_through_apt_as_root(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 0\n")
    machine.program("apt-get", '#!/bin/sh\nprintf "%s\\n" "apt-get $*" >>"$LOG"\ntouch "$APT_DONE"\n')
    assert machine.run("setup", NO_VENV_MODULE="yes").returncode == 0
    assert "install -y -qq --no-install-recommends python3 python3-venv" in machine.calls


def test_the_line_to_run_is_printed_to_others(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 1000\n")
    machine.program("apt-get", "#!/bin/sh\nexit 1\n")
    result = machine.run("setup", NO_VENV_MODULE="yes")
    assert result.returncode == 1
    assert "sudo apt-get update && sudo apt-get install -y python3 python3-venv" in result.stderr


def test_says_what_is_needed_without_apt(machine: Machine) -> None:
    result = machine.run("setup", NO_VENV_MODULE="yes")
    assert result.returncode == 1
    assert "Python 3.10" in result.stderr


def test_demo_needs_no_window_and_what_has_more_has_enough(machine: Machine) -> None:
    assert machine.run("demo", NO_WINDOW="yes").returncode == 0
    assert "[cli]" in machine.calls
    assert machine.run("test").returncode == 0
    assert "[cli,app,dev]" in machine.calls
    machine.log.unlink()
    assert machine.run("app").returncode == machine.run("demo").returncode == 0
    assert "pip" not in machine.calls


def test_libraries_of_the_window_through_apt_as_root(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 0\n")
    machine.program("apt-get", '#!/bin/sh\nprintf "%s\\n" "apt-get $*" >>"$LOG"\ntouch "$APT_DONE"\n')
    assert machine.run("app", NO_WINDOW="yes").returncode == 0
    assert "libegl1" in machine.calls and "fonts-dejavu-core" in machine.calls
    assert machine.calls.endswith("python -m momentumseg app\n")


def test_the_line_that_installs_the_windows_libraries_is_printed_to_others(machine: Machine) -> None:
    machine.program("id", "#!/bin/sh\necho 1000\n")
    machine.program("apt-get", "#!/bin/sh\nexit 1\n")
    result = machine.run("app", NO_WINDOW="yes")
    assert result.returncode == 1
    assert "sudo apt-get update && sudo apt-get install -y libegl1 libgl1 " in result.stderr
    assert "-m momentumseg app" not in machine.calls


def test_unknown_task_and_help(machine: Machine) -> None:
    assert machine.run("dance").returncode == 2
    assert "./run TASK" in machine.run("help").stdout
    assert machine.calls == ""


def test_clean_leaves_foreign_folders_alone(machine: Machine, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    assert machine.run("clean", MOMENTUMSEG_VENV=str(photographs)).returncode == 1
    assert photographs.is_dir()


def test_arguments_arrive_unchanged(machine: Machine) -> None:
    assert machine.run("momentumseg", "fewshot", "a b.nii", "--labels", "1,2").returncode == 0
    assert machine.calls.endswith("python -m momentumseg fewshot a b.nii --labels 1,2\n")
