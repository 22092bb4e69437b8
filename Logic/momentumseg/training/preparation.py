"""From a volume in its own geometry to what episodes are drawn from: a normalised stack and its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from momentumseg.geometry.network_space import NetworkSpace
from momentumseg.training.prepared_volume import PreparedVolume
from momentumseg.training.supervoxels import SupervoxelMethod, supervoxels
from momentumseg.transforms.intensity import IntensityNormalization
from momentumseg.volumes.checks import checked_intensities
from momentumseg.volumes.volume import Volume


@dataclass(frozen=True)
class RegionSource:
    """One way of cutting a volume into regions; several of them give regions of several sizes."""

    method: SupervoxelMethod = "slic"
    min_size: int = 5000
    foreground_threshold: float = 10.0


def prepare_volume(
    volume: Volume,
    *,
    size: int = 256,
    plane: str = "acquisition",
    sources: Sequence[RegionSource] = (RegionSource(),),
    cache_folder: Path | None = None,
    half_precision: bool = True,
) -> PreparedVolume:
    """Resample to network space, normalise over the volume, and cut into regions.

    Args:
        volume: any geometry.
        size: pixels of the square network image.
        plane: slicing, see :class:`NetworkSpace`.
        sources: how to find regions, one label map each.
        cache_folder: where region labels are kept between runs.
        half_precision: keep the stack as float16.

    Raises:
        InputError: the volume is constant or has no usable voxel.
    """
    checked, _ = checked_intensities(volume)
    space = NetworkSpace.of(checked.shape, checked.ijk_to_ras, plane=plane, size=size)
    stack = space.forward_image(checked.array)
    normalization = IntensityNormalization.fit(checked.array)
    spacing = (space.pixel_spacing, space.pixel_spacing, space.slice_spacing)
    labels = [
        supervoxels(
            stack,
            spacing,
            method=source.method,
            min_size=source.min_size,
            foreground_threshold=source.foreground_threshold,
            cache_folder=cache_folder,
        )
        for source in sources
    ]
    normalized = normalization.apply(stack)
    return PreparedVolume(
        stack=normalized.astype(np.float16) if half_precision else normalized,
        regions=_compact(np.stack(labels)),
        name=volume.name,
    )


def _compact(labels: np.ndarray) -> np.ndarray:
    """The smallest unsigned type that holds the labels: a training set lives in memory."""
    return labels.astype(np.min_scalar_type(int(labels.max())))
