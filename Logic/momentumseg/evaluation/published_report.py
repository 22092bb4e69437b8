"""Report of the published few-shot protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from momentumseg.evaluation.metrics import MeanAndDeviation
from momentumseg.evaluation.report import EvaluationReport, described, markdown_table

PLAIN = "none"
CONSISTENT = "consistency"
_STEPS = {PLAIN: "", CONSISTENT: ", with the consistency step"}
_METRICS = {"dice": "Dice", "surface_dice": "Surface Dice", "iou": "IoU"}


@dataclass(frozen=True)
class PublishedReport(EvaluationReport):
    """Scores are averaged over the (support, query) pairs of a class and fold, then over classes and over folds."""

    protocol: ClassVar[str] = "published"

    @property
    def steps(self) -> list[str]:
        present = {row["step"] for row in self.scores}
        return [step for step in _STEPS if step in present]

    def class_fold_mean(self, metric: str, step: str, label: int, fold: int) -> float | None:
        """Mean over the pairs of a class in a fold; None without pairs or without this metric."""
        values = [
            row[metric]
            for row in self.scores
            if (row["step"], row["label"], row["fold"]) == (step, label, fold) and row[metric] is not None
        ]
        return MeanAndDeviation.of(values).mean

    def class_mean(self, metric: str, step: str, label: int) -> MeanAndDeviation:
        """Mean ± sd over folds of a class."""
        return MeanAndDeviation.of(_known(self.class_fold_mean(metric, step, label, fold.fold) for fold in self.folds))

    def fold_mean(self, metric: str, step: str, fold: int) -> float | None:
        """Mean over classes in a fold."""
        values = _known(self.class_fold_mean(metric, step, label, fold) for label in self.label_names)
        return MeanAndDeviation.of(values).mean

    def overall(self, metric: str, step: str) -> MeanAndDeviation:
        """Mean ± sd over folds of the mean over classes."""
        return MeanAndDeviation.of(_known(self.fold_mean(metric, step, fold.fold) for fold in self.folds))

    def summary(self) -> dict[str, Any]:
        return {
            step: {
                metric: {
                    "mean": described(self.overall(metric, step)),
                    "classes": {
                        str(label): described(self.class_mean(metric, step, label)) for label in self.label_names
                    },
                    "folds": {str(fold.fold): self.fold_mean(metric, step, fold.fold) for fold in self.folds},
                }
                for metric in _METRICS
            }
            for step in self.steps
        }

    def tables(self) -> list[str]:
        parts = self.settings["parts"]
        kind = f"{parts} chunks" if parts > 1 else "one middle support slice"
        paragraphs = [f"Published protocol, {kind}, support volumes: {self.settings['supports']}"]
        for step in self.steps:
            for metric in ("dice", "surface_dice"):
                if self.overall(metric, step).mean is not None:
                    title = _METRICS[metric] + (f" at {self.settings['tolerance_mm']:g} mm" if metric != "dice" else "")
                    paragraphs += [f"**{title}{_STEPS[step]}**", self._table(metric, step)]
        return paragraphs

    def _table(self, metric: str, step: str) -> str:
        header = ["class", *(f"fold {fold.fold}" for fold in self.folds), "mean ± sd"]
        rows = [
            [
                self.label_name(label),
                *(_number(self.class_fold_mean(metric, step, label, fold.fold)) for fold in self.folds),
                str(self.class_mean(metric, step, label)),
            ]
            for label in self.label_names
        ]
        means = [_number(self.fold_mean(metric, step, fold.fold)) for fold in self.folds]
        rows.append(["**mean**", *means, f"**{self.overall(metric, step)}**"])
        return markdown_table(header, rows)


def _known(values: Any) -> list[float]:
    return [value for value in values if value is not None]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
