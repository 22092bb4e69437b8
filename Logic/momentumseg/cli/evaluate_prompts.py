"""``momentumseg evaluate prompts``: how good boxes, clicks and following are on volumes whose labels are known."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from momentumseg.cli.console import output_of
from momentumseg.cli.evaluate_automatic import Part
from momentumseg.cli.evaluation_options import parse_case_names, parse_names_of_labels, progress_lines
from momentumseg.cli.options import DeviceOption, Plane, PlaneOption, checked_device, parse_numbers
from momentumseg.errors import InputError


def prompts(
    context: typer.Context,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder with images and labels, or of nnU-Net.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="JSON file; its tables go to the .md beside it.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="Name or file of a model for prompts.")] = "lite-medsam",
    decoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="Prompt encoder and mask decoder of another model.")
    ] = None,
    cases: Annotated[
        str | None, typer.Option(metavar="LIST", help="Names of cases, or a number: so many from the first.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(metavar="FILE", help="splits.json of the training run: its cases of --part.")
    ] = None,
    part: Annotated[Part, typer.Option(metavar="NAME", help="With --split: test or validation.")] = Part.test,
    labels: Annotated[
        str | None, typer.Option(metavar="LIST", help="Labels to evaluate, such as 1,4.", show_default="all")
    ] = None,
    label_names: Annotated[
        str | None, typer.Option(metavar="LIST", help="Names for the tables: 1=liver,4=spleen.")
    ] = None,
    margin: Annotated[float, typer.Option(metavar="VOXELS", min=0, help="Between the structure and its box.")] = 5.0,
    smallest_area: Annotated[
        int, typer.Option(metavar="VOXELS", min=1, help="Slices with less are not evaluated by themselves.")
    ] = 100,
    clicks: Annotated[str, typer.Option(metavar="LIST", help="Numbers of simulated clicks, or none.")] = "1,3,5",
    click_slices: Annotated[
        int, typer.Option(metavar="N", min=1, help="Slices of each structure with simulated clicks.")
    ] = 5,
    follow: Annotated[bool, typer.Option(help="Also through the volume.")] = True,
    surface: Annotated[bool, typer.Option(help="Also the surface Dice.")] = True,
    tolerance: Annotated[float, typer.Option(metavar="MM", min=0, help="Of the surface Dice, mm.")] = 3.0,
    plane: PlaneOption = Plane.acquisition,
    device: DeviceOption = "cpu",
    allow_overlap: Annotated[bool, typer.Option(help="Accept cases that the training of a model used.")] = False,
) -> None:
    """Dice and surface Dice of boxes, clicks and following through the volume.

    Finished cases are kept beside the report: the same command continues an interrupted evaluation.
    """
    from momentumseg.evaluation.automatic_protocol import cases_of_split
    from momentumseg.evaluation.prompt_protocol import PromptOptions, run_prompt_protocol
    from momentumseg.io.checks import check_writable_output
    from momentumseg.weights.prompt_models import load_prompt_model

    check_writable_output(output, suffixes=(".json",))
    if split is not None and cases is not None:
        raise InputError("Give either --split or --cases: both say which cases are evaluated.")
    options = PromptOptions(
        labels=tuple(parse_numbers(labels, "--labels") or ()),
        margin=margin,
        smallest_area=smallest_area,
        clicks=() if clicks.strip() == "none" else tuple(parse_numbers(clicks, "--clicks") or ()),
        click_slices=click_slices,
        tolerance_mm=tolerance if surface else None,
        follow=follow,
        plane=plane.value,
    )
    streams = output_of(context)
    loaded = load_prompt_model(model, device=checked_device(device), decoder=decoder)
    with streams.progress() as step:
        report = run_prompt_protocol(
            data,
            loaded,
            options,
            reference=model if decoder is None else f"{model} with the decoder {decoder}",
            cases=parse_case_names(data, cases) if split is None else cases_of_split(split, part.value),
            label_names=parse_names_of_labels(label_names),
            allow_overlap=allow_overlap or (split is not None and part is Part.validation),
            output=output,
            device=device,
            progress=progress_lines(streams, step("Evaluating")),
            command=shlex.join(["momentumseg", *sys.argv[1:]]),
        )
    streams.result(json.loads(report.to_json()), report.to_markdown())
