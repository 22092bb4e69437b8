"""``momentumseg evaluate``: the numbers of a model on labelled data."""

from __future__ import annotations

import json
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from momentumseg.cli.console import Output, output_of
from momentumseg.cli.options import DEFAULT_MODEL, DeviceOption, Plane, checked_device, parse_numbers

if TYPE_CHECKING:
    from momentumseg.evaluation.report import EvaluationReport

app = typer.Typer(no_args_is_help=True, help="Measure models on labelled data.", rich_markup_mode=None)


class Protocol(str, Enum):
    """``published``: the folds of the literature; ``user``: n slices of the same volume are drawn, no more is known."""

    published = "published"
    user = "user"


@app.callback()
def _group() -> None:
    # A group even with one command, so that "evaluate fewshot" keeps its name when others join it.
    return


@app.command("fewshot")
def fewshot(
    context: typer.Context,
    data: Annotated[
        Path, typer.Option("--data", metavar="FOLDER", help="images/ and labels/, or the layout of nnU-Net.")
    ],
    protocol: Annotated[
        Protocol,
        typer.Option("--protocol", metavar="NAME", help="published (another volume is the support) or user."),
    ] = Protocol.published,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="One model for all folds.", show_default=DEFAULT_MODEL),
    ] = None,
    model_pattern: Annotated[
        str | None, typer.Option("--model-pattern", metavar="PATH", help="One a fold: runs/fold{fold}/model.safetensors")
    ] = None,
    folds: Annotated[str | None, typer.Option("--folds", metavar="LIST", show_default="all")] = None,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help="Only this case; may be repeated.", show_default="all"),
    ] = None,
    labels: Annotated[str | None, typer.Option("--labels", metavar="LIST", show_default="all")] = None,
    label_names: Annotated[
        str, typer.Option("--label-names", metavar="LIST", help="For the tables: 1=liver,2=spleen")
    ] = "",
    plane: Annotated[
        Plane, typer.Option("--plane", metavar="PLANE", help="axial, coronal, sagittal, acquisition.")
    ] = Plane.acquisition,
    parts: Annotated[
        int, typer.Option("--parts", metavar="N", min=1, help="published: chunks; 1 is the single middle support.")
    ] = 3,
    supports: Annotated[
        str | None,
        typer.Option("--supports", metavar="TEXT", help="published: all or third volume(s); user: drawn slices, 1,2,3,5."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="MM", min=0, help="Of the surface Dice; 0 leaves it out.")
    ] = 3.0,
    consistency: Annotated[
        bool, typer.Option("--consistency/--no-consistency", help="Also report the result with the consistency step.")
    ] = True,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Also test a model on images that it was trained on.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="JSON report; its tables are written beside it as .md."),
    ] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Dice and surface Dice of a few-shot model.

    With --output, finished folds are kept beside the report: the same command continues an interrupted evaluation.
    """
    streams = output_of(context)
    _check_output(output)
    arguments: dict[str, Any] = {
        "folds": parse_numbers(folds, "--folds"),
        "cases": case,
        "allow_overlap": allow_overlap,
        "output": output,
        "device": checked_device(device),
        "command": shlex.join(["momentumseg", *sys.argv[1:]]),
    }
    shared = {
        "labels": tuple(parse_numbers(labels, "--labels") or ()),
        "tolerance_mm": tolerance or None,
        "consistency": consistency,
        "plane": plane.value,
    }
    report = _run(protocol, data, (model, model_pattern), supports, parts, label_names, shared, arguments, streams)
    streams.result(json.loads(report.to_json()), report.to_markdown())


def _run(
    protocol: Protocol,
    data: Path,
    models: tuple[str | None, str | None],
    supports: str | None,
    parts: int,
    label_names: str,
    shared: dict[str, Any],
    arguments: dict[str, Any],
    streams: Output,
) -> EvaluationReport:
    from momentumseg.evaluation.datasets import parse_label_names
    from momentumseg.evaluation.models import models_by_fold
    from momentumseg.evaluation.published_protocol import PublishedOptions, run_published_protocol
    from momentumseg.evaluation.users_protocol import UserOptions, run_users_protocol

    model, pattern = models
    loader = models_by_fold(model if model or pattern else DEFAULT_MODEL, pattern, arguments["device"])
    arguments["label_names"] = parse_label_names(label_names)
    with streams.progress() as step:
        advance = step("Evaluating")
        arguments["progress"] = lambda text, fraction: advance(round(1000 * fraction), 1000)
        if protocol is Protocol.published:
            options = PublishedOptions(parts=parts, supports=supports or "all", **shared)
            return run_published_protocol(data, loader, options, **arguments)
        drawn = parse_numbers(supports, "--supports") or list(UserOptions.supports)
        return run_users_protocol(data, loader, UserOptions(supports=tuple(drawn), **shared), **arguments)


def _check_output(output: Path | None) -> None:
    from momentumseg.io.checks import check_writable_output

    if output is not None:
        check_writable_output(output, suffixes=(".json",))
