"""The command ``momentumseg``: its global options, its groups of commands and what happens when one fails."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from momentumseg import __version__
from momentumseg.cli import (
    app_command,
    automatic,
    bench,
    demo,
    evaluate,
    evaluate_automatic,
    evaluate_prompts,
    fewshot,
    models,
    prompt,
    train,
)
from momentumseg.cli.console import Output
from momentumseg.cli.failures import EXIT_CODES, show_error, show_unexpected
from momentumseg.errors import MomentumSegError

_ANYWHERE = ("--json", "--quiet")
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<4}{meaning}" for code, meaning in EXIT_CODES.items())


class CommandGroup(TyperGroup):
    """Accepts the global options at any place and turns known errors into a sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        first = [argument for argument in args[:end] if argument in _ANYWHERE]
        rest = [argument for argument in args[:end] if argument not in _ANYWHERE]
        return super().parse_args(ctx, first + rest + args[end:])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (MomentumSegError, KeyboardInterrupt) as error:
            code = show_error(error, ctx.find_object(Output) or Output())
        except EOFError as error:
            raise RuntimeError("a file ended too early") from error  # typer would take it for Ctrl-D and hide it
        raise typer.Exit(code)


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help wraps well in narrow terminals, logs and screen readers
    epilog=_EPILOG,
    help="Few-shot segmentation of medical volumes: one drawn slice becomes the whole organ, with its uncertainty.",
)
app.command("fewshot")(fewshot.fewshot)
app.command("prompt")(prompt.prompt)
app.command("automatic")(automatic.automatic)
app.command("demo")(demo.demo)
app.command("app", context_settings=app_command.PASS_ON)(app_command.app)
app.command("train")(train.train)
evaluate.app.command("prompts")(evaluate_prompts.prompts)
evaluate.app.command("automatic")(evaluate_automatic.automatic)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"momentumseg {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    context: typer.Context,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, notes or warnings on stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # No docstring: typer would show it instead of the help above.
    context.obj = Output(json=json, quiet=quiet)


def run() -> None:
    """Run the command line; ends the process."""
    sys.excepthook = show_unexpected
    signal.signal(signal.SIGTERM, _interrupt)  # a scheduler's stop cleans up as Ctrl-C does
    get_command(app)(prog_name="momentumseg")  # calling the app itself would put typer's own hook in place of ours


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
