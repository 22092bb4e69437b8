"""Automatic segmentation: set a volume, and a trained network labels every voxel of it.

>>> session = AutomaticSession(load_segmentation_model("hippocampus"))  # doctest: +SKIP
... session.set_volume(read_volume("patient.nii.gz"))
... result = session.segment(mirror=True)
... write_volume(result.labelmap, "labels.nii.gz")

What the network finds is larger than the volume and never in memory as a whole: layers of probabilities become labels
and uncertainty as soon as they are final.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from momentumseg.allocation import keep_large_blocks
from momentumseg.errors import GeometryError, InputError
from momentumseg.geometry.canonical_grid import CanonicalGrid
from momentumseg.geometry.canonical_layers import GridPart
from momentumseg.inference.sliding_window import Progress, predict_layers
from momentumseg.networks.segmentation import SegmentationNetwork
from momentumseg.sessions.automatic_result import AutomaticResult, LabelWriter
from momentumseg.sessions.ranges import checked_box_of
from momentumseg.transforms.case_intensity import normalized_channels
from momentumseg.transforms.data_statistics import DataStatistics
from momentumseg.volumes.resample import have_same_geometry
from momentumseg.volumes.volume import Volume


class AutomaticModel(Protocol):
    """What a session needs of a :class:`momentumseg.weights.segmentation_models.LoadedSegmentationModel`."""

    @property
    def network(self) -> SegmentationNetwork: ...

    @property
    def recipe(self) -> dict[str, Any]: ...

    @property
    def statistics(self) -> DataStatistics: ...


@dataclass(frozen=True)
class _Prepared:
    """A volume as the network sees it: ``image`` float32 (C, D, H, W), normalised, on the canonical grid."""

    volume: Volume
    grid: CanonicalGrid
    image: np.ndarray


class AutomaticSession:
    """A trained network, and the volume that it is applied to.

    Args:
        model: network with the statistics of its training data.
        device: where the network runs.

    Raises:
        InputError: the recipe's [inference] table has a value that cannot be used.
    """

    def __init__(self, model: AutomaticModel, *, device: torch.device | str = "cpu") -> None:
        keep_large_blocks()
        self.statistics = model.statistics
        self._overlap, self._mirror = _inference_options(model.recipe)
        self._device = torch.device(device)
        self._network = model.network.to(self._device).eval()
        self._prepared: _Prepared | None = None

    def __enter__(self) -> AutomaticSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the volume."""
        self._prepared = None

    @property
    def volume(self) -> Volume | None:
        return None if self._prepared is None else self._prepared.volume

    def set_volume(self, volume: Volume, *further: Volume) -> None:
        """Choose the volume to segment, in any orientation.

        Args:
            volume: with checked intensities, see :func:`momentumseg.volumes.checks.checked_intensities`.
            further: the other channels, in the order of training, on the same voxels.

        Raises:
            InputError: another number of channels than in training, or one without contrast.
            GeometryError: channels on different voxels.
        """
        channels = (volume, *further)
        _check_channels(channels, self.statistics.channels)
        self._prepared = None  # the memory of the last volume, before more is asked for
        grid = self.statistics.grid_of(volume.shape, volume.ijk_to_ras)
        images = [grid.forward_image(channel.array) for channel in channels]
        image = images[0][np.newaxis] if len(images) == 1 else np.stack(images)
        self._prepared = _Prepared(volume, grid, normalized_channels(image, self.statistics.intensity, out=image))

    def segment(
        self,
        *,
        mirror: bool | None = None,
        box: Sequence[Sequence[int]] | None = None,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> AutomaticResult:
        """Label every voxel of the volume, or of a box; the rest is background.

        Args:
            mirror: average over mirrored versions of each window, which is slower and a little better; None: as in the
                model's recipe.
            box: half-open ranges (i0, i1), (j0, j1), (k0, k1); the network sees a margin around it.
            progress: called with the windows done and in all.
            cancelled: asked between windows.

        Raises:
            InputError: no volume was set, or the box has nothing of it.
            Cancelled: ``cancelled`` said so.
        """
        began = time.perf_counter()
        prepared = self._prepared
        if prepared is None:
            raise InputError("There is no volume to segment; set one first.")
        sides = (1, *self.statistics.patch)[-3:]  # slices do not see each other
        part = GridPart.of(prepared.grid, checked_box_of(box, prepared.volume.shape), sides)
        writer = LabelWriter(prepared.volume, part, self.statistics.labels)
        for first, probabilities in part.voxels_of(self._layers(prepared, part, mirror, progress, cancelled)):
            writer.add(first, probabilities)
        return writer.result(time.perf_counter() - began)

    def _layers(
        self,
        prepared: _Prepared,
        part: GridPart,
        mirror: bool | None,
        progress: Progress | None,
        cancelled: Callable[[], bool] | None,
    ) -> Iterator[tuple[int, np.ndarray]]:
        return predict_layers(
            self._network,
            prepared.image[(slice(None), *part.pixels)],
            patch=self.statistics.patch,
            overlap=self._overlap,
            mirror=self._mirror if mirror is None else mirror,
            device=self._device,
            progress=progress,
            cancelled=cancelled,
        )


def _inference_options(recipe: Mapping[str, Any]) -> tuple[float, bool]:
    """(overlap of windows, whether mirrored versions are averaged) of the recipe's [inference] table."""
    table = recipe.get("inference", {})
    overlap, mirror = table.get("overlap", 0.5), table.get("mirror", False)
    if isinstance(overlap, bool) or not isinstance(overlap, int | float) or not isinstance(mirror, bool):
        raise InputError(
            f"The model's recipe has inference.overlap = {overlap!r} and inference.mirror = {mirror!r}; they must be a "
            "number and true or false."
        )
    return float(overlap), mirror


def _check_channels(channels: Sequence[Volume], wanted: Sequence[str]) -> None:
    if len(channels) != len(wanted):
        raise InputError(
            f"The model was trained on {len(wanted)} images of each case ({', '.join(wanted)}) and was given "
            f"{len(channels)}; give these, in this order."
        )
    for other in channels[1:]:
        if not have_same_geometry(channels[0], other):
            raise GeometryError(
                f"The channels {channels[0].name or '1'} and {other.name or 'of another image'} do not lie on the same "
                "voxels; resample one to the other."
            )
