"""Report of the evaluation of automatic models: per label and patient, and over models that differ by their seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from momentumseg.evaluation.metrics import MeanAndDeviation
from momentumseg.evaluation.report import EvaluationReport, described, markdown_table

_METRICS = {"dice": "Dice", "hd95_mm": "Hausdorff distance, 95th percentile, mm", "surface_dice": "Surface Dice"}
_DECIMALS = {"hd95_mm": 2}


@dataclass(frozen=True)
class AutomaticReport(EvaluationReport):
    """One group of scores a model (``folds``): mean ± sd over patients; over models the mean ± sd of their means.

    A patient with several scans counts once, with the mean of them. A label that is neither in the reference nor in the
    result of a scan is not scored there; a distance is not defined where it is missing in one of them.
    """

    protocol: ClassVar[str] = "automatic"

    def of_patients(self, metric: str, model: int, label: int | None = None) -> MeanAndDeviation:
        """Mean ± sd over patients of one model; without a label, of the mean over a patient's labels."""
        by_patient: dict[str, dict[int, list[float]]] = {}
        for row in self._rows(metric, model, label):
            by_patient.setdefault(row["patient"], {}).setdefault(row["label"], []).append(row[metric])
        return MeanAndDeviation.of(_mean(_mean(values) for values in labels.values()) for labels in by_patient.values())

    def of_models(self, metric: str, label: int | None = None) -> MeanAndDeviation:
        """Mean ± sd over models of their means over patients."""
        means = (self.of_patients(metric, fold.fold, label).mean for fold in self.folds)
        return MeanAndDeviation.of(mean for mean in means if mean is not None)

    @property
    def metrics(self) -> list[str]:
        """Those that were measured."""
        return [metric for metric in _METRICS if any(row.get(metric) is not None for row in self.scores)]

    def summary(self) -> dict[str, Any]:
        return {
            metric: {
                "models": [
                    {
                        "model": fold.model["reference"],
                        "all": described(self.of_patients(metric, fold.fold)),
                        "labels": {
                            str(label): described(self.of_patients(metric, fold.fold, label))
                            for label in self.label_names
                        },
                    }
                    for fold in self.folds
                ],
                "over models": {
                    "all": described(self.of_models(metric)),
                    "labels": {str(label): described(self.of_models(metric, label)) for label in self.label_names},
                },
            }
            for metric in self.metrics
        }

    def tables(self) -> list[str]:
        patients = len({row["patient"] for row in self.scores})
        cases = len({row["case"] for row in self.scores})
        paragraphs = [f"{patients} patients ({cases} scans), mean ± sd over patients; last row: over models"]
        if len(self.folds) < 2:
            paragraphs = [f"{patients} patients ({cases} scans), mean ± sd over patients"]
        for metric in self.metrics:
            title = _METRICS[metric]
            if metric == "surface_dice":
                title += f" at {self.settings['tolerance_mm']:g} mm"
            paragraphs += [f"**{title}**", self._table(metric)]
        return paragraphs

    def to_markdown(self) -> str:
        """Tables, the models behind their rows, and the command that prints them."""
        models = [
            f"- {_name(fold.fold)}: `{fold.model['reference']}` (sha256 {fold.model['sha256'][:12]}; "
            f"{fold.model['overlap']}; {fold.seconds:.0f} s)"
            for fold in self.folds
        ]
        return "\n\n".join([*self.tables(), "\n".join(models), f"`{self.command}`"]) + "\n"

    def _table(self, metric: str) -> str:
        labels: list[int | None] = [*self.label_names]
        rows = [
            [
                _name(fold.fold),
                *(_words(self.of_patients(metric, fold.fold, label), metric) for label in labels),
                f"**{_words(self.of_patients(metric, fold.fold), metric)}**",
            ]
            for fold in self.folds
        ]
        if len(self.folds) > 1:
            over = [_words(self.of_models(metric, label), metric) for label in labels]
            rows.append([f"{len(self.folds)} models", *over, f"**{_words(self.of_models(metric), metric)}**"])
        return markdown_table(["", *self.label_names.values(), "all"], rows)

    def _rows(self, metric: str, model: int, label: int | None) -> list[dict[str, Any]]:
        scores = next(fold.scores for fold in self.folds if fold.fold == model)
        return [row for row in scores if row.get(metric) is not None and label in (None, row["label"])]


def _name(number: int) -> str:
    return f"model {number + 1}"


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


def _words(value: MeanAndDeviation, metric: str) -> str:
    if value.mean is None:
        return "-"
    decimals = _DECIMALS.get(metric, 3)
    mean = f"{value.mean:.{decimals}f}"
    return mean if value.deviation is None else f"{mean} ± {value.deviation:.{decimals}f}"
