"""Intensity normalisation of a whole volume: clip to percentiles, then z-score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from momentumseg.errors import InputError

# Percentiles of more voxels than this are estimated on a regular subset: the error is far below the noise of the image.
_MAX_FITTED_VOXELS = 8_000_000


@dataclass(frozen=True)
class IntensityNormalization:
    """``x -> (clip(x, low, high) - mean) / std``, with constants fitted on one volume.

    Attributes are in the volume's own units (HU for CT); ``mean`` and ``std`` are those of the clipped voxels.
    """

    low: float
    high: float
    mean: float
    std: float

    @classmethod
    def fit(
        cls, array: np.ndarray, *, low_percentile: float = 0.5, high_percentile: float = 99.5
    ) -> IntensityNormalization:
        """Constants of ``array`` (any shape; usually ``(K, J, I)``).

        Raises:
            InputError: the voxels are empty, not finite, or all equal.
        """
        voxels = np.asarray(array).reshape(-1)
        voxels = voxels[:: max(1, voxels.size // _MAX_FITTED_VOXELS)].astype(np.float32)
        if voxels.size == 0 or not np.isfinite(voxels).all():
            raise InputError(
                "The volume is empty or holds voxels that are not numbers (NaN or infinite): repair it before use."
            )
        low, high = (float(value) for value in np.percentile(voxels, (low_percentile, high_percentile)))
        if low == high:  # a small bright object on an even background: percentiles see the background only
            low, high = float(voxels.min()), float(voxels.max())
        if low == high:
            raise InputError(f"All voxels of the volume have the value {low:g}: choose a volume that shows something.")
        clipped = np.clip(voxels, low, high)
        return cls(low, high, float(clipped.mean(dtype=np.float64)), float(clipped.std(dtype=np.float64)))

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Normalised voxels: float32, same shape as ``array``, without unit."""
        normalized = np.clip(np.asarray(array, dtype=np.float32), self.low, self.high)
        normalized -= np.float32(self.mean)
        normalized /= np.float32(self.std)
        return normalized
