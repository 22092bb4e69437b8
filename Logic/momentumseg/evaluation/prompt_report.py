"""Report of the evaluation of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from momentumseg.evaluation.metrics import MeanAndDeviation
from momentumseg.evaluation.report import EvaluationReport, described, markdown_table
from momentumseg.io.datasets import patient_of

BOX = "box"
CLICKS = "clicks:"
SINGLE_CLICK_BEST = "clicks: 1, best of the offered masks"
BOX_AND_CLICKS = "box and correcting clicks:"
BOXES_EVERYWHERE = "box on every slice"
FOLLOWED = "box on the largest slice, followed"
FOLLOWED_ENDS_KNOWN = "box on the largest slice, followed, ends known"
FOLLOWED_FROM_THREE = "boxes on three slices, followed"
_THROUGH = (BOXES_EVERYWHERE, FOLLOWED, FOLLOWED_ENDS_KNOWN, FOLLOWED_FROM_THREE)
_METRICS = ("dice", "surface_dice")


@dataclass(frozen=True)
class PromptReport(EvaluationReport):
    """Single slices: mean over all slices and its deviation over patients' means. Volumes: mean ± sd over patients."""

    protocol: ClassVar[str] = "prompts"

    @property
    def methods(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(row["method"] for row in self.scores))

    def of_slices(self, metric: str, method: str, label: int | None = None) -> MeanAndDeviation:
        """Mean ± sd over slices of a label, or of all."""
        return MeanAndDeviation.of(row[metric] for row in self._rows(metric, method, label))

    def of_patients(self, metric: str, method: str, label: int | None = None) -> MeanAndDeviation:
        """Mean ± sd over patients of the mean over a patient's slices (or over its labels, of volumes).

        Scans of one patient count as one, see :func:`momentumseg.io.datasets.patient_of`.
        """
        by_patient: dict[str, list[float]] = {}
        for row in self._rows(metric, method, label):
            by_patient.setdefault(patient_of(row["case"]), []).append(row[metric])
        return MeanAndDeviation.of(sum(values) / len(values) for values in by_patient.values())

    def summary(self) -> dict[str, Any]:
        return {
            method: {
                metric: {
                    "slices or volumes": described(self.of_slices(metric, method)),
                    "patients": described(self.of_patients(metric, method)),
                    "classes": {
                        str(label): {
                            "slices or volumes": described(self.of_slices(metric, method, label)),
                            "patients": described(self.of_patients(metric, method, label)),
                        }
                        for label in self.label_names
                    },
                }
                for metric in _METRICS
            }
            for method in self.methods
        }

    def tables(self) -> list[str]:
        tolerance = self.settings["tolerance_mm"]
        cases = {row["case"] for row in self.scores}
        patients = {patient_of(case) for case in cases}
        scans = f" ({len(cases)} scans)" if len(cases) > len(patients) else ""
        paragraphs = [f"Prompts from the reference labels; {len(patients)} patients{scans}, mean ± sd over patients"]
        single = [method for method in self.methods if method not in _THROUGH]
        through = [method for method in self.methods if method in _THROUGH]
        metrics = {"dice": "Dice"}
        if tolerance is not None:
            metrics["surface_dice"] = f"Surface Dice at {tolerance:g} mm"
        for metric, title in metrics.items():
            paragraphs += [f"**{title}, single slices** (n: slices)", self._table(metric, single)]
            if through:
                paragraphs += [f"**{title}, whole volume** (n: structures)", self._table(metric, through)]
        return paragraphs

    def to_markdown(self) -> str:
        model = self.folds[0].model if self.folds else {"reference": "no model", "sha256": ""}
        overlap = f"; {model['overlap']}" if "overlap" in model else ""
        words = f"Model `{model['reference']}` (sha256 {model['sha256'][:12]}{overlap})"
        return "\n\n".join([*self.tables(), words, f"`{self.command}`"]) + "\n"

    def _table(self, metric: str, methods: Sequence[str]) -> str:
        header = ["prompts", *self.label_names.values(), "all", "over all n", "n"]
        rows = [
            [
                method,
                *(str(self.of_patients(metric, method, label)) for label in self.label_names),
                f"**{self.of_patients(metric, method)}**",
                *self._over_all(self.of_slices(metric, method)),
            ]
            for method in methods
        ]
        return markdown_table(header, rows)

    @staticmethod
    def _over_all(value: MeanAndDeviation) -> tuple[str, str]:
        return "-" if value.mean is None else f"{value.mean:.3f}", str(value.count)

    def _rows(self, metric: str, method: str, label: int | None) -> list[dict[str, Any]]:
        return [
            row
            for row in self.scores
            if row["method"] == method and row.get(metric) is not None and label in (None, row["label"])
        ]
