"""Drawn slices ("supports") and which of them serves which slice of the volume that is segmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from momentumseg.errors import EmptySupportError, GeometryError, InputError
from momentumseg.geometry.network_space import NetworkSpace

Assignment = Literal["auto", "nearest", "relative", "chunks", "all"]
LARGEST_LABEL = 65535


@dataclass(frozen=True, eq=False)
class Support:
    """One label drawn on one slice.

    Attributes:
        id: number that the session gave it.
        label: 1 .. 65535.
        slice_index: along the volume's own slice axis.
        volume_id: identity of the volume that it was drawn on.
        plane: axial, coronal or sagittal.
        mask: boolean, in the volume's own slice layout; as it was drawn.
        network_slice: the slice in network order.
        relative_position: of the slice in its volume, 0 (first in network order) .. 1.
        network_mask: boolean ``(size, size)``.
        revision: grows when the mask is replaced.
    """

    id: int
    label: int
    slice_index: int
    volume_id: str
    plane: str
    mask: np.ndarray = field(repr=False)
    network_slice: int
    relative_position: float
    network_mask: np.ndarray = field(repr=False)
    revision: int = 0

    def with_mask(self, mask2d: np.ndarray, space: NetworkSpace) -> Support:
        """The same support drawn again. Raises as `make_support`."""
        mask, network_mask = _checked_masks(mask2d, self.slice_index, space)
        return replace(self, mask=mask, network_mask=network_mask, revision=self.revision + 1)


def make_support(
    support_id: int, mask2d: np.ndarray, slice_index: int, label: int, volume_id: str, space: NetworkSpace
) -> Support:
    """Support of a mask in the volume's own slice layout (non-zero is foreground).

    Raises:
        InputError: no such slice or label, or voxels that are no mask.
        GeometryError: the mask has another shape than the volume's slices.
        EmptySupportError: nothing is drawn.
    """
    if not 0 <= slice_index < space.slice_count:
        raise InputError(
            f"Slice {slice_index} does not exist: the {space.plane} slices are 0 to {space.slice_count - 1}."
        )
    if not 1 <= label <= LARGEST_LABEL:
        raise InputError(f"Label {label} cannot be used: give a number from 1 to {LARGEST_LABEL}.")
    mask, network_mask = _checked_masks(mask2d, slice_index, space)
    network_slice = space.network_index(int(slice_index))
    return Support(
        id=support_id,
        label=int(label),
        slice_index=int(slice_index),
        volume_id=volume_id,
        plane=space.plane,
        mask=mask,
        network_slice=network_slice,
        relative_position=space.relative_position(network_slice),
        network_mask=network_mask,
    )


def assign_supports(
    supports: Sequence[Support],
    queries: Sequence[int],
    space: NetworkSpace,
    volume_id: str,
    *,
    assignment: Assignment = "auto",
    extent_is_known: bool = False,
) -> dict[int, tuple[Support, ...]]:
    """The supports of one label that serve each query slice.

    ``nearest``: the nearest drawn slice of the volume itself; one with a large outline serves farther than one with a
    small outline. ``relative``: of each volume that was drawn on, the
    slice at the nearest relative position. ``chunks``: the n supports of a volume, in order, serve n equal parts of
    the queries (evaluation protocol "EP1" of ADNet and RPT). ``all``: every support. ``auto``: nearest slice of the
    volume itself, together with, for other volumes, chunks when the extent of the structure is known and the relative
    position otherwise.

    Args:
        supports: of one label; their order has no influence.
        queries: network slices, in any order.
        space: of the volume that is segmented.
        volume_id: of the volume that is segmented.
        extent_is_known: the user restricted the slices to those of the structure.

    Returns:
        for each query a tuple in an order that does not depend on when the supports were drawn.

    Raises:
        InputError: unknown assignment, or ``nearest`` without a drawn slice in the volume itself.
    """
    if assignment not in get_args(Assignment):
        raise InputError(f'The assignment "{assignment}" is unknown: use {", ".join(get_args(Assignment))}.')
    ordered = sorted(supports, key=lambda support: (support.volume_id, support.network_slice, support.id))
    if assignment == "all":
        return {query: tuple(ordered) for query in queries}
    by_volume: dict[str, list[Support]] = {}
    for support in ordered:
        by_volume.setdefault(support.volume_id, []).append(support)
    if assignment == "nearest":
        if volume_id not in by_volume:
            raise InputError(
                f"No slice of this volume is drawn for label {ordered[0].label}: draw one, or assign the supports of "
                "the other volume by their relative position."
            )
        by_volume = {volume_id: by_volume[volume_id]}
    chosen: dict[int, list[Support]] = {query: [] for query in queries}
    for volume, drawn in by_volume.items():
        rule = _rule(assignment, volume == volume_id, extent_is_known)
        for query, support in _assign_of_one_volume(drawn, sorted(queries), space, rule).items():
            chosen[query].append(support)
    return {query: tuple(members) for query, members in chosen.items()}


def _rule(assignment: Assignment, is_own: bool, extent_is_known: bool) -> str:
    if assignment != "auto":
        return assignment
    if is_own:
        return "nearest"
    return "chunks" if extent_is_known else "relative"


def _assign_of_one_volume(
    drawn: Sequence[Support], queries: Sequence[int], space: NetworkSpace, rule: str
) -> dict[int, Support]:
    """One support of a volume for each query; both sequences are in network order."""
    if rule == "chunks":
        bounds = np.linspace(0, len(queries), len(drawn) + 1).astype(int)
        owner = np.repeat(np.arange(len(drawn)), np.diff(bounds))
        return {query: drawn[index] for query, index in zip(queries, owner.tolist(), strict=True)}
    if rule == "nearest":
        reach = {support.id: _reach(support) for support in drawn}
        return {
            query: min(drawn, key=lambda support: abs(support.network_slice - query) / reach[support.id])
            for query in queries
        }
    positions = {query: space.relative_position(query) for query in queries}
    return {
        query: min(drawn, key=lambda support: round(abs(support.relative_position - position), 9))
        for query, position in positions.items()
    }


def _reach(support: Support) -> float:
    """How far a drawn slice serves, against the others: the square root of its outline's radius.

    A tip shows the network a few pixels, most of them at the border: a poor example of the structure for the large
    slices half way to the next drawn one.
    """
    return float(np.count_nonzero(support.network_mask)) ** 0.25


def _checked_masks(mask2d: np.ndarray, slice_index: int, space: NetworkSpace) -> tuple[np.ndarray, np.ndarray]:
    """(mask as drawn, mask of the network slice), both boolean."""
    drawn = np.asarray(mask2d)
    if drawn.shape != space.slice_shape:
        raise GeometryError(
            f"The drawn mask has {drawn.shape} voxels but the volume's {space.plane} slices have {space.slice_shape}: "
            "give the slice of a labelmap with the volume's geometry."
        )
    if drawn.dtype.kind not in "biuf" or (drawn.dtype.kind == "f" and not np.isfinite(drawn).all()):
        raise InputError("The drawn mask holds values that are not numbers: give zeros and ones.")
    mask = drawn != 0
    if not mask.any():
        raise EmptySupportError(
            f"Nothing is drawn on slice {slice_index}: draw the structure there or remove that support."
        )
    network_slice = space.network_index(int(slice_index))
    network_mask = space.forward_mask_slice(mask, network_slice)
    if not network_mask.any():  # a dot that falls between the sampled voxels
        coverage = space.forward_slice(mask.astype(np.float32), network_slice, fill=0.0)
        network_mask = coverage >= max(float(coverage.max()) / 2, np.finfo(np.float32).tiny)
    mask.setflags(write=False)
    return mask, network_mask
