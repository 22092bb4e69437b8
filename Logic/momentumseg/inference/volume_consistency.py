"""Makes slice-wise few-shot results consistent through a volume, and brings them to image resolution.

For a label drawn on the volume itself: the network's logit plus a shape prior from the drawn slices, then only what
hangs together with a drawn mask. For a label drawn on another volume: light smoothing through the slices, then the
largest parts. At last the outlines are moved to the edges of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from momentumseg.inference.edge_refinement import EdgeConfig, refine_edges
from momentumseg.inference.shape_prior import ShapePrior, ShapePriorConfig

# Logit of what was cut off: below one half, but still visible in the uncertainty.
_CUT_LOGIT = -1.0


@dataclass(frozen=True)
class ConsistencyConfig:
    """What the step does; the defaults are the recommended ones.

    Attributes:
        prior: shape prior from drawn slices; None leaves it out.
        logit_limit: bound of the network's logit before the prior is added: an over-confident network must not
            outvote it.
        smoothing_cells: standard deviation of the smoothing through slices for labels drawn elsewhere, in feature
            cells.
        keep_parts: cut off what does not hang together with a drawn mask, or, for labels drawn elsewhere, all but the
            largest parts.
        edges: refinement of the outlines by the image; None leaves it out.
    """

    prior: ShapePriorConfig | None = field(default_factory=ShapePriorConfig)
    logit_limit: float = 4.0
    smoothing_cells: float = 0.5
    keep_parts: bool = True
    edges: EdgeConfig | None = field(default_factory=EdgeConfig)


def make_consistent(
    logits: Tensor,
    drawn: Mapping[tuple[int, int], np.ndarray],
    image: Callable[[int], np.ndarray],
    *,
    size: int,
    pixel_spacing: float,
    slice_spacing: float,
    parts: Sequence[int],
    config: ConsistencyConfig,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Consistent foreground logits at image resolution, ``(L, n, size, size)`` float16.

    Args:
        logits: of the network, ``(L, n, h, w)``, consecutive network slices; not changed.
        drawn: (label position, slice) -> mask ``(size, size)`` drawn on this volume; slices count from the first
            of the n and may lie outside of them.
        image: slice 0 .. n-1 -> its normalised image ``(size, size)``.
        size: of the network images, pixels.
        pixel_spacing, slice_spacing: mm.
        parts: for each label, how many separate parts its supports show on a slice.
        config: see :class:`ConsistencyConfig`.
        check: called between slices; raises to cancel.
    """
    result = torch.empty((*logits.shape[:2], size, size), dtype=torch.float16)
    cell = pixel_spacing * size / logits.shape[-1]
    for position in range(len(logits)):
        masks = {s: mask for (label, s), mask in drawn.items() if label == position and (mask > 0).any()}
        prior = None
        if masks and config.prior is not None:
            prior = ShapePrior(masks, pixel_spacing, slice_spacing, cell, config.prior, logits[position].numpy())
        network = (
            logits[position] if masks else _smoothed(logits[position], config.smoothing_cells * cell / slice_spacing)
        )
        for s in range(logits.shape[1]):
            check()
            result[position, s] = _combined(network[s], prior, s, size, config.logit_limit)
        if config.keep_parts:
            _cut(result[position], masks, parts[position], logits.shape[-1], check)
    if config.edges is not None:
        _refine(
            result, image, round(config.edges.radius_cells * size / logits.shape[-1]), config.edges.smoothness, check
        )
    return result


def _refine(
    logits: Tensor, image: Callable[[int], np.ndarray], radius: int, smoothness: float, check: Callable[[], None]
) -> None:
    """Edge refinement of logits ``(L, n, size, size)`` in place; slices without foreground need no image."""
    for s in range(logits.shape[1]):
        check()
        present = [position for position in range(len(logits)) if (logits[position, s] > 0).any()]
        if not present:
            continue
        pixels = image(s)
        for position in present:
            refined = refine_edges(logits[position, s].float().numpy(), pixels, radius, smoothness)
            logits[position, s] = torch.from_numpy(refined)


def part_count(mask: np.ndarray) -> int:
    """Separate parts of a drawn mask ``(rows, columns)``, those below a tenth of the largest not counted."""
    labels, count = ndimage.label(mask > 0)
    if count == 0:
        return 0
    areas = np.bincount(labels.ravel())[1:]
    return int((areas >= 0.1 * areas.max()).sum())


def _combined(logit: Tensor, prior: ShapePrior | None, s: int, size: int, limit: float) -> Tensor:
    upsampled = functional.interpolate(
        logit[None, None].float(), size=(size, size), mode="bilinear", align_corners=True
    )[0, 0]
    if prior is None:
        return upsampled
    return upsampled.clamp_(-limit, limit).add_(torch.from_numpy(prior.logit(s)))


def _smoothed(logits: Tensor, sigma: float) -> Tensor:
    """Gaussian through the slices of ``(n, h, w)``; sigma in slices."""
    if sigma <= 0 or len(logits) < 2:
        return logits
    return torch.from_numpy(ndimage.gaussian_filter1d(logits.float().numpy(), sigma, axis=0, mode="nearest"))


def _cut(logits: Tensor, masks: Mapping[int, np.ndarray], parts: int, cells: int, check: Callable[[], None]) -> None:
    """Lower the logits ``(n, size, size)`` of parts that do not belong to the structure, in place.

    Parts are found on the feature grid, where a cell counts as soon as one of its pixels is foreground: memory stays
    small for a thousand slices, and a bridge of one pixel keeps a structure together.
    """
    occupied = np.stack([_any_in_cell(logits[s] > 0, cells) for s in range(len(logits))])
    check()
    found, count = ndimage.label(occupied)
    if count == 0:
        return
    within = {s: mask for s, mask in masks.items() if 0 <= s < len(logits)}
    kept = _touching(found, within, cells) if within else _largest(found, parts)
    cut = torch.from_numpy(occupied & ~np.isin(found, kept))
    factor = logits.shape[-1] // cells
    for s in cut.any(dim=2).any(dim=1).nonzero()[:, 0].tolist():
        check()
        area = cut[s].repeat_interleave(factor, dim=0).repeat_interleave(factor, dim=1)
        logits[s][area] = logits[s][area].clamp(max=_CUT_LOGIT)


def _any_in_cell(mask: Tensor, cells: int) -> np.ndarray:
    return functional.adaptive_max_pool2d(mask[None, None].float(), cells)[0, 0].numpy() > 0


def _touching(found: np.ndarray, masks: Mapping[int, np.ndarray], cells: int) -> np.ndarray:
    """Parts that share a cell with a drawn mask."""
    touched = [found[s][_any_in_cell(torch.from_numpy(mask > 0), cells)] for s, mask in masks.items()]
    return np.setdiff1d(np.concatenate(touched), [0])


def _largest(found: np.ndarray, parts: int) -> np.ndarray:
    sizes = np.bincount(found.ravel())
    sizes[0] = 0
    return np.argsort(sizes)[::-1][: max(1, parts)]
