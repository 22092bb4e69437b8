"""Prototypes of drawn masks: masked average pooling and Voronoi regions (LMS-Net Sec. III-B, RPT)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import EmptySupportError

_POOLING_EPSILON = 1e-5
_COSINE_EPSILON = 1e-8


def masked_average(features: Tensor, masks: Tensor) -> Tensor:
    """Mean foreground feature of each image, ``(n, C)`` (LMS-Net eq. 15).

    The paper up-samples the features bilinearly to the mask's size and averages there; this is the same sum, computed
    by bringing the mask down with the transposed interpolation, at a fraction of the cost.

    Args:
        features: ``(n, C, h, w)``.
        masks: ``(n, H, W)`` of weights >= 0.
    """
    masks = masks.to(features.dtype)
    rows = _interpolation_matrix(masks.shape[-2], features.shape[-2]).to(features)
    columns = _interpolation_matrix(masks.shape[-1], features.shape[-1]).to(features)
    weights = rows.T @ masks @ columns
    return soft_average(features, weights, total=masks.sum(dim=(-2, -1)))


def soft_average(features: Tensor, weights: Tensor, total: Tensor | None = None) -> Tensor:
    """Weighted mean ``(n, C)`` of each image's features ``(n, C, h, w)``, with weights ``(n, h, w)`` (eq. 8)."""
    total = weights.sum(dim=(-2, -1)) if total is None else total
    pooled = torch.einsum("nchw,nhw->nc", features, weights)
    return pooled / (total + _POOLING_EPSILON).unsqueeze(1)


def cosine_map(directions: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine ``(B, h, w)`` of unit features ``(B, C, h, w)`` with prototypes ``(B, C)`` (eq. 5, negated)."""
    return torch.einsum("bchw,bc->bhw", directions, functional.normalize(prototypes, dim=1, eps=_COSINE_EPSILON))


def foreground_cells(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells of the feature grid that a mask covers, boolean ``size``.

    Cells are sampled; of a mask so thin that no sample meets it every touched cell is kept.

    Raises:
        EmptySupportError: the mask has no foreground.
    """
    mask = (mask > 0).float()[None, None]
    cells = functional.interpolate(mask, size=size, mode="bilinear", align_corners=False)[0, 0] > 0
    if not cells.any():
        cells = functional.adaptive_max_pool2d(mask, size)[0, 0] > 0
    if not cells.any():
        raise EmptySupportError("The drawn slice has no foreground; draw the structure on it or remove the support.")
    return cells


def regional_prototypes(features: Tensor, mask: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Mean features of at most ``count`` Voronoi regions of one support mask, ``(N, C)``.

    Centres come from farthest-point sampling over the foreground cells. The first one is random in training and the
    cell nearest to the centroid otherwise, so that inference is deterministic.

    Args:
        features: ``(C, h, w)``.
        mask: ``(H, W)``.
        count: wanted number of regions; N = min(count, foreground cells).

    Raises:
        EmptySupportError: the mask has no foreground.
    """
    cells = foreground_cells(mask, (features.shape[-2], features.shape[-1]))
    positions = cells.nonzero().float()
    region = _voronoi_regions(positions, min(count, len(positions)), generator)
    values = features[:, cells].T
    if count >= len(positions):
        return values
    regions = int(region.max()) + 1
    membership = functional.one_hot(region, regions).to(values)
    return (membership.T @ values) / membership.sum(dim=0).unsqueeze(1)


def _voronoi_regions(positions: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Index of the nearest centre of each position ``(P, 2)``, ``(P,)`` long; ties go to the earlier centre."""
    nearest = _squared_distance(positions, _first_centre(positions, generator))
    region = torch.zeros(len(positions), dtype=torch.long, device=positions.device)
    for index in range(1, count):
        distance = _squared_distance(positions, int(nearest.argmax()))
        closer = distance < nearest
        region = torch.where(closer, index, region)
        nearest = torch.minimum(nearest, distance)
    return region


def _first_centre(positions: Tensor, generator: torch.Generator | None) -> int:
    if generator is None:
        return int(((positions - positions.mean(dim=0)) ** 2).sum(dim=1).argmin())
    return int(torch.randint(len(positions), (1,), generator=generator))


def _squared_distance(positions: Tensor, centre: int) -> Tensor:
    return ((positions - positions[centre]) ** 2).sum(dim=1)


@lru_cache(maxsize=16)
def _interpolation_matrix(large: int, small: int) -> Tensor:
    """Matrix ``(large, small)`` of 1-D linear interpolation with half-pixel centres.

    It is kept for the life of the process, so it must not depend on the caller's inference mode, device or dtype.
    """
    with torch.inference_mode(False):
        identity = torch.eye(small, device="cpu", dtype=torch.float32)[None]
        return functional.interpolate(identity, size=large, mode="linear", align_corners=False)[0].T.contiguous()
