"""Labelled slices as a prompted network is asked about them: embedded once, with boxes and masks of the structures.

The networks of the SAM family need their own preprocessing, which starts from the intensities of the file. Cases must
therefore come in the canonical grid with nothing resampled and nothing normalised (``spacing = "own"``, ``intensity =
"own"`` and a plane of slices in the recipe's [data] table): such a grid holds the voxels of the file in the order of an
upright picture, and what is trained on is, number by number, what a session shows to the network.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from momentumseg.errors import Cancelled, InputError
from momentumseg.io.atomic import atomic_path
from momentumseg.io.checks import create_folder
from momentumseg.transforms.prompt_preprocessing import PromptPreprocessing, SliceTransform
from momentumseg.transforms.prompt_slices import PromptSlices
from momentumseg.volumes.identity import identity_of
from momentumseg.volumes.volume import Volume

_LARGEST_HALF = 65504.0


class LabelledCase(Protocol):
    """What is needed of a prepared case.

    ``image`` (C, D, H, W), ``labels`` (D, H, W) or None, ``spacing`` (d, h, w) in mm.
    """

    @property
    def name(self) -> str: ...

    @property
    def image(self) -> np.ndarray: ...

    @property
    def labels(self) -> np.ndarray | None: ...

    @property
    def spacing(self) -> tuple[float, float, float]: ...


class ImageEncoder(Protocol):
    """The frozen half of a prompted network: images (B, 3, S, S) to embeddings (B, C, h, h)."""

    def encode(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class PromptedStructure:
    """One label on one slice: ``case`` counts the cases, ``slice_index`` the slices of its grid, ``area`` voxels."""

    case: int
    slice_index: int
    label: int
    area: int


class EmbeddingStore:
    """Embeddings of slices on disk, half precision, one file a slice; none is computed twice.

    Args:
        network: in evaluation mode, on ``device``.
        identity: of the encoder's weights, its precision and the preprocessing.
        folder: of the files; runs with the same data may share it.
        device: of the network.
    """

    def __init__(self, network: ImageEncoder, identity: str, folder: Path, device: torch.device | str = "cpu") -> None:
        self.encoded = 0
        self._network = network
        self._identity = identity
        self._folder = folder
        self._device = torch.device(device)

    def get(self, case_id: str, slice_index: int) -> np.ndarray | None:
        """Float16 ``(C, h, h)``, mapped from its file; None when it is not there (or damaged)."""
        try:
            return np.load(self._path(case_id, slice_index), mmap_mode="r")
        except (OSError, ValueError):
            return None

    def compute(self, case_id: str, slice_index: int, channels: np.ndarray) -> np.ndarray:
        """Encode an image ``(3, S, S)`` and keep the embedding.

        Raises:
            OutputError: the file cannot be written.
        """
        image = torch.from_numpy(channels)[None].to(self._device)
        with torch.inference_mode():
            features = self._network.encode(image).float().clamp_(-_LARGEST_HALF, _LARGEST_HALF)
        embedding = features[0].to("cpu", torch.float16).contiguous().numpy()
        path = self._path(case_id, slice_index)
        content = io.BytesIO()
        np.save(content, embedding)
        create_folder(path.parent)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content.getvalue())  # whose errors say that a disk is full; numpy's own do not
        self.encoded += 1
        return embedding

    def _path(self, case_id: str, slice_index: int) -> Path:
        of_case = hashlib.sha256(f"{self._identity}:{case_id}".encode()).hexdigest()[:24]
        return self._folder / of_case / f"{slice_index:04d}.npy"


class PromptedSlices:
    """The structures of labelled cases, slice by slice.

    Args:
        cases: with labels; those without are left aside. Structures count them as they are given.
        preprocessing: of the network.
        embeddings: where slices are embedded.
        seed: of what is drawn from them.

    Attributes:
        structures: all labels on all slices.

    Raises:
        InputError: no labelled case, or one with several channels.
    """

    def __init__(
        self,
        cases: Sequence[LabelledCase],
        preprocessing: PromptPreprocessing,
        embeddings: EmbeddingStore,
        seed: int = 0,
    ) -> None:
        self.cases = list(cases)
        self.preprocessing = preprocessing
        self.seed = seed
        self._embeddings = embeddings
        self._encoding = threading.Lock()
        self._ids: dict[int, str] = {}
        for case in self.cases:
            _check_case(case)
        self._transforms = [preprocessing.transform_of(case.image.shape[2:], case.spacing[1:]) for case in self.cases]
        self.structures = [found for number, case in enumerate(self.cases) for found in _structures_of(number, case)]
        if not self.structures:
            raise InputError("There is no labelled structure to learn from; give cases with labels.")

    def encode(
        self,
        structures: Sequence[PromptedStructure],
        on_encoded: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Embed the slices of these structures that are not embedded yet; a volume is in memory one at a time.

        Args:
            on_encoded: receives (done, all) slices.

        Raises:
            Cancelled: on request; what was embedded is kept.
        """
        wanted = sorted({(found.case, found.slice_index) for found in structures})
        slices: tuple[int, PromptSlices] | None = None
        for done, (number, index) in enumerate(wanted):
            if cancelled is not None and cancelled():
                raise Cancelled("Training was stopped before it began; slices that were encoded are kept.")
            if self._embeddings.get(self._id(number), index) is None:
                if slices is None or slices[0] != number:
                    slices = number, self.slices(number)
                self._embeddings.compute(self._id(number), index, slices[1].channels(index))
            if on_encoded is not None:
                on_encoded(done + 1, len(wanted))

    def embedding(self, structure: PromptedStructure) -> np.ndarray:
        """Float16 ``(C, h, h)`` of the structure's slice: kept from before, or computed now."""
        case_id, index = self._id(structure.case), structure.slice_index
        found = self._embeddings.get(case_id, index)
        if found is None:
            with self._encoding:  # another thread may have encoded it while this one waited
                found = self._embeddings.get(case_id, index)
                if found is None:
                    found = self._embeddings.compute(case_id, index, self.slices(structure.case).channels(index))
        return found

    def slices(self, case: int) -> PromptSlices:
        """A case as a session would show it to the network."""
        return PromptSlices(self._volume(case), "axial", self.preprocessing, volume_id=self._id(case))

    def reference(self, structure: PromptedStructure) -> np.ndarray:
        """Boolean mask (rows, columns) of the structure on its slice."""
        labels = self.cases[structure.case].labels
        if labels is None:
            raise InputError(f"The case {self.cases[structure.case].name} has no labels.")
        return np.asarray(labels[structure.slice_index]) == structure.label

    def target(self, structure: PromptedStructure) -> np.ndarray:
        """The mask at the size of the network's logits, float32 ``(1, 4h, 4h)``, 1 inside."""
        covered = self._transforms[structure.case].mask_to_logits(self.reference(structure))
        return (covered >= 0.5).astype(np.float32)[None]

    def box(self, structure: PromptedStructure) -> np.ndarray:
        """The box through the outermost voxel centres, float64 ``(4,)`` as (x, y, x, y) in network pixels."""
        mask = self.reference(structure)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        corners = np.array([(columns[0], rows[0]), (columns[-1], rows[-1])])
        return self.transform(structure).to_network(corners).astype(np.float64).ravel()

    def transform(self, structure: PromptedStructure) -> SliceTransform:
        """The way from the structure's slice to the network and back."""
        return self._transforms[structure.case]

    def _volume(self, number: int) -> Volume:
        """The grid as a volume whose axial slices are upright as they are."""
        case = self.cases[number]
        depth, height, width = case.spacing
        return Volume(case.image[0].astype(np.float32), np.diag((-width, -height, depth, 1.0)), case.name)

    def _id(self, number: int) -> str:
        if number not in self._ids:
            self._ids[number] = identity_of(self._volume(number))
        return self._ids[number]


def grown_box(box: np.ndarray, outward: np.ndarray, size: int) -> np.ndarray:
    """Box ``(4,)`` whose sides are moved outward by so many pixels ``(4,)``; no further inward than a quarter of it.

    Args:
        box: (x, y, x, y) in network pixels.
        outward: of the left, upper, right and lower side; negative is inward.
        size: pixels along a side of the network's image; the box stays inside it.
    """
    quarter = (box[2:] - box[:2]) / 4
    moved = np.maximum(outward, -np.concatenate([quarter, quarter]))
    signs = np.array((-1.0, -1.0, 1.0, 1.0))
    grown: np.ndarray = np.clip(box + signs * moved, 0.0, size - 1.0)
    return grown


def _structures_of(number: int, case: LabelledCase) -> Iterator[PromptedStructure]:
    if case.labels is None:
        return
    for index, labels in enumerate(case.labels):
        for label, area in enumerate(np.bincount(np.asarray(labels).ravel())):
            if label and area:
                yield PromptedStructure(number, index, label, int(area))


def _check_case(case: LabelledCase) -> None:
    if len(case.image) != 1:
        raise InputError(
            f"The case {case.name} has {len(case.image)} channels; a model for prompts sees one image: give a folder "
            "with one channel."
        )
