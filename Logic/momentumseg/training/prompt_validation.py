"""How good a decoder for prompts is on the cases that it does not train on: a box on each slice, as a user draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from momentumseg.errors import Cancelled, InputError
from momentumseg.strategies.prompted_slices import PromptedSlices, PromptedStructure, grown_box
from momentumseg.training.progress import ValidationReport
from momentumseg.training.validation import as_picture

# Prompts of each structure that are tried, evenly spread: each costs about a twentieth of a second on a CPU.
_MOST_PROMPTS = 30


class BoxValidator:
    """Mean Dice, on the slices' own voxels, of masks that boxes gave.

    Args:
        slices: of the validation cases.
        names: of the labels 1 .. n, in order.
        margin: of the boxes, in pixels of the network's logits.
        smallest_area: voxels; structures with less on a slice are not tried.
        device: that the network is on.
        cancelled: asked between prompts.

    Attributes:
        structures: that are tried.

    Raises:
        InputError: no validation case has a structure that is large enough.
    """

    def __init__(
        self,
        slices: PromptedSlices,
        names: Sequence[str],
        margin: float,
        smallest_area: int,
        device: torch.device | str = "cpu",
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.slices = slices
        self._names = list(names)
        self._margin = margin
        self._device = torch.device(device)
        self._cancelled = cancelled
        large = [found for found in slices.structures if found.area >= smallest_area]
        by_label = [[found for found in large if found.label == label + 1] for label in range(len(self._names))]
        self.structures = [found for of_label in by_label for found in _spread(of_label, _MOST_PROMPTS)]
        if not self.structures:
            raise InputError(
                f"No structure of the validation cases has {smallest_area} voxels on a slice; choose other cases, or "
                "set data.validation to 0."
            )
        self._shown = _most_instructive(slices.structures)

    def __call__(self, network: nn.Module) -> ValidationReport:
        """Ask for every structure. Raises `Cancelled` when the user stopped meanwhile."""
        dice: dict[str, list[float]] = {}
        for structure in self.structures:
            if self._cancelled is not None and self._cancelled():
                raise Cancelled("Training was stopped during a validation; the same command continues it.")
            found, truth = self._mask(network, structure), self.slices.reference(structure)
            overlap = 2.0 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))
            dice.setdefault(self._names[structure.label - 1], []).append(float(overlap))
        means = {name: float(np.mean(values)) for name, values in dice.items()}
        return ValidationReport(float(np.mean(list(means.values()))), means, *self._picture(network))

    def _mask(self, network: nn.Module, structure: PromptedStructure) -> np.ndarray:
        """Boolean (rows, columns) of the structure's slice."""
        transform = self.slices.transform(structure)
        outward = np.full(4, self._margin * transform.logit_pixel)
        box = grown_box(self.slices.box(structure), outward, transform.image_size)
        embedding = torch.from_numpy(self.slices.embedding(structure).astype(np.float32))[None].to(self._device)
        with torch.inference_mode():
            answer = network(embedding, torch.from_numpy(box.astype(np.float32))[None].to(self._device))
        inside: np.ndarray = transform.logits_to_slice(answer.logits[0, 0]) > 0
        return inside

    def _picture(self, network: nn.Module) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
        """Case, image, reference and prediction of the slice that is shown."""
        case = self.slices.cases[self._shown[0].case]
        index = self._shown[0].slice_index
        predicted = np.zeros(case.image.shape[2:], dtype=np.uint8)
        reference = np.zeros_like(predicted)
        for structure in self._shown:
            predicted[self._mask(network, structure)] = structure.label
            reference[self.slices.reference(structure)] = structure.label
        return case.name, as_picture(np.asarray(case.image[0, index])), reference, predicted


def _most_instructive(structures: Sequence[PromptedStructure]) -> list[PromptedStructure]:
    """All structures of the slice with the largest labelled area: what is shown while the decoder learns."""
    by_slice: dict[tuple[int, int], list[PromptedStructure]] = {}
    for found in structures:
        by_slice.setdefault((found.case, found.slice_index), []).append(found)
    return max(by_slice.values(), key=lambda together: sum(found.area for found in together))


def _spread(structures: Sequence[PromptedStructure], most: int) -> list[PromptedStructure]:
    if len(structures) <= most:
        return list(structures)
    return [structures[int(place)] for place in np.linspace(0, len(structures) - 1, most)]
