"""``momentumseg automatic``: a volume, a trained model, and its structures in the whole volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from momentumseg.cli.console import Output, output_of
from momentumseg.cli.options import DeviceOption, VolumeArgument, checked_device, parse_box
from momentumseg.cli.outputs import check_outputs, write_volumes

if TYPE_CHECKING:
    from momentumseg.sessions.automatic import AutomaticSession
    from momentumseg.sessions.automatic_result import AutomaticResult
    from momentumseg.volumes.volume import Volume


def automatic(
    context: typer.Context,
    volume: VolumeArgument,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME",
            help="File that 'momentumseg train' wrote, or its name in 'momentumseg models list'.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="Label map to write: .nii.gz, .nii, .nrrd, .mha ...")
    ],
    channel: Annotated[
        list[Path] | None,
        typer.Option(
            "--channel",
            metavar="FILE",
            help="Further image of the case, for models trained on several; may be repeated, in the order of training.",
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            metavar="I:I,J:J,K:K",
            help="Segment only the voxels I:I,J:J,K:K, from 0, both included.",
            show_default="all",
        ),
    ] = None,
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror",
            help="Average over mirrored images: 4 or 8 times slower, a little better.",
            show_default="as in the model's recipe",
        ),
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            "--uncertainty", metavar="FILE", help="Image to write: 0 where the result is sure, 1 where it is not."
        ),
    ] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Segment a volume with a trained model; nothing needs to be drawn."""
    streams = output_of(context)
    voxels = parse_box(box, "--box")
    check_outputs([output, *([uncertainty] if uncertainty else [])], [volume, *(channel or ())])
    session = _open_session(model, checked_device(device), streams)
    with session:
        session.set_volume(*(_read_image(path, streams) for path in (volume, *(channel or ()))))
        with streams.progress() as step:
            result = session.segment(mirror=mirror, box=voxels, progress=step("Segmenting"))
    write_volumes([(result.labelmap, output), *([(result.uncertainty, uncertainty)] if uncertainty else [])])
    summary = {"model": model, "device": device, **_summary(result)}
    summary |= {"output": str(output), "uncertainty": str(uncertainty) if uncertainty else None}
    streams.result(summary, _words(summary))


def _open_session(model: str, device: str, streams: Output) -> AutomaticSession:
    from momentumseg.sessions.automatic import AutomaticSession
    from momentumseg.weights.segmentation_models import load_segmentation_model

    loaded = load_segmentation_model(model, device=device)
    streams.note(f"Model {loaded.card.name}, licence of its weights: {loaded.card.licence or 'not stated'}")
    return AutomaticSession(loaded, device=device)


def _read_image(path: Path, streams: Output) -> Volume:
    from momentumseg.io.read import read_volume
    from momentumseg.volumes.checks import checked_intensities

    image, warnings = checked_intensities(read_volume(path, on_warning=streams.warn), keep_integers=True)
    for sentence in warnings:
        streams.warn(sentence)
    return image


def _summary(result: AutomaticResult) -> dict[str, Any]:
    import numpy as np

    voxel = abs(float(np.linalg.det(result.labelmap.ijk_to_ras[:3, :3]))) / 1000
    return {
        "labels": [
            {
                "label": label,
                "name": name,
                "voxels": round(result.volume_ml[label] / voxel),
                "milliliters": round(result.volume_ml[label], 3),
                "uncertainty": round(result.label_uncertainty[label], 4),
            }
            for label, name in result.label_names.items()
        ],
        "seconds": round(result.seconds, 3),
    }


def _words(summary: dict[str, Any]) -> str:
    lines = [_line(row) for row in summary["labels"]]
    return "\n".join([*lines, f"Written: {summary['output']} ({summary['seconds']:.1f} s)"])


def _line(row: dict[str, Any]) -> str:
    name = f"Label {row['label']}, {row['name']}"
    if not row["voxels"]:
        return f"{name}: not found"
    return f"{name}: {row['milliliters']:.1f} ml ({row['voxels']:,} voxels), uncertainty {row['uncertainty']:.2f}"
