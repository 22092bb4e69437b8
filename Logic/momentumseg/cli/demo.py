"""``momentumseg demo``: a real volume, one drawn slice, and what comes out of it, measured against the ground truth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from momentumseg.cli.console import Output, output_of
from momentumseg.cli.options import DEFAULT_MODEL, DeviceOption, ModelOption, checked_device

if TYPE_CHECKING:
    from momentumseg.cli.demo_data import DemoCase
    from momentumseg.sessions.few_shot import FewShotModel, FewShotSession
    from momentumseg.sessions.few_shot_result import FewShotResult

DEFAULT_FOLDER = Path("output") / "demo"
_MASK, _UNCERTAINTY, _DRAWN, _PICTURE = "segmentation.nii.gz", "uncertainty.nii.gz", "drawn.nii.gz", "picture.png"


@dataclass
class Stopwatch:
    """Seconds of named steps, in their order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)


def demo(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="Receives masks, picture and report; it is created.")
    ] = DEFAULT_FOLDER,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "cpu",
) -> None:
    """Segment a real head MRI from one drawn slice and show how well it went.

    The volume (MNI152 template with tissue maps, 5 MB of an 11 MB download) is fetched once.
    """
    from momentumseg.cli.demo_data import load_demo_case
    from momentumseg.weights.loading import load_few_shot_model

    streams, watch = output_of(context), Stopwatch()
    folder = _made_folder(output)
    with streams.progress() as step:
        with watch.step("volume fetched and read"):
            case = load_demo_case(progress=step("Fetching the volume"))
        with watch.step("model loaded"):
            loaded = load_few_shot_model(model, device=checked_device(device))
        report = run_demo(case, loaded, folder, watch, device=device, steps=step)
    report["model"] = {
        "name": loaded.card.name,
        "sha256": loaded.sha256,
        "licence": loaded.card.licence,
        "training_data": loaded.card.training_data,
    }
    words = write_report(report, folder)
    _say(report, words, folder, streams)


def run_demo(
    case: DemoCase,
    model: FewShotModel,
    folder: Path,
    watch: Stopwatch,
    *,
    device: str = "cpu",
    steps: Any = None,
) -> dict[str, Any]:
    """Segment the case, write mask, uncertainty, drawing and picture into ``folder``, and measure.

    Args:
        case: volume, ground truth, and which slices are drawn.
        model: a loaded model.
        folder: existing.
        watch: receives the seconds of each step.
        device: of the model.
        steps: named progress bars, see :meth:`Output.progress`.

    Returns:
        everything the report says but the model.

    Raises:
        OutputError: a file cannot be written.
    """
    from momentumseg.sessions.few_shot import FewShotSession

    steps = steps or (lambda name: lambda done, total: None)
    with FewShotSession(model, device=device) as session:
        with watch.step("slices encoded"):
            session.set_volume(case.volume, plane=case.description.plane)
            session.encode(case.description.drawn_slices[0], progress=steps("Encoding slices"))
        with watch.step("segmented"):
            _draw(session, case)
            result = session.segment(progress=steps("Segmenting"))
        next_slice = session.suggest_next_slice()
        with watch.step("measured"):
            labels = _measured(case, result, session)
        with watch.step("files written"):
            _write_volumes(case, result, session, folder)
        report = _report(case, session, labels, next_slice)
    with watch.step("picture drawn"):
        _write_picture(case, result, report, watch, folder)
    return {**report, "seconds": watch.seconds}


def write_report(report: Mapping[str, Any], folder: Path) -> str:
    """Write ``report.json`` and ``report.md`` and return the text of the latter.

    Raises:
        OutputError: they cannot be written.
    """
    from momentumseg.io.atomic import atomic_path

    words = _markdown(report)
    texts = {"report.json": json.dumps(report, indent=1, ensure_ascii=False) + "\n", "report.md": words}
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return words


def _made_folder(folder: Path) -> Path:
    """Create the folder, or say why not, before anything is computed."""
    from momentumseg.errors import OutputError
    from momentumseg.io.checks import check_writable_output

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be created ({error.strerror}); choose another --output."
        ) from error
    check_writable_output(folder / _MASK)
    return folder


def _draw(session: FewShotSession, case: DemoCase) -> None:
    """The ground truth of the drawn slices, as if a user had drawn it."""
    import numpy as np

    axis = session.slice_axis or 0
    for index in case.description.drawn_slices:
        truth = np.take(case.reference.array, index, axis=axis)
        for label in case.label_names:
            if (truth == label).any():
                session.add_support(truth == label, index, label=label)


def _measured(case: DemoCase, result: FewShotResult, session: FewShotSession) -> list[dict[str, Any]]:
    import numpy as np

    from momentumseg.evaluation.metrics import Confusion, mask_score

    spacing, tolerance = case.volume.spacing[::-1], case.description.tolerance_mm
    axis = session.slice_axis or 0
    found, truth = result.labelmap.array, case.reference.array
    undrawn = [np.delete(array, case.description.drawn_slices, axis=axis) for array in (found, truth)]
    rows = []
    for label, name in case.label_names.items():
        score = mask_score(found == label, truth == label, spacing, tolerance)
        row = {
            "label": label,
            "name": name,
            "dice": score.dice,
            "dice_undrawn_slices": Confusion.of(undrawn[0] == label, undrawn[1] == label).dice,
            "surface_dice": score.surface_dice,
            "tolerance_mm": tolerance,
            "milliliters": score.volume_ml,
            "reference_milliliters": score.reference_volume_ml,
        }
        rows.append({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def _write_volumes(case: DemoCase, result: FewShotResult, session: FewShotSession, folder: Path) -> None:
    import numpy as np

    from momentumseg.io.write import write_volume

    drawn = np.zeros_like(case.reference.array)
    target, source = (np.moveaxis(array, session.slice_axis or 0, 0) for array in (drawn, case.reference.array))
    for index in case.description.drawn_slices:
        target[index] = source[index]
    write_volume(case.reference.like(drawn), folder / _DRAWN)
    write_volume(result.labelmap, folder / _MASK)
    # Hundredths are enough for the eye, and compress to a tenth of the size.
    write_volume(result.uncertainty.like(np.round(result.uncertainty.array, 2)), folder / _UNCERTAINTY)


def _report(
    case: DemoCase, session: FewShotSession, labels: list[dict[str, Any]], next_slice: int
) -> dict[str, Any]:
    from momentumseg.evaluation.report import versions

    return {
        "title": case.description.title,
        "volume": case.volume.name,
        "credit": f"{case.description.credit}. {case.description.licence}.",
        "voxels": list(case.volume.shape[::-1]),
        "spacing_mm": list(case.volume.spacing),
        "plane": session.plane,
        "drawn_slices": list(case.description.drawn_slices),
        "next_slice": next_slice,
        "labels": labels,
        "files": [_MASK, _UNCERTAINTY, _DRAWN, _PICTURE],
        "versions": versions(),
    }


def _write_picture(
    case: DemoCase, result: FewShotResult, report: Mapping[str, Any], watch: Stopwatch, folder: Path
) -> None:
    from momentumseg.cli.figures import render_result

    seconds = watch.seconds["slices encoded"] + watch.seconds["segmented"]
    voxels = " x ".join(str(count) for count in report["voxels"])
    render_result(
        case.volume,
        result.labelmap,
        result.uncertainty,
        case.description.drawn_slices,
        folder / _PICTURE,
        case.description.title,
        plane=report["plane"],
        subtitle=f"{case.volume.name}, {voxels} voxels, segmented in {seconds:.1f} s",
        label_names=case.label_names,
        notes={row["label"]: f"{row['milliliters']:.0f} ml, Dice {row['dice']:.2f}" for row in report["labels"]},
        reference=case.reference,
    )


def _markdown(report: Mapping[str, Any]) -> str:
    from momentumseg.evaluation.report import markdown_table

    tolerance = report["labels"][0]["tolerance_mm"]
    rows = [
        [
            row["name"],
            f"{row['dice']:.3f}",
            f"{row['dice_undrawn_slices']:.3f}",
            f"{row['surface_dice']:.3f}",
            f"{row['milliliters']:.1f}",
            f"{row['reference_milliliters']:.1f}",
        ]
        for row in report["labels"]
    ]
    header = ["structure", "Dice", "Dice, undrawn slices", f"surface Dice, {tolerance:g} mm", "ml", "reference ml"]
    steps = [[name, f"{seconds:.1f}"] for name, seconds in report["seconds"].items()]
    model = report.get("model", {})
    slices = ", ".join(str(index) for index in report["drawn_slices"])
    parts = [
        f"# {report['title']}",
        f"Volume: {report['volume']} ({report['credit']})",
        f"Drawn: {report['plane']} slice {slices}, taken from the ground truth. "
        f"Least certain slice, worth drawing next: {report['next_slice']}.",
        markdown_table(header, rows),
        markdown_table(["step", "seconds"], steps),
        f"Model: {model.get('name', '')} (sha256 {str(model.get('sha256', ''))[:12]}; {model.get('licence', '')}). "
        f"Trained on: {model.get('training_data', '')}",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        "`momentumseg demo`",
    ]
    return "\n\n".join(parts) + "\n"


def _say(report: Mapping[str, Any], words: str, folder: Path, streams: Output) -> None:
    from momentumseg.cli.demo_data import demo_folder

    lines = [
        f"{row['name']}: Dice {row['dice']:.3f} ({row['dice_undrawn_slices']:.3f} without the drawn slice), "
        f"{row['milliliters']:.0f} ml (ground truth {row['reference_milliliters']:.0f} ml)"
        for row in report["labels"]
    ]
    took = report["seconds"]["slices encoded"] + report["seconds"]["segmented"]
    lines += [
        f"Segmented in {took:.1f} s from {report['plane']} slice {report['drawn_slices'][0]}",
        f"Picture: {folder / _PICTURE}",
        f"Report:  {folder / 'report.md'}",
        f"Masks:   {folder / _MASK}, {folder / _UNCERTAINTY}; drawn: {folder / _DRAWN}",
        f"Volume:  {demo_folder()}",
    ]
    streams.result({**report, "folder": str(folder), "report": words}, "\n".join(lines))
