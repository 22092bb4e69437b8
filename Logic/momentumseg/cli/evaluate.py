"""``momentumseg evaluate``: how good a model is on volumes whose labels are known."""

from __future__ import annotations

import json
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from momentumseg.cli.console import Output, output_of
from momentumseg.cli.evaluation_options import parse_case_names, parse_names_of_labels, progress_lines
from momentumseg.cli.options import DeviceOption, Plane, PlaneOption, checked_device, parse_numbers

if TYPE_CHECKING:
    from momentumseg.evaluation.report import EvaluationReport

app = typer.Typer(no_args_is_help=True, help="Measure models on volumes with known labels.", rich_markup_mode=None)


class Protocol(str, Enum):
    """Who drew the support: the literature takes another volume, a user draws on slices of the same one."""

    published = "published"
    user = "user"


class Choice(str, Enum):
    """Where the drawn slices of the user's protocol lie."""

    spread = "spread"
    suggested = "suggested"


class SupportVolumes(str, Enum):
    """Which volumes of a fold serve as support."""

    all = "all"
    third = "third"


@app.callback()
def evaluate() -> None:
    """Measure models on volumes with known labels."""


@app.command("fewshot")
def fewshot(
    context: typer.Context,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder with images and labels, or of nnU-Net.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="JSON file; its tables go to the .md beside it.")],
    protocol: Annotated[
        Protocol,
        typer.Option(metavar="NAME", help="published (support from other volumes) or user (drawn slices of the same)."),
    ] = Protocol.published,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Name or file of one model for all folds.")] = None,
    model_pattern: Annotated[
        str | None, typer.Option(metavar="PATH", help="Path with {fold}: one model a fold.")
    ] = None,
    fold: Annotated[str, typer.Option(metavar="LIST", help="all, or numbers such as 0 or 0,2.")] = "all",
    supports: Annotated[str, typer.Option(metavar="LIST", help="User: numbers of drawn slices.")] = "1,2,3,5",
    within: Annotated[
        str, typer.Option(metavar="FROM:TO", help="User: part of the structure drawn slices are spread over: 0:0.3.")
    ] = "0:1",
    choose: Annotated[
        Choice,
        typer.Option(metavar="NAME", help="User: slices evenly spread, or suggested: the middle, then as suggested."),
    ] = Choice.spread,
    support_volumes: Annotated[
        SupportVolumes, typer.Option(metavar="NAME", help="Published: all volumes of a fold in turn, or the third.")
    ] = SupportVolumes.all,
    parts: Annotated[int, typer.Option(metavar="N", min=1, help="Published: 3 chunks, or 1 middle support slice.")] = 3,
    labels: Annotated[
        str | None, typer.Option(metavar="LIST", help="Labels to evaluate, such as 1,4.", show_default="all")
    ] = None,
    label_names: Annotated[
        str | None, typer.Option(metavar="LIST", help="Names for the tables: 1=liver,4=spleen.")
    ] = None,
    cases: Annotated[
        str | None, typer.Option(metavar="LIST", help="Names of cases, or a number: so many from the first.")
    ] = None,
    consistency: Annotated[bool, typer.Option(help="Also with the consistency step through slices.")] = True,
    surface: Annotated[bool, typer.Option(help="Also the surface Dice.")] = True,
    tolerance: Annotated[float, typer.Option(metavar="MM", min=0, help="Of the surface Dice, mm.")] = 3.0,
    plane: PlaneOption = Plane.acquisition,
    device: DeviceOption = "cpu",
    allow_overlap: Annotated[bool, typer.Option(help="Accept a model that has seen test images.")] = False,
) -> None:
    """Dice and surface Dice of a few-shot model.

    Finished folds are kept beside the report: the same command continues an interrupted evaluation.
    """
    from momentumseg.io.checks import check_writable_output

    check_writable_output(output, suffixes=(".json",))
    options: dict[str, object] = {
        "labels": tuple(parse_numbers(labels, "--labels") or ()),
        "tolerance_mm": tolerance if surface else None,
        "consistency": consistency,
        "plane": plane.value,
    }
    if protocol is Protocol.published:
        options |= {"parts": parts, "supports": support_volumes.value}
    else:
        options |= {
            "supports": tuple(parse_numbers(supports, "--supports") or ()),
            "within": _fractions(within),
            "choice": choose.value,
        }
    arguments: dict[str, object] = {
        "folds": None if fold == "all" else parse_numbers(fold, "--fold"),
        "cases": parse_case_names(data, cases),
        "label_names": parse_names_of_labels(label_names),
        "allow_overlap": allow_overlap,
        "output": output,
        "device": checked_device(device),
        "command": shlex.join(["momentumseg", *sys.argv[1:]]),
    }
    report = _run(output_of(context), protocol, data, (model, model_pattern), options, arguments)
    output_of(context).result(json.loads(report.to_json()), report.to_markdown())


def _run(
    output: Output,
    protocol: Protocol,
    data: Path,
    model: tuple[str | None, str | None],
    options: dict[str, object],
    arguments: dict[str, object],
) -> EvaluationReport:
    from momentumseg.evaluation.models import models_by_fold
    from momentumseg.evaluation.published_protocol import PublishedOptions, run_published_protocol
    from momentumseg.evaluation.users_protocol import UserOptions, run_users_protocol

    models = models_by_fold(*model, device=str(arguments["device"]))
    with output.progress() as step:
        arguments = {**arguments, "progress": progress_lines(output, step("Evaluating"))}
        if protocol is Protocol.published:
            return run_published_protocol(data, models, PublishedOptions(**options), **arguments)  # type: ignore[arg-type]
        return run_users_protocol(data, models, UserOptions(**options), **arguments)  # type: ignore[arg-type]


def _fractions(text: str) -> tuple[float, float]:
    from momentumseg.errors import InputError

    try:
        first, last = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise InputError(f"--within {text!r} is no part of a structure; give two fractions such as 0:0.3.") from error
    return first, last
