"""Report of the user's protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from momentumseg.evaluation.metrics import MeanAndDeviation
from momentumseg.evaluation.report import EvaluationReport, described, markdown_table

NETWORK = "network"
NETWORK_WITH_CONSISTENCY = "network, consistent"
INTERPOLATION = "interpolation"
_METHODS = (NETWORK, NETWORK_WITH_CONSISTENCY, INTERPOLATION)
_METRICS = ("dice", "dice_undrawn", "surface_dice", "iou")


@dataclass(frozen=True)
class UsersReport(EvaluationReport):
    """Scores are averaged over cases for each label; the mean over labels is averaged over cases too."""

    protocol: ClassVar[str] = "user"

    @property
    def methods(self) -> list[str]:
        present = {row["method"] for row in self.scores}
        return [method for method in _METHODS if method in present]

    @property
    def supports(self) -> list[int]:
        return sorted({row["supports"] for row in self.scores})

    def label_mean(self, metric: str, method: str, supports: int, label: int) -> MeanAndDeviation:
        """Mean ± sd over cases of a label."""
        rows = self._rows(metric, method, supports)
        return MeanAndDeviation.of(row[metric] for row in rows if row["label"] == label)

    def overall(self, metric: str, method: str, supports: int) -> MeanAndDeviation:
        """Mean ± sd over cases of the mean over labels."""
        by_case: dict[str, list[float]] = {}
        for row in self._rows(metric, method, supports):
            by_case.setdefault(row["case"], []).append(row[metric])
        return MeanAndDeviation.of(sum(values) / len(values) for values in by_case.values())

    def summary(self) -> dict[str, Any]:
        return {
            method: {
                str(supports): {
                    metric: {
                        "mean": described(self.overall(metric, method, supports)),
                        "classes": {
                            str(label): described(self.label_mean(metric, method, supports, label))
                            for label in self.label_names
                        },
                    }
                    for metric in _METRICS
                }
                for supports in self.supports
            }
            for method in self.methods
        }

    def tables(self) -> list[str]:
        tolerance = self.settings["tolerance_mm"]
        titles = {"dice": "Dice over the whole volume", "dice_undrawn": "Dice over the slices that were not drawn"}
        if tolerance is not None:
            titles["surface_dice"] = f"Surface Dice at {tolerance:g} mm over the whole volume"
        cases = len({row["case"] for row in self.scores})
        first, last = self.settings["within"]
        where = "" if (first, last) == (0, 1) else f" between {first:.0%} and {last:.0%} of the structure"
        if self.settings.get("choice") == "suggested":
            where = f"{where}, the first in the middle and each next one where it was suggested"
        paragraphs = [f"User's protocol: slices of the same volume drawn{where}, nothing else known; {cases} cases"]
        for metric, title in titles.items():
            paragraphs += [f"**{title}**", self._table(metric)]
        return paragraphs

    def _table(self, metric: str) -> str:
        header = ["method", "drawn", *self.label_names.values(), "mean ± sd"]
        rows = [
            [
                method,
                str(supports),
                *(self._short(self.label_mean(metric, method, supports, label)) for label in self.label_names),
                f"**{self.overall(metric, method, supports)}**",
            ]
            for method in self.methods
            for supports in self.supports
        ]
        return markdown_table(header, rows)

    def _rows(self, metric: str, method: str, supports: int) -> list[dict[str, Any]]:
        return [
            row
            for row in self.scores
            if row["method"] == method and row["supports"] == supports and row[metric] is not None
        ]

    @staticmethod
    def _short(value: MeanAndDeviation) -> str:
        return "-" if value.mean is None else f"{value.mean:.3f}"
