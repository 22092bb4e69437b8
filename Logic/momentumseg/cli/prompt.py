"""``momentumseg prompt``: boxes and clicks on slices of a volume, and the structure through the volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from momentumseg.cli.console import Output, output_of
from momentumseg.cli.options import Box, DeviceOption, Plane, PlaneOption, VolumeArgument, checked_device, parse_range
from momentumseg.cli.outputs import check_outputs, write_volumes
from momentumseg.cli.prompt_options import (
    GivenPrompt,
    parse_box_prompt,
    parse_point_prompt,
    parse_roi,
    parse_scribble_prompt,
    parse_window,
)
from momentumseg.errors import InputError

if TYPE_CHECKING:
    from momentumseg.sessions.follow_result import FollowResult
    from momentumseg.sessions.prompt import PromptSession
    from momentumseg.volumes.volume import Volume
    from momentumseg.weights.prompt_models import LoadedPromptModel

DEFAULT_PROMPT_MODEL = "lite-medsam"

PromptModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Name from 'momentumseg models list', or a weights file.")
]


@dataclass(frozen=True)
class _Given:
    """What the user wrote."""

    prompts: list[GivenPrompt]
    rois: list[tuple[int | None, Box]]
    masks: list[Path]

    def check(self) -> None:
        if not self.prompts and not self.rois and not self.masks:
            raise InputError(
                "There is no prompt: give a box with --box SLICE:x0,y0,x1,y1, or a click with --point SLICE:x,y."
            )


def prompt(
    context: typer.Context,
    volume: VolumeArgument,
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="Label map to write: .nii.gz, .nii, .nrrd, .mha ...")
    ],
    box: Annotated[
        list[str] | None,
        typer.Option("--box", metavar="SLICE:X,Y,X,Y", help="Box around the structure on a slice; may be repeated."),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option("--point", metavar="SLICE:X,Y[,-]", help="Click into it, or (-) beside it; may be repeated."),
    ] = None,
    scribble: Annotated[
        list[str] | None,
        typer.Option("--scribble", metavar="SLICE:X,Y,X,Y...[,-]", help="Stroke through it; may be repeated."),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option("--mask", metavar="FILE", help="Label map whose slices are to be refined; may be repeated."),
    ] = None,
    roi: Annotated[
        list[str] | None,
        typer.Option(
            "--roi",
            metavar="I:I,J:J,K:K",
            help="3D box in voxels that it stays in; alone, its middle slice is the prompt; may be repeated.",
        ),
    ] = None,
    slices: Annotated[
        str | None,
        typer.Option("--slices", metavar="FIRST:LAST", help="Follow only here, both included.", show_default="all"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Follow through the volume.")] = True,
    plane: PlaneOption = Plane.acquisition,
    model: PromptModelOption = DEFAULT_PROMPT_MODEL,
    decoder: Annotated[
        str | None, typer.Option("--decoder", metavar="NAME", help="Prompt encoder and decoder of another model.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="LEVEL,WIDTH",
            help="Brightness to show to the network, such as 40,400 for soft tissue in CT.",
            show_default="fitted to the volume",
        ),
    ] = None,
    uncertainty: Annotated[
        Path | None, typer.Option("--uncertainty", metavar="FILE", help="Image to write: 0 sure, 1 not.")
    ] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Segment a structure from boxes and clicks.

    X and Y are the column and row of the slice in the file, from 0. LABEL@ before SLICE gives another label than 1.
    """
    streams = output_of(context)
    given = _Given(
        [
            *map(parse_box_prompt, box or ()),
            *map(parse_point_prompt, point or ()),
            *map(parse_scribble_prompt, scribble or ()),
        ],
        [parse_roi(text) for text in roi or ()],
        list(mask or ()),
    )
    given.check()
    part, shown = parse_range(slices, "--slices"), parse_window(window)
    check_outputs([output, *([uncertainty] if uncertainty else [])], [volume, *given.masks])
    image = _read_image(volume, streams)
    loaded = _load(model, decoder, checked_device(device), streams)
    from momentumseg.sessions.prompt import PromptSession

    with PromptSession(loaded, device=device) as session:
        _set_volume(session, image, plane.value, shown, streams)
        _add_prompts(session, given, image, streams)
        bounds = {
            number: [box for label, box in given.rois if label in (None, one.label)]
            for number, one in session.objects.items()
        }
        with streams.progress() as step:
            if follow:
                result = session.follow(slice_range=part, roi=bounds, progress=step("Following"))
            else:
                result = session.prompted_slices()
        write_volumes([(result.labelmap, output), *([(result.uncertainty, uncertainty)] if uncertainty else [])])
        summary = {"model": model, "device": device, "plane": session.plane, **_summary(session, result, follow)}
    summary |= {"output": str(output), "uncertainty": str(uncertainty) if uncertainty else None}
    streams.result(summary, _words(summary))


def _read_image(path: Path, streams: Output) -> Volume:
    from momentumseg.io.read import read_volume

    return read_volume(path, on_warning=streams.warn)


def _load(model: str, decoder: str | None, device: str, streams: Output) -> LoadedPromptModel:
    from momentumseg.weights.prompt_models import load_prompt_model

    loaded = load_prompt_model(model, device=device, decoder=decoder)
    streams.note(f"Model {loaded.card.name}, licence of its weights: {loaded.card.licence or 'not stated'}")
    if loaded.notice:
        streams.warn(loaded.notice)
    return loaded


def _set_volume(
    session: PromptSession, image: Volume, plane: str, shown: tuple[float, float] | None, streams: Output
) -> None:
    from momentumseg.transforms.prompt_preprocessing import IntensityWindow

    window = IntensityWindow.from_level(*shown) if shown is not None else None
    for sentence in session.set_volume(image, plane=plane, window=window):
        streams.warn(sentence)


def _add_prompts(session: PromptSession, given: _Given, image: Volume, streams: Output) -> None:
    objects: dict[int, int] = {}

    def object_of(label: int) -> int:
        if label not in objects:
            objects[label] = session.add_object(label)
        return objects[label]

    for label, index, drawn in _drawn_masks(session, given.masks, image, streams):
        session.refine(object_of(label), index, drawn)
    for one in given.prompts:
        session.add_prompt(object_of(one.label), one.slice_index, one.prompt)
    prompted = set(objects)
    for of_label, box in given.rois:
        if of_label is not None and of_label not in prompted:
            session.add_roi(object_of(of_label), box)
    if not objects:
        for _, box in given.rois:
            session.add_roi(object_of(1), box)


def _drawn_masks(
    session: PromptSession, paths: Sequence[Path], image: Volume, streams: Output
) -> list[tuple[int, int, Any]]:
    """(label, slice, mask) of everything that is drawn in label maps."""
    import numpy as np

    from momentumseg.io.read import read_labelmap
    from momentumseg.sessions.labelmap_supports import labels_at_voxels_of, labels_on_slices

    found = []
    for path in paths:
        labels = labels_at_voxels_of(read_labelmap(path, on_warning=streams.warn), image)
        axis = session.slice_axis or 0
        along = np.moveaxis(labels, axis, 0)
        found += [(label, index, along[index] == label) for index, label in labels_on_slices(labels, axis, None)]
    return found


def _summary(session: PromptSession, result: FollowResult, follow: bool) -> dict[str, Any]:
    import numpy as np

    milliliters = abs(float(np.linalg.det(result.labelmap.ijk_to_ras[:3, :3]))) / 1000
    counts = {label: int(np.count_nonzero(result.labelmap.array == label)) for label in result.labels}
    return {
        "labels": [
            {"label": label, "voxels": count, "milliliters": round(count * milliliters, 3)}
            for label, count in counts.items()
        ],
        "prompts": [
            {
                "label": one.label,
                "slice": index,
                "predicted_iou": round(session.predict(number, index).predicted_iou, 3),
            }
            for number, one in session.objects.items()
            for index in one.slices
        ],
        "ends": [
            {
                "label": session.objects[number].label,
                "first": ends.first,
                "last": ends.last,
                "before_first": ends.before_first,
                "after_last": ends.after_last,
            }
            for number, ends in result.ends.items()
        ],
        "next_slice": result.least_certain_slice if follow else None,
        "seconds": round(result.seconds, 3),
    }


def _words(summary: dict[str, Any]) -> str:
    lines = [
        f"Label {row['label']}: {row['milliliters']:.1f} ml ({row['voxels']:,} voxels)" for row in summary["labels"]
    ]
    lines += [
        f"Label {row['label']}, {summary['plane']} slice {row['slice']}: predicted overlap {row['predicted_iou']:.2f}"
        for row in summary["prompts"]
    ]
    lines += [
        f"Label {row['label']} followed from slice {row['first']} ({row['before_first']}) to {row['last']} "
        f"({row['after_last']})"
        for row in summary["ends"]
    ]
    if summary["next_slice"] is not None:
        lines.append(f"To make it better, prompt slice {summary['next_slice']}: it is the least certain one")
    return "\n".join([*lines, f"Written: {summary['output']} ({summary['seconds']:.1f} s)"])
