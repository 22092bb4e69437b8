"""How good automatic models are on volumes with known labels, which they were not trained on.

Volumes are segmented as a user's are, on their own voxels. Several models, trained with other seeds, give the spread
that chance in training brings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentumseg.errors import InputError
from momentumseg.evaluation.automatic_report import AutomaticReport
from momentumseg.evaluation.case_reading import read_case
from momentumseg.evaluation.metrics import Confusion, hausdorff_95, surface_dice, volume_ml
from momentumseg.evaluation.report import FoldResult, Progress, current_command, fingerprint_of, resumable_fold
from momentumseg.io.datasets import Case, labelled_cases, patients_of, select_cases
from momentumseg.io.read import read_volume
from momentumseg.sessions.automatic import AutomaticSession
from momentumseg.training.splits import Split
from momentumseg.volumes.checks import checked_intensities
from momentumseg.weights.segmentation_models import LoadedSegmentationModel, load_segmentation_model


@dataclass(frozen=True)
class AutomaticOptions:
    """Choices that change the numbers.

    Attributes:
        labels: to evaluate; empty for all that the models know.
        tolerance_mm: of the surface Dice; None leaves it out.
        distances: also the Hausdorff distance.
        mirror: average over mirrored images; None: as in each model's recipe.
    """

    labels: tuple[int, ...] = ()
    tolerance_mm: float | None = 3.0
    distances: bool = True
    mirror: bool | None = None


def run_automatic_protocol(
    data: Path | str,
    models: Sequence[str],
    options: AutomaticOptions | None = None,
    *,
    cases: Sequence[str] | None = None,
    label_names: dict[int, str] | None = None,
    allow_overlap: bool = False,
    output: Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    command: str | None = None,
) -> AutomaticReport:
    """Evaluate automatic models on the labelled cases of a data folder.

    Args:
        data: folder, see :func:`discover_cases`.
        models: names or files; several are compared.
        cases: names to restrict the data to, see :func:`cases_of_split`.
        label_names: names for the tables; those of the models otherwise.
        allow_overlap: also evaluate a model on cases that its training used; the report says so.
        output: JSON file; finished models are kept beside it and not computed again.
        progress: receives (model and case, fraction of all done).
        command: that the report quotes; this process's by default.

    Raises:
        InputError: unusable data, no model, a model that has seen the cases, or models of different labels.
        WeightsError: a model that cannot be loaded.
    """
    options = options or AutomaticOptions()
    if not models:
        raise InputError("There is no model to evaluate; give one or several with --model.")
    chosen = select_cases(labelled_cases(data), list(cases) if cases is not None else None)
    settings = {"protocol": AutomaticReport.protocol, "data": Path(data).name}
    results, names = [], dict[int, str]()
    for number, reference in enumerate(models):
        loaded = load_segmentation_model(reference, device=device)
        names = _same_labels(names, loaded, options.labels)
        described = _described(loaded, reference, chosen, allow_overlap)

        def tell(case: str, fraction: float, number: int = number) -> None:
            if progress is not None:
                progress(f"model {number + 1}, {case}", (number + fraction) / len(models))

        def compute(
            number: int = number,
            loaded: LoadedSegmentationModel = loaded,
            described: dict[str, Any] = described,
            tell: Callable[[str, float], None] = tell,
        ) -> FoldResult:
            start = time.perf_counter()
            scores = _scores(loaded, Path(data), chosen, options, device, tell)
            listed = [case.name for case in chosen]
            return FoldResult(number, listed, described, scores, round(time.perf_counter() - start, 2))

        fingerprint = fingerprint_of({**asdict(options), **settings}, loaded.sha256, [case.name for case in chosen])
        results.append(resumable_fold(output, number, fingerprint, compute))
    report = AutomaticReport(
        {**settings, **asdict(options)}, {**names, **(label_names or {})}, results, command or current_command()
    )
    if output is not None:
        report.write(output)
    return report


def cases_of_split(path: Path, part: str) -> list[str]:
    """Cases of a part ("test", "validation", ...) of the split that a training run kept.

    Raises:
        InputError: the file is no split, or the part is empty.
    """
    names = list(Split.read(path).part(part))
    if not names:
        raise InputError(f"The split {path} has no {part} cases; give another part, or train with data.{part} above 0.")
    return names


def _same_labels(known: dict[int, str], loaded: LoadedSegmentationModel, wanted: Sequence[int]) -> dict[int, str]:
    """Labels to evaluate with their names; all models must have them."""
    table = loaded.statistics.labels
    names = dict(zip(table.values, table.names, strict=True))
    unknown = [label for label in wanted if label not in names]
    if unknown:
        raise InputError(
            f"The model {loaded.card.name} does not know the label {unknown[0]}; it knows "
            f"{', '.join(f'{value} ({name})' for value, name in names.items())}."
        )
    if known and not wanted and set(known) != set(names):
        raise InputError(
            f"The model {loaded.card.name} has the labels {sorted(names)}, the others have {sorted(known)}; compare "
            "models of the same labels, or choose some with --labels."
        )
    return known or {label: name for label, name in names.items() if not wanted or label in wanted}


def _described(
    loaded: LoadedSegmentationModel, reference: str, cases: Sequence[Case], allow_overlap: bool
) -> dict[str, Any]:
    """What a report keeps of a model; refuses one that has seen the cases."""
    used = loaded.card.extra.get("training_cases")
    seen = sorted({case.name for case in cases} & set(map(str, used or ())))
    if seen and not allow_overlap:
        raise InputError(
            f"The training of {reference} used {len(seen)} of the cases ({', '.join(seen[:3])}); evaluate the test "
            "cases of its split (--split RUN/splits.json), or allow it with --allow-overlap, which the report will say."
        )
    overlap = f"its training used {len(seen)} of the cases" if seen else "its training used none of the cases"
    return {
        "reference": reference,
        "sha256": loaded.sha256,
        "overlap": "its card does not name its training cases" if used is None else overlap,
        "recipe": loaded.recipe,
    }


def _scores(
    loaded: LoadedSegmentationModel,
    data: Path,
    cases: Sequence[Case],
    options: AutomaticOptions,
    device: str,
    tell: Callable[[str, float], None],
) -> list[dict[str, Any]]:
    patients = patients_of(cases, data, loaded.recipe.get("data", {}).get("patient"))
    rows: list[dict[str, Any]] = []
    with AutomaticSession(loaded, device=device) as session:
        for number, case in enumerate(cases):
            tell(case.name, number / len(cases))
            of_case = {"case": case.name, "patient": patients[case.name]}
            rows += [{**of_case, **row} for row in _case_scores(session, case, options)]
    tell(cases[-1].name, 1.0)
    return rows


def _case_scores(session: AutomaticSession, case: Case, options: AutomaticOptions) -> list[dict[str, Any]]:
    volume, labelmap = read_case(case)
    further = [checked_intensities(read_volume(path))[0] for path in case.further_channels]
    session.set_volume(volume, *further)
    result = session.segment(mirror=options.mirror)
    spacing = volume.spacing[::-1]
    rows = []
    for label in options.labels or session.statistics.labels.values:
        found, reference = result.labelmap.array == label, labelmap.array == label
        if found.any() or reference.any():
            row = _label_scores(found, reference, spacing, options)
            uncertainty = round(result.label_uncertainty[label], 4)
            rows.append({"label": int(label), **row, "uncertainty": uncertainty, "seconds": round(result.seconds, 2)})
    return rows


def _label_scores(
    found: np.ndarray, reference: np.ndarray, spacing: Sequence[float], options: AutomaticOptions
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dice": Confusion.of(found, reference).dice,
        "volume_ml": volume_ml(found, spacing),
        "reference_volume_ml": volume_ml(reference, spacing),
    }
    if options.distances:
        row["hd95_mm"] = hausdorff_95(found, reference, spacing)
    if options.tolerance_mm is not None:
        row["surface_dice"] = surface_dice(found, reference, spacing, options.tolerance_mm)
    return row
