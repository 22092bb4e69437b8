"""What benchmarks run on: generated volumes, drawn masks, and networks whose speed does not depend on their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from momentumseg.errors import InputError
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.recipes.reading import read_recipe
from momentumseg.training.phantoms import generate_phantom_volume
from momentumseg.volumes.volume import Volume

DEFAULT_RECIPE = "lms-laptop"
_SPACING_MM = (1.25, 1.25, 5.0)
_PHANTOM_PEAK = 1000.0
_DRAWN_SLICES = 2  # of a large volume, on both sides of the middle
_CT_SPACING_MM = (0.8, 0.8, 1.0)


@dataclass(frozen=True)
class BenchmarkModel:
    """A network, as a session wants it."""

    network: FewShotNetwork
    sha256: str
    recipe: dict[str, Any]


@dataclass(frozen=True)
class BenchmarkCase:
    """A volume and its true regions, labels 1 .. L from the largest to the smallest.

    Attributes:
        volume: axial slices.
        regions: slice -> label map of the slice; of a large volume only of those that are drawn.
    """

    volume: Volume
    regions: Mapping[int, np.ndarray]

    def drawn(self, label: int, slice_index: int) -> np.ndarray:
        """Boolean mask of one region; a square where the region is not on that slice, so that there is always one."""
        mask = self.regions[slice_index] == label
        if not mask.any():
            rows, columns = mask.shape
            mask[rows // 3 : rows // 2, columns // 3 : columns // 2] = True
        return mask


def random_model(recipe: str = DEFAULT_RECIPE, overrides: Mapping[str, Any] | None = None) -> BenchmarkModel:
    """The network of a recipe with random weights; ``overrides`` replace tables of the recipe.

    Raises:
        InputError: no such recipe, or tables that do not fit.
    """
    table = {**read_recipe(recipe), **(overrides or {})}
    torch.manual_seed(0)
    network = build_few_shot_network(table["network"])
    return BenchmarkModel(network.eval(), f"random weights of {recipe}", table)


def phantom_case(slices: int, size: int, seed: int = 0) -> BenchmarkCase:
    """A generated axial scan of ``slices`` slices of ``size`` x ``size`` pixels, int16."""
    phantom = generate_phantom_volume(np.random.default_rng(seed), (slices, size, size))
    stack = phantom.stack.astype(np.float32)
    scaled = (stack - stack.min()) / max(float(np.ptp(stack)), 1e-6) * _PHANTOM_PEAK
    regions = _largest_first(np.asarray(phantom.regions).reshape(slices, size, size))
    volume = Volume(scaled.astype(np.int16), _geometry(_SPACING_MM), "phantom")
    return BenchmarkCase(volume, dict(enumerate(regions)))


def large_case(shape: tuple[int, int, int]) -> BenchmarkCase:
    """A CT-like int16 volume of ``shape`` (K, J, I), made slice by slice so that making it needs no more memory.

    Raises:
        InputError: a shape without voxels.
    """
    if min(shape) < 8:
        raise InputError(f"The shape {shape} is too small for this benchmark; give at least 8 voxels along each axis.")
    slices, rows, columns = shape
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 15, (rows, columns)).astype(np.float32)
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    voxels = np.empty(shape, dtype=np.int16)
    regions = {}
    for k in range(slices):
        z = k / (slices - 1)
        body = (x / 0.85) ** 2 + (y / 0.6) ** 2 < 1
        organ = ((x + 0.35) / 0.3) ** 2 + ((y - 0.1 * np.cos(6 * z)) / 0.25) ** 2 < 1 - (2 * z - 1) ** 2
        spine = (x / 0.1) ** 2 + ((y - 0.42) / 0.1) ** 2 < 1
        slice_values = np.where(body, 40.0, -1000.0) + 70.0 * organ + 500.0 * spine + np.roll(noise, 17 * k, axis=1)
        voxels[k] = slice_values.astype(np.int16)
        if abs(k - slices // 2) <= _DRAWN_SLICES:
            regions[k] = organ.astype(np.uint8)
    return BenchmarkCase(Volume(voxels, _geometry(_CT_SPACING_MM), "generated CT"), regions)


def _largest_first(regions: np.ndarray) -> np.ndarray:
    """Labels renumbered by decreasing volume, uint8."""
    counts = np.bincount(regions.ravel())
    order = [label for label in np.argsort(counts)[::-1] if label != 0 and counts[label]]
    numbers = np.zeros(len(counts), dtype=np.uint8)
    for rank, label in enumerate(order[:255], start=1):
        numbers[label] = rank
    return numbers[regions]


def _geometry(spacing: tuple[float, float, float]) -> np.ndarray:
    matrix = np.diag((-spacing[0], -spacing[1], spacing[2], 1.0))
    matrix[:3, 3] = (100.0, 100.0, -50.0)
    return matrix
