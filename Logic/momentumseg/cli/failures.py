"""How commands end when something goes wrong: one sentence on stderr, an exit code, never a traceback."""

from __future__ import annotations

import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType

import typer

from momentumseg import __version__
from momentumseg.cli.console import Output
from momentumseg.errors import Cancelled, MomentumSegError

CANCELLED = "Cancelled; nothing was written."

EXIT_CODES = {
    0: "done",
    1: "an unexpected error; the message names a log file",
    2: "an unknown command or option, or a missing argument",
    3: "an input that cannot be used: volume, mask, option or folder",
    4: "weights that are missing, damaged, unsafe or of another network",
    5: "a result that cannot be written: missing or read-only folder, full disk",
    6: "an optional package that is not installed",
    130: "cancelled with Ctrl-C",
}


def show_error(error: MomentumSegError | KeyboardInterrupt, output: Output) -> int:
    """Say what was wrong, on stdout too with ``--json``, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        error = Cancelled(CANCELLED)
    sentence = str(error) or type(error).__name__
    typer.echo(sentence, err=True)
    if output.json:
        failure = {"kind": type(error).__name__, "message": sentence, "exit_code": error.exit_code}
        output.result({"error": failure}, sentence)
    return error.exit_code


def show_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Take the place of ``sys.excepthook``: one sentence, and a log file that keeps the traceback."""
    if issubclass(kind, KeyboardInterrupt):
        typer.echo(CANCELLED, err=True)
        return
    summary = " ".join(str(error).split())
    text = f"MomentumSeg {__version__}\n" + "".join(traceback.format_exception(kind, error, trace))
    log = _write_log(text)
    where = f"the log file {log} has the details; send it with your report" if log else "no log could be written"
    typer.echo(f"Something unexpected went wrong ({kind.__name__}: {summary[:300]}); {where}.", err=True)


def _write_log(text: str) -> Path | None:
    from momentumseg.weights.store import user_folder

    for folder in (user_folder() / "logs", Path(tempfile.gettempdir())):
        path = folder / f"momentumseg-{time.strftime('%Y%m%d-%H%M%S')}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return path
    return None
