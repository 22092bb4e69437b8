"""Supervoxels: the pseudo-labels of self-supervised few-shot training.

Two methods: SLIC (fast, the default) and the three-dimensional Felzenszwalb segmentation of ADNet (Hansen et al.
2022), the one that LMS-Net's protocol was published with.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from momentumseg.errors import InputError
from momentumseg.io.atomic import atomic_path

SupervoxelMethod = Literal["slic", "felzenszwalb"]

_LOG = logging.getLogger(__name__)
_CACHE_VERSION = 1  # raise when an algorithm below changes: old cache entries are then computed again
# Stands for an edge between equal voxels: a sparse graph takes a stored 0 for "no edge".
_NO_COST = np.float32(1e-30)


def rescale_to_byte_range(array: np.ndarray) -> np.ndarray:
    """Linear map of the voxels to 0 .. 255, float32; a constant volume becomes 0."""
    voxels = np.asarray(array, dtype=np.float32)
    low, high = float(voxels.min()), float(voxels.max())
    return (voxels - low) * np.float32(255.0 / (high - low) if high > low else 0.0)


def slic3d(
    array: np.ndarray,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    min_size: int = 5000,
    proximity_weight: float = 10.0,
    iterations: int = 5,
) -> np.ndarray:
    """SLIC supervoxels (Achanta et al. 2012) of about ``min_size`` voxels, physically as cubic as the slices allow.

    Args:
        array: ``(K, J, I)`` intensities.
        spacing: mm along I, J, K.
        min_size: voxels of a cell of the starting grid.
        proximity_weight: how much position counts against intensity (0 .. 255).
        iterations: rounds of the clustering.

    Returns:
        ``(K, J, I)`` int32 labels from 0.
    """
    import SimpleITK as sitk  # noqa: PLC0415  loading ITK takes longer than everything else in this module

    image = sitk.GetImageFromArray(rescale_to_byte_range(array))
    slic = sitk.SLICImageFilter()
    slic.SetSuperGridSize(_slic_grid(array.shape, spacing, min_size))
    slic.SetSpatialProximityWeight(proximity_weight)
    slic.SetMaximumNumberOfIterations(iterations)
    slic.SetEnforceConnectivity(True)
    slic.SetNumberOfThreads(1)  # the result would depend on the number of threads
    return sitk.GetArrayFromImage(slic.Execute(image)).astype(np.int32)


def _slic_grid(shape: Sequence[int], spacing: Sequence[float], min_size: int) -> list[int]:
    """Cells (I, J, K) of ``min_size`` voxels, cubic in mm, but at least 3 slices thick: neighbours must share one."""
    edge = (min_size * float(np.prod(spacing))) ** (1 / 3)
    depth = int(np.clip(round(edge / spacing[2]), min(3, shape[0]), shape[0]))
    side = (min_size / depth) ** 0.5
    aspect = (spacing[1] / spacing[0]) ** 0.5
    return [
        int(np.clip(round(side * aspect), 2, max(2, shape[2]))),
        int(np.clip(round(side / aspect), 2, max(2, shape[1]))),
        depth,
    ]


def felzenszwalb3d(array: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0), min_size: int = 5000) -> np.ndarray:
    """Felzenszwalb and Huttenlocher (2004) on a 26-neighbour voxel graph, as ADNet uses it (scale 1/255, sigma 0).

    With that scale the first phase merges zero-cost edges only, so it is a connected-components problem; the second
    phase (merge along ascending edges while either side is smaller than ``min_size``) needs the edges of a minimum
    spanning tree alone, because an edge that closes a cycle joins either one component or two large ones.

    Args:
        array: ``(K, J, I)`` intensities; rescaled to 0 .. 255 here.
        spacing: mm along I, J, K; the ratio K : I weighs the edges between slices.
        min_size: voxels of the smallest region.

    Returns:
        ``(K, J, I)`` int32 labels from 0, numbered in raster order.
    """
    voxels = rescale_to_byte_range(array)
    first, second, cost = _sorted_spanning_tree(_voxel_graph(voxels, spacing[2] / spacing[0]))
    flat = int(np.searchsorted(cost, _NO_COST, side="right"))
    edges = sparse.coo_array((np.ones(flat, dtype=np.int8), (first[:flat], second[:flat])), (voxels.size, voxels.size))
    count, component = csgraph.connected_components(edges, directed=False)
    sizes = np.bincount(component, minlength=count)
    roots = _merge_small(component[first[flat:]], component[second[flat:]], sizes, min_size)
    return _numbered_in_raster_order(roots[component]).reshape(voxels.shape)


def _voxel_graph(voxels: np.ndarray, slice_ratio: float) -> sparse.csr_array:
    """Upper triangle of the 26-neighbourhood graph; the cost of an edge is ``sqrt(w) |difference|``.

    ``w`` is the mean of the squared steps (1 within a slice, ``slice_ratio`` between slices) over the axes that the
    edge moves along. The rows are filled in place: going through coordinates would double the memory.
    """
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
    cost = np.full((*voxels.shape, len(steps)), np.inf, dtype=np.float32)
    for number, step in enumerate(steps):
        here = tuple(slice(max(0, -s), extent - max(0, s)) for s, extent in zip(step, voxels.shape, strict=True))
        there = tuple(slice(max(0, s), extent - max(0, -s)) for s, extent in zip(step, voxels.shape, strict=True))
        moved = [axis for axis in range(3) if step[axis]]
        weight = sum(slice_ratio**2 if axis == 0 else 1.0 for axis in moved) / len(moved)
        cost[..., number][here] = np.float32(weight**0.5) * np.abs(voxels[here] - voxels[there])
    np.maximum(cost, _NO_COST, out=cost)
    cost = cost.reshape(voxels.size, len(steps))
    exists = np.isfinite(cost)
    offsets = np.array(steps) @ np.array([voxels.shape[1] * voxels.shape[2], voxels.shape[2], 1])
    neighbours = np.arange(voxels.size, dtype=np.int32)[:, None] + offsets.astype(np.int32)
    row_starts = np.concatenate([[0], np.cumsum(exists.sum(axis=1))]).astype(np.int32)
    return sparse.csr_array((cost[exists], neighbours[exists], row_starts), (voxels.size, voxels.size))


def _sorted_spanning_tree(graph: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges of a minimum spanning tree, ascending in cost: (first node, second node, cost)."""
    tree = csgraph.minimum_spanning_tree(graph, overwrite=True).tocoo()
    order = np.argsort(tree.data, kind="stable")
    return tree.row[order], tree.col[order], tree.data[order]


def _numbered_in_raster_order(labels: np.ndarray) -> np.ndarray:
    """The same partition of ``(N,)`` voxels with int32 labels 0, 1, ... in order of first appearance."""
    _, first_seen, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first_seen), dtype=np.int32)
    rank[np.argsort(first_seen)] = np.arange(len(first_seen), dtype=np.int32)
    return rank[inverse]


def _merge_small(first: np.ndarray, second: np.ndarray, sizes: np.ndarray, min_size: int) -> np.ndarray:
    """Root of every node after merging along the ordered edges wherever either side is smaller than ``min_size``."""
    parent, size = list(range(len(sizes))), sizes.tolist()
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if size[a] >= min_size and size[b] >= min_size:
            continue
        if size[a] < size[b]:
            a, b = b, a
        parent[b] = a
        size[a] += size[b]
    roots = np.asarray(parent)
    while True:
        above = roots[roots]
        if np.array_equal(above, roots):
            return roots
        roots = above


def foreground_mask(array: np.ndarray, threshold: float = 10.0) -> np.ndarray:
    """Body of every slice: above ``threshold`` of 0 .. 255, largest component, holes filled; ``(K, J, I)`` bool."""
    foreground = rescale_to_byte_range(array) > threshold
    for k, bright in enumerate(foreground):
        components, count = ndimage.label(bright)
        if count > 1:
            sizes = np.bincount(components.ravel())
            sizes[0] = 0
            bright = components == sizes.argmax()
        foreground[k] = ndimage.binary_fill_holes(bright)
    return foreground


def supervoxels(
    array: np.ndarray,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    method: SupervoxelMethod = "slic",
    min_size: int = 5000,
    foreground_threshold: float = 10.0,
    cache_folder: Path | None = None,
) -> np.ndarray:
    """Region labels of a volume, 0 outside the body.

    Args:
        array: ``(K, J, I)`` intensities.
        spacing: mm along I, J, K.
        method: ``"slic"`` or ``"felzenszwalb"``.
        min_size: voxels of a region (typical for SLIC, smallest for Felzenszwalb).
        foreground_threshold: what counts as body on the volume rescaled to 0 .. 255.
        cache_folder: where results are kept, keyed by the voxels and the parameters; ``None`` computes every time.

    Returns:
        ``(K, J, I)`` int32 labels.

    Raises:
        InputError: an unknown method, or an array that is not 3D.
    """
    if method not in get_args(SupervoxelMethod):
        raise InputError(f'The supervoxel method "{method}" is unknown: use "slic" or "felzenszwalb".')
    if array.ndim != 3:
        raise InputError(f"Supervoxels need a 3D volume but this one has {array.ndim} axes.")
    path = None
    if cache_folder is not None:
        millimetres = [float(mm) for mm in spacing]
        parameters: list[object] = [_CACHE_VERSION, method, min_size, foreground_threshold, millimetres]
        path = Path(cache_folder) / f"supervoxels-{_cache_key(array, parameters)}.npz"
        cached = _read_cache(path, array.shape)
        if cached is not None:
            return cached
    segment = slic3d if method == "slic" else felzenszwalb3d
    labels = segment(array, spacing, min_size=min_size)
    labels[labels == 0] = labels.max() + 1
    labels[~foreground_mask(array, foreground_threshold)] = 0
    if path is not None:
        _write_cache(path, labels)
    return labels


def _cache_key(array: np.ndarray, parameters: list[object]) -> str:
    voxels = np.ascontiguousarray(array)
    digest = hashlib.sha256(json.dumps([str(voxels.dtype), voxels.shape, parameters]).encode())
    digest.update(voxels.data)
    return digest.hexdigest()


def _read_cache(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Labels of an earlier run, or ``None`` when there are none that can be used."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            labels = archive["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        _LOG.warning("The supervoxel cache %s is damaged (%s) and is computed again.", path, error)
        return None
    return labels if labels.shape == shape and labels.dtype == np.int32 else None


def _write_cache(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, labels=labels)
