"""How workers are started: here, in another Python, and through ssh, with paths as users have them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import momentumseg
from MomentumSegLib.engine import add_engine_to_path, engine_folder
from MomentumSegLib.errors import UserError
from MomentumSegLib.worker_launch import local_launch, own_python, ssh_launch

ENGINE = Path(momentumseg.__file__).parents[1]
STRANGE = "it's a „Größe“ $HOME `x` & co"
posix_only = pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")


@pytest.fixture
def a_python_in(tmp_path: Path):
    """Makes a program that runs this Python with further options, in a folder with a strange name."""

    def make(*options: str) -> Path:
        folder = tmp_path / STRANGE
        folder.mkdir(exist_ok=True)
        program = folder / "python 3"
        words = shlex.join([sys.executable, *options])
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        return program

    return make


@pytest.fixture
def a_remote_computer(tmp_path: Path, worker_environment) -> tuple[str, ...]:
    """Stands in for ssh: keeps its arguments, and has a shell run the last one as the other computer would."""
    script = tmp_path / "ssh stand-in"
    arguments = tmp_path / "arguments"
    home = shlex.quote(worker_environment["MOMENTUMSEG_HOME"])
    script.write_text(
        "#!/bin/sh\n"
        f"printf '%s\\n' \"$@\" > {shlex.quote(str(arguments))}\n"
        'for last; do :; done\necho "a banner of the other computer" >&2\n'
        f'exec env -i HOME={shlex.quote(str(tmp_path))} PATH="$PATH" MOMENTUMSEG_HOME={home} sh -c "$last"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return (str(script),)


def test_the_engine_is_found_and_its_protocol_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_folder() == ENGINE
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(ENGINE)])
    add_engine_to_path()
    add_engine_to_path()
    assert sys.path.count(str(ENGINE)) == 1


def test_the_engine_beside_the_installed_modules_is_found(tmp_path: Path) -> None:
    """Installed, all lies in one flat folder."""
    source = ENGINE.parent / "SlicerMomentumSeg" / "MomentumSegLib"
    (tmp_path / "MomentumSegLib").mkdir()
    for name in ("__init__.py", "engine.py", "errors.py"):
        shutil.copy(source / name, tmp_path / "MomentumSegLib" / name)
    program = "from MomentumSegLib.engine import engine_folder; print(engine_folder())"
    ask = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    failed = subprocess.run(ask, env=environment, capture_output=True, text=True, check=False)
    assert "install the MomentumSeg extension again" in failed.stderr
    (tmp_path / "momentumseg").mkdir()
    (tmp_path / "momentumseg" / "__init__.py").touch()
    found = subprocess.run(ask, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(tmp_path)


@posix_only
def test_another_python_sees_nothing_of_this_one(
    a_client_of, a_python_in, monkeypatch: pytest.MonkeyPatch, worker_environment, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/of/the/host")
    log = tmp_path / STRANGE / "worker.log"
    launch = local_launch(
        str(a_python_in()), environment={"MOMENTUMSEG_HOME": worker_environment["MOMENTUMSEG_HOME"]}, log=str(log)
    )
    assert "PYTHONHOME" not in launch.environment and launch.environment["PYTHONPATH"] == str(ENGINE)
    worker = a_client_of(launch)
    worker.send("noop")
    worker.wait_until(lambda: worker.client._greeting is not None)
    assert log.is_file()


def test_the_own_python_keeps_its_environment_and_finds_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "of the host")
    monkeypatch.setenv("PYTHONHOME", "of the host")
    launch = local_launch(arguments=("--idle-seconds", "60"))
    assert launch.command == (sys.executable, "-m", "momentumseg.worker", "--idle-seconds", "60")
    assert launch.environment["PYTHONPATH"] == os.pathsep.join([str(ENGINE), "of the host"])
    assert launch.environment["PYTHONHOME"] == "of the host" and not launch.is_remote


@posix_only
def test_the_python_of_slicer_lies_beside_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SlicerApp-real", "PythonSlicer"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    assert own_python() == str(tmp_path / "PythonSlicer")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "PythonSlicer"))
    assert own_python() == str(tmp_path / "PythonSlicer")


@posix_only
def test_missing_packages_are_named_and_can_be_told_from_other_faults(a_client_of, a_python_in, tmp_path) -> None:
    failure = a_client_of(local_launch(str(a_python_in("-S")), log=str(tmp_path / "log"))).fail("noop")
    assert (failure.kind, failure.reason) == ("start", "missing packages")
    assert "torch" in failure.sentence and "install the packages" in failure.sentence and "\n" not in failure.sentence


@posix_only
def test_a_package_that_cannot_be_loaded_is_named(a_client_of, tmp_path: Path, worker_environment) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('libcudart.so.99 is missing')\n", encoding="utf-8")
    launch = local_launch(environment={"PYTHONPATH": os.pathsep.join([str(tmp_path / "broken"), str(ENGINE)])})
    failure = a_client_of(launch).fail("noop")
    assert (failure.kind, failure.reason) == ("start", "broken packages")
    assert "libcudart.so.99" in failure.sentence


def test_a_python_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="There is no Python at .*nowhere"):
        local_launch("/nowhere/python")


@posix_only
def test_a_program_that_is_no_program_is_a_failure_in_words(a_client_of, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_bytes(b"\x00\x01 not a program")
    program.chmod(0o755)
    failure = a_client_of(local_launch(str(program), log=str(tmp_path / "log"))).fail("noop")
    assert failure.kind == "start" and "cannot be run" in failure.sentence


@posix_only
def test_a_worker_on_another_computer(a_client_of, a_remote_computer, a_python_in, tmp_path: Path) -> None:
    """Paths with blanks, quotes, dollars and foreign letters reach it, and its home is expanded there."""
    a_python_in()
    engine = tmp_path / "engine" / STRANGE
    engine.parent.mkdir()
    engine.symlink_to(ENGINE)
    launch = ssh_launch(
        "user@gpu", f"~/{STRANGE}/python 3", str(engine), ssh=a_remote_computer, log=str(tmp_path / "ssh.log")
    )
    worker = a_client_of(launch)
    assert worker.call("noop")[0] == {}
    assert worker.client.hello["pid"] > 0
    arguments = (tmp_path / "arguments").read_text(encoding="utf-8").splitlines()
    assert "BatchMode=yes" in arguments and arguments[-2] == "user@gpu"
    assert "banner" in (tmp_path / "ssh.log").read_text(encoding="utf-8")


@posix_only
def test_a_computer_that_refuses_is_quoted(a_client_of, tmp_path: Path) -> None:
    script = tmp_path / "ssh"
    script.write_text("#!/bin/sh\necho 'user@gpu: Permission denied (publickey).' >&2\nexit 255\n", encoding="utf-8")
    script.chmod(0o755)
    failure = a_client_of(ssh_launch("user@gpu", ssh=(str(script),), log=str(tmp_path / "log"))).fail("noop")
    assert failure.kind == "start" and "Permission denied (publickey)" in failure.sentence


@posix_only
def test_a_process_number_of_another_computer_is_never_ended_here(a_client_of, a_stand_in) -> None:
    from dataclasses import replace

    innocent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    lines = f"hello(pid={innocent.pid}); ready(); request(); out.write(b'rubbish' * 9); time.sleep(600)"
    worker = a_client_of(replace(a_stand_in(lines), is_remote=True))
    assert worker.fail("noop").kind == "protocol"
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()


@pytest.mark.parametrize("host", ["", " ", "-oProxyCommand=evil", "a b", "host;rm", "$(x)", "a'b"])
def test_a_host_that_no_command_can_hold_is_refused(host: str) -> None:
    with pytest.raises(UserError, match="is no host for ssh"):
        ssh_launch(host)


def test_a_path_of_two_lines_is_refused() -> None:
    with pytest.raises(UserError, match="must be one line"):
        ssh_launch("gpu", "python\nrm")
