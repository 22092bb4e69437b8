"""In which plane somebody drew: few slices of that plane hold everything that was drawn."""

from __future__ import annotations

import numpy as np

from momentumseg.geometry.network_space import ACQUISITION, PLANES, NetworkSpace
from momentumseg.volumes.volume import Volume


def drawn_plane(labelmap: Volume) -> str:
    """The plane (axial, coronal or sagittal) in which the fewest slices of a label map (K, J, I) are drawn on.

    When planes tie, as for a structure drawn in full, it is the acquisition's if that is among them. An empty label
    map has the acquisition's plane.
    """
    acquisition = _space(labelmap, ACQUISITION).plane
    counts = {plane: _drawn_slices(labelmap, plane) for plane in (acquisition, *PLANES)}
    return min(counts, key=lambda plane: counts[plane])


def _drawn_slices(labelmap: Volume, plane: str) -> int:
    axis = _space(labelmap, plane).slice_axis
    others = tuple(other for other in range(3) if other != axis)
    return int(np.count_nonzero(labelmap.array.any(axis=others)))


def _space(labelmap: Volume, plane: str) -> NetworkSpace:
    return NetworkSpace.of(labelmap.shape, labelmap.ijk_to_ras, plane=plane)
