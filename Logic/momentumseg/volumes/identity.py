"""What tells two volumes apart, for caches."""

from __future__ import annotations

import hashlib

import numpy as np

from momentumseg.volumes.volume import Volume


def identity_of(volume: Volume) -> str:
    """sha256 of the voxels and their geometry, read slice by slice."""
    digest = hashlib.sha256(repr((volume.shape, volume.array.dtype.str)).encode())
    digest.update(np.ascontiguousarray(volume.ijk_to_ras).tobytes())
    for voxels in volume.array:
        digest.update(np.ascontiguousarray(voxels).data)
    return digest.hexdigest()
