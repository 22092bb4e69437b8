"""``momentumseg evaluate automatic``: how good trained models are on volumes that they were not trained on."""

from __future__ import annotations

import json
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from momentumseg.cli.console import output_of
from momentumseg.cli.evaluation_options import parse_case_names, parse_names_of_labels, progress_lines
from momentumseg.cli.options import DeviceOption, checked_device, parse_numbers
from momentumseg.errors import InputError


class Part(str, Enum):
    """Cases of a run's split."""

    test = "test"
    validation = "validation"


def automatic(
    context: typer.Context,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder with images and labels, or of nnU-Net.")],
    model: Annotated[
        list[str], typer.Option(metavar="NAME", help="Name or file of a model; repeat it to compare, such as seeds.")
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="JSON file; its tables go to the .md beside it.")],
    split: Annotated[
        Path | None, typer.Option(metavar="FILE", help="splits.json of the training run: its cases of --part.")
    ] = None,
    part: Annotated[Part, typer.Option(metavar="NAME", help="With --split: test or validation.")] = Part.test,
    cases: Annotated[
        str | None, typer.Option(metavar="LIST", help="Names of cases, or a number: so many from the first.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="LIST", help="Labels to evaluate, such as 1,4.", show_default="all")
    ] = None,
    label_names: Annotated[
        str | None, typer.Option(metavar="LIST", help="Names for the tables: 1=liver,4=spleen.")
    ] = None,
    mirror: Annotated[
        bool | None, typer.Option(help="Average over mirrored images.", show_default="as in the model's recipe")
    ] = None,
    distances: Annotated[bool, typer.Option(help="Also the Hausdorff distance.")] = True,
    surface: Annotated[bool, typer.Option(help="Also the surface Dice.")] = True,
    tolerance: Annotated[float, typer.Option(metavar="MM", min=0, help="Of the surface Dice, mm.")] = 3.0,
    device: DeviceOption = "cpu",
    allow_overlap: Annotated[bool, typer.Option(help="Accept cases that the training of a model used.")] = False,
) -> None:
    """Dice, distances and surface Dice of automatic models, per label and patient.

    Finished models are kept beside the report: the same command continues an interrupted evaluation.
    """
    from momentumseg.evaluation.automatic_protocol import AutomaticOptions, cases_of_split, run_automatic_protocol
    from momentumseg.io.checks import check_writable_output

    check_writable_output(output, suffixes=(".json",))
    if split is not None and cases is not None:
        raise InputError("Give either --split or --cases: both say which cases are evaluated.")
    options = AutomaticOptions(
        labels=tuple(parse_numbers(labels, "--labels") or ()),
        tolerance_mm=tolerance if surface else None,
        distances=distances,
        mirror=mirror,
    )
    streams = output_of(context)
    with streams.progress() as step:
        report = run_automatic_protocol(
            data,
            model,
            options,
            cases=parse_case_names(data, cases) if split is None else cases_of_split(split, part.value),
            label_names=parse_names_of_labels(label_names),
            allow_overlap=allow_overlap or (split is not None and part is Part.validation),
            output=output,
            device=checked_device(device),
            progress=progress_lines(streams, step("Evaluating")),
            command=shlex.join(["momentumseg", *sys.argv[1:]]),
        )
    streams.result(json.loads(report.to_json()), report.to_markdown())
