"""``momentumseg train``: a model of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from momentumseg.cli.console import output_of
from momentumseg.cli.options import DeviceOption, checked_device


def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a TOML file.", show_default=False)],
    change: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes of the recipe: table.key=value.", show_default=False),
    ] = None,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="FOLDER", help="Folder with volumes, and labels where the recipe needs them."),
    ] = ...,  # type: ignore[assignment]  # typer's way to say that an option is required
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FOLDER", help="Folder of the run; an unfinished run in it is continued."),
    ] = ...,  # type: ignore[assignment]
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="The same as KEY=VALUE after the recipe; may be repeated."),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help="Train on this case only; may be repeated.", show_default="all"),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            "--fold",
            metavar="N",
            help="Leave out the test cases of this fold: of the published protocol (few-shot), or of the data folder's "
            "splits_final.json.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="MODEL", help="Begin with this automatic model (name or file), to fine-tune it."
        ),
    ] = None,
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="Of the model, on its card.", show_default="the recipe's")
    ] = "",
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="FOLDER", help="Folder that keeps prepared volumes.", show_default="OUTPUT/prepared"
        ),
    ] = None,
    device: DeviceOption = "cpu",
    devices: Annotated[
        int, typer.Option("--devices", metavar="N", min=1, help="More than one needs Lightning Fabric.")
    ] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it fits: cases, labels, memory. Nothing is trained.")
    ] = False,
) -> None:
    """Train a model on your own volumes.

    What is learnt depends on the recipe: few-shot models need no labels, automatic models need a few labelled cases.
    The model ends in OUTPUT/model.safetensors. Ctrl-C stops at the next iteration and keeps the run; the same command
    continues it.
    """
    from momentumseg.cli.train_runs import (
        AUTOMATIC_ONLY,
        Request,
        check_run,
        is_few_shot,
        train_automatic,
        train_few_shot,
    )
    from momentumseg.errors import InputError
    from momentumseg.io.checks import check_writable_output
    from momentumseg.recipes.reading import read_recipe

    streams = output_of(context)
    settings = read_recipe(recipe, [*(change or ()), *(setting or ())])
    checked_device(device)
    check_writable_output((output if output.is_dir() else output.parent) / "model.safetensors", suffixes=None)
    request = Request(
        recipe,
        settings,
        data,
        output,
        tuple(case or ()),
        fold,
        init,
        title,
        cache or output / "prepared",
        device,
        devices,
    )
    if not is_few_shot(settings):
        (check_run if check else train_automatic)(request, streams)
        return
    if check or init or title:
        raise InputError(f"The recipe '{recipe}' trains a few-shot model, which has no {AUTOMATIC_ONLY}; leave it out.")
    train_few_shot(request, streams)
