"""What commands say: results on stdout (words or one JSON object), everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_PIPED_WIDTH = 160  # of tables in files and pipes, where no terminal says how wide it is

Advance = Callable[[int, int], None]
"""Progress of a step: (done, in all); 0 in all means not known."""


@dataclass
class Output:
    """The two streams of one command.

    Attributes:
        json: print one JSON object on stdout instead of words.
        quiet: say nothing on stderr but errors.
    """

    json: bool = False
    quiet: bool = False

    def result(self, payload: Mapping[str, Any], words: RenderableType) -> None:
        """Print the result of the command: ``payload`` with ``--json``, else ``words``. To be called once."""
        if self.json:
            typer.echo(json.dumps(payload, ensure_ascii=False, default=str))
        else:
            width = None if sys.stdout.isatty() else _PIPED_WIDTH
            Console(width=width, soft_wrap=True, highlight=False, markup=False, emoji=False).print(words)

    def note(self, sentence: str) -> None:
        """Say something that helps but is no result."""
        if not self.quiet:
            typer.echo(sentence, err=True)

    def warn(self, sentence: str) -> None:
        """Say what may make the result worse than expected."""
        self.note(f"Warning: {sentence}")

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], Advance]]:
        """Show bars with the remaining time on stderr while the block runs: one for each step that is named."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
        )
        console = Console(stderr=True)
        hidden = self.quiet or not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=hidden) as bars:

            def step(description: str) -> Advance:
                task = bars.add_task(description, total=None, visible=False)
                return lambda done, total: bars.update(task, completed=done, total=total or None, visible=True)

            yield step


def output_of(context: typer.Context) -> Output:
    """Return the streams that the global options chose."""
    output = context.find_object(Output)
    return output if output is not None else Output()
