"""Global options, exit codes and failures of the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from momentumseg import __version__
from momentumseg.cli.app import app
from momentumseg.cli.failures import EXIT_CODES, show_unexpected
from momentumseg.errors import MomentumSegError

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"fewshot", "prompt", "automatic", "train", "evaluate", "models", "bench", "demo", "app"}


def kinds_of(error: type[MomentumSegError]) -> set[type[MomentumSegError]]:
    return {error}.union(*(kinds_of(kind) for kind in error.__subclasses__()))


def test_help_names_commands_and_exit_codes(momentumseg) -> None:
    answer = momentumseg("--help")
    assert answer.exit_code == 0
    for meaning in EXIT_CODES.values():
        assert meaning in answer.stdout


def test_every_command_has_help_and_is_documented(momentumseg) -> None:
    groups = {group.name: group.typer_instance.registered_commands for group in app.registered_groups}
    names = {command.name for command in app.registered_commands} | groups.keys()
    assert names <= COMMANDS
    document = (ROOT / "Docs" / "command-line.md").read_text(encoding="utf-8")
    for name in names:
        for words in [[name], *([name, command.name] for command in groups.get(name, ()))]:
            assert momentumseg(*words, "--help").exit_code == 0
            assert f"momentumseg {' '.join(words)}" in document


def test_exit_codes_are_documented_and_complete() -> None:
    document = (ROOT / "Docs" / "command-line.md").read_text(encoding="utf-8")
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in document
    assert {kind.exit_code for kind in kinds_of(MomentumSegError)} <= EXIT_CODES.keys()


def test_version(momentumseg) -> None:
    assert momentumseg("--version").stdout == f"momentumseg {__version__}\n"


@pytest.mark.parametrize("arguments", [["dance"], ["fewshot"], ["models", "show"], ["fewshot", "--dance"]])
def test_wrong_use_is_exit_code_2(momentumseg, arguments: list[str]) -> None:
    assert momentumseg(*arguments).exit_code == 2


def test_errors_are_one_sentence_on_stderr(momentumseg) -> None:
    answer = momentumseg("models", "show", "nothing")
    assert (answer.exit_code, answer.stdout) == (4, "")
    assert answer.stderr.count("\n") == 1
    assert "'nothing'" in answer.sentence


@pytest.mark.parametrize("position", [0, 1, 3])
def test_errors_are_json_too_wherever_the_option_stands(momentumseg, position: int) -> None:
    arguments = ["models", "show", "nothing"]
    arguments.insert(position, "--json")
    answer = momentumseg(*arguments)
    assert answer.json["error"]["kind"] == "WeightsError"
    assert answer.json["error"]["exit_code"] == answer.exit_code == 4
    assert answer.json["error"]["message"] == answer.sentence


def test_quiet_says_nothing_but_errors(momentumseg) -> None:
    assert momentumseg("models", "list").stderr != ""
    assert momentumseg("models", "list", "--quiet").stderr == ""
    assert momentumseg("models", "show", "nothing", "--quiet").stderr != ""


def test_an_unexpected_error_leaves_a_log_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOMENTUMSEG_HOME", str(tmp_path))
    error = ZeroDivisionError("by\nzero")
    show_unexpected(type(error), error, None)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ZeroDivisionError: by zero" in said
    (log,) = (tmp_path / "logs").iterdir()
    assert str(log) in said
    assert "ZeroDivisionError" in log.read_text(encoding="utf-8")


def test_the_process_ends_with_code_1_after_an_unexpected_error(tmp_path: Path) -> None:
    program = (
        "import sys; import momentumseg.weights.store as s, momentumseg.cli as c;"
        "s.WeightsStore.list = lambda self: 1 / 0; sys.argv = ['momentumseg', 'models', 'list']; c.main()"
    )
    environment = {"PYTHONPATH": str(ROOT / "Logic"), "MOMENTUMSEG_HOME": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "division by zero" in result.stderr
    assert "Traceback" in next((tmp_path / "logs").iterdir()).read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_missing_packages_of_the_command_line_are_named(missing: str) -> None:
    program = f"import sys; sys.modules['{missing}'] = None; import momentumseg.cli as c; c.main()"
    environment = {"PYTHONPATH": str(ROOT / "Logic")}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert result.returncode == 6
    assert "pip install 'momentumseg[cli]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_python_m_momentumseg() -> None:
    environment = {"PYTHONPATH": str(ROOT / "Logic")}
    command = [sys.executable, "-m", "momentumseg", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, env=environment).stdout.startswith("momentumseg ")
