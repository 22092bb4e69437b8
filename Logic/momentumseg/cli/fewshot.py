"""``momentumseg fewshot``: a volume, some drawn slices, and the structure in the whole volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from momentumseg.cli.console import Output, output_of
from momentumseg.cli.options import (
    DEFAULT_MODEL,
    DeviceOption,
    ModelOption,
    Plane,
    VolumeArgument,
    checked_device,
    parse_box,
    parse_numbers,
    parse_range,
)
from momentumseg.errors import EmptySupportError, InputError

if TYPE_CHECKING:
    from momentumseg.sessions.few_shot import FewShotSession
    from momentumseg.sessions.few_shot_result import FewShotResult
    from momentumseg.volumes.volume import Volume


@dataclass(frozen=True)
class _Targets:
    """Files to write."""

    mask: Path
    uncertainty: Path | None
    iterates: Path | None
    picture: Path | None

    def check(self, inputs: Sequence[Path]) -> None:
        """Refuse, before anything is computed, what could not be written or would destroy an input."""
        from momentumseg.io.checks import check_writable_output

        files = [path for path in (self.mask, self.uncertainty) if path is not None]
        for path in files:
            check_writable_output(path)
            if any(path.resolve() == source.resolve() for source in inputs):
                raise InputError(f"The output {path} is one of the inputs and would replace it; choose another name.")
        if len({path.resolve() for path in files}) < len(files):
            raise InputError(f"The mask and the uncertainty have the same name {self.mask}; choose two names.")
        if self.picture is not None:
            check_writable_output(self.picture, suffixes=(".png",))
            if any(self.picture.resolve() == source.resolve() for source in inputs):
                raise InputError(f"The picture {self.picture} would replace an input; choose another name.")
        if self.iterates is not None:
            folder = self.iterates if self.iterates.is_dir() else self.iterates.parent
            check_writable_output(folder / "iterates.nrrd")


def fewshot(
    context: typer.Context,
    volume: VolumeArgument,
    support: Annotated[
        list[Path],
        typer.Option("--support", metavar="FILE", help="Label map with one or more drawn slices; may be repeated."),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="Label map to write: .nii.gz, .nii, .nrrd, .mha ...")
    ],
    support_volume: Annotated[
        list[Path] | None,
        typer.Option(
            "--support-volume",
            metavar="FILE",
            help="Image that --support was drawn on, if it is not VOLUME; one for all or one each.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", metavar="LIST", help="Only these labels of the support, for example 1,2.", show_default="all"
        ),
    ] = None,
    plane: Annotated[
        Plane | None,
        typer.Option(
            "--plane",
            metavar="PLANE",
            help="Plane of the slices: axial, coronal, sagittal, acquisition.",
            show_default="that of the drawing",
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    slices: Annotated[
        str | None,
        typer.Option(
            "--slices",
            metavar="FIRST:LAST",
            help="Segment only slices FIRST:LAST of the file, from 0, both included.",
            show_default="all",
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
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            "--uncertainty", metavar="FILE", help="Image to write: 0 where the result is sure, 1 where it is not."
        ),
    ] = None,
    iterates: Annotated[
        Path | None,
        typer.Option("--iterates", metavar="FOLDER", help="Folder that receives the method's stages, one image each."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="PNG to write: slices, uncertainty and surface.")
    ] = None,
    consistency: Annotated[
        bool, typer.Option("--consistency/--no-consistency", help="Make the result consistent through the slices.")
    ] = True,
    device: DeviceOption = "cpu",
) -> None:
    """Segment a volume from drawn slices.

    They may be of the same volume or of another one; several labels may be drawn at once.
    """
    streams = output_of(context)
    wanted, part, voxels = parse_numbers(labels, "--labels"), parse_range(slices, "--slices"), parse_box(box, "--box")
    targets = _Targets(output, uncertainty, iterates, picture)
    targets.check([volume, *support, *(support_volume or ())])
    image = _read_image(volume, streams)
    drawings = _read_drawings(support, support_volume or [], image, streams)
    session = _open_session(model, checked_device(device), streams)
    with session:
        session.set_volume(image, plane=plane.value if plane else _plane_of(drawings))
        _add_drawings(session, drawings, wanted)
        with streams.progress() as step:
            result = session.segment(
                slice_range=part,
                box=voxels,
                consistency=None if consistency else False,
                progress=step("Segmenting"),
                keep_iterates=iterates is not None,
            )
        _write(result, targets)
        if picture is not None:
            _write_picture(session, result, picture, of_itself=not support_volume)
        summary = {"model": model, "device": device, "plane": session.plane, **_summary(session, result, targets)}
    streams.result(summary, _words(summary))


def _read_image(path: Path, streams: Output) -> Volume:
    from momentumseg.io.read import read_volume
    from momentumseg.volumes.checks import checked_intensities

    image, warnings = checked_intensities(read_volume(path, on_warning=streams.warn), keep_integers=True)
    for sentence in warnings:
        streams.warn(sentence)
    return image


def _read_drawings(
    supports: Sequence[Path], support_volumes: Sequence[Path], image: Volume, streams: Output
) -> list[tuple[Volume, Volume]]:
    """(label map, image that it was drawn on) of each support."""
    from momentumseg.io.read import read_labelmap

    if len(support_volumes) not in (0, 1, len(supports)):
        raise InputError(
            f"{len(support_volumes)} support volumes were given for {len(supports)} supports; "
            "give one for all or one each."
        )
    images = {path: _read_image(path, streams) for path in dict.fromkeys(support_volumes)}
    drawn_on = [images[path] for path in support_volumes] or [image]
    if len(drawn_on) == 1:
        drawn_on *= len(supports)
    labelmaps = [read_labelmap(path, on_warning=streams.warn) for path in supports]
    return list(zip(labelmaps, drawn_on, strict=True))


def _plane_of(drawings: Sequence[tuple[Volume, Volume]]) -> str:
    from momentumseg.sessions.drawn_plane import drawn_plane

    return drawn_plane(drawings[0][0])


def _open_session(model: str, device: str, streams: Output) -> FewShotSession:
    from momentumseg.sessions.few_shot import FewShotSession
    from momentumseg.weights.loading import load_few_shot_model

    loaded = load_few_shot_model(model, device=device)
    streams.note(f"Model {loaded.card.name}, licence of its weights: {loaded.card.licence or 'not stated'}")
    return FewShotSession(loaded, device=device)


def _add_drawings(session: FewShotSession, drawings: Sequence[tuple[Volume, Volume]], wanted: list[int] | None) -> None:
    """Add the wanted labels; each must be in one of the label maps, not in all of them."""
    import numpy as np

    present = [set(np.unique(labelmap.array).tolist()) for labelmap, _ in drawings]
    missing = set(wanted or ()) - (set[int]().union(*present) - {0})
    if missing:
        raise EmptySupportError(f"Label {min(missing)} is nowhere in the support; draw it on a slice or leave it out.")
    for (labelmap, image), labels in zip(drawings, present, strict=True):
        chosen = None if wanted is None else labels & set(wanted)
        if chosen is None or chosen:
            session.add_supports_from_labelmap(labelmap, labels=chosen, volume=image)


def _write(result: FewShotResult, targets: _Targets) -> None:
    """Write all files, or none of them when one cannot be written."""
    from momentumseg.io.atomic import atomic_path
    from momentumseg.io.write import write_volume

    with ExitStack() as files:
        write_volume(result.labelmap, files.enter_context(atomic_path(targets.mask)))
        if targets.uncertainty is not None:
            write_volume(result.uncertainty, files.enter_context(atomic_path(targets.uncertainty)))
        if targets.iterates is not None:
            targets.iterates.mkdir(exist_ok=True)
            for name, stage in _stage_volumes(result):
                write_volume(stage, files.enter_context(atomic_path(targets.iterates / f"{name}.nrrd")))


def _write_picture(session: FewShotSession, result: FewShotResult, path: Path, *, of_itself: bool) -> None:
    """Write the picture of a result; slices are marked as drawn if they were drawn on the volume itself."""
    from momentumseg.cli.figures import render_result
    from momentumseg.evaluation.metrics import volume_ml

    image = session.volume or result.labelmap
    milliliters = {
        label: f"{volume_ml(result.labelmap.array == label, image.spacing):.1f} ml"
        for label in result.segmentation.labels
    }
    drawn = sorted({support.slice_index for support in session.supports}) if of_itself else []
    render_result(
        image,
        result.labelmap,
        result.uncertainty,
        drawn,
        path,
        image.name,
        plane=session.plane or "axial",
        subtitle=f"segmented in {result.seconds:.1f} s",
        notes=milliliters,
    )


def _stage_volumes(result: FewShotResult) -> Iterator[tuple[str, Volume]]:
    """(name, volume) of every stage, label and kind; one at a time, because each is as large as the volume."""
    import numpy as np

    for label, by_slice in (result.iterates or {}).items():
        count = max(len(stages) for stages in by_slice.values())
        for stage in range(count):
            for kind in ("foreground", "noise", "entropy"):
                voxels = np.zeros(result.labelmap.shape, dtype=np.float32)
                along = np.moveaxis(voxels, result.segmentation.space.slice_axis, 0)
                for index in by_slice:
                    along[index] = result.iterate_slices(label, index)[stage][kind]
                yield f"label{label}_stage{stage + 1}_{kind}", result.labelmap.like(voxels)


def _summary(session: FewShotSession, result: FewShotResult, targets: _Targets) -> dict[str, Any]:
    import numpy as np

    milliliters = abs(float(np.linalg.det(result.labelmap.ijk_to_ras[:3, :3]))) / 1000
    counts = {label: int(np.count_nonzero(result.labelmap.array == label)) for label in result.segmentation.labels}
    drawn = sorted({support.slice_index for support in session.supports})
    undrawn = set(result.slice_indices) - set(drawn)
    return {
        "output": str(targets.mask),
        "uncertainty": str(targets.uncertainty) if targets.uncertainty else None,
        "iterates": str(targets.iterates) if targets.iterates else None,
        "picture": str(targets.picture) if targets.picture else None,
        "labels": [
            {"label": label, "voxels": count, "milliliters": round(count * milliliters, 3)}
            for label, count in counts.items()
        ],
        "slices": [result.slice_indices[0], result.slice_indices[-1]],
        "drawn_slices": drawn,
        "next_slice": session.suggest_next_slice() if undrawn else None,
        "seconds": round(result.seconds, 3),
    }


def _words(summary: dict[str, Any]) -> str:
    lines = [
        f"Label {row['label']}: {row['milliliters']:.1f} ml ({row['voxels']:,} voxels)" for row in summary["labels"]
    ]
    lines.append(f"Segmented {summary['plane']} slices {summary['slices'][0]} to {summary['slices'][1]}")
    if summary["next_slice"] is not None:
        lines.append(f"To make it better, draw slice {summary['next_slice']}: it helps most")
    return "\n".join([*lines, f"Written: {summary['output']} ({summary['seconds']:.1f} s)"])
