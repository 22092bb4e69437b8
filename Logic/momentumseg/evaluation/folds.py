"""Which cases and slices the few-shot protocols use: folds, support slices and chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from momentumseg.errors import InputError

FOLD_COUNT = 5

Member = TypeVar("Member")


def published_folds(case_count: int, fold_count: int = FOLD_COUNT) -> list[tuple[int, ...]]:
    """Overlapping test folds of the few-shot literature (ADNet, RPT, LMS-Net), as indices of the sorted cases.

    Fold f runs from ``f n / F`` to ``(f + 1) n / F`` inclusive and the last one wraps around to case 0, so that
    neighbouring folds share one volume, which was meant as support. For 20 cases: 0-4, 4-8, 8-12, 12-16, 16-19 and 0.

    Raises:
        InputError: fewer cases than folds.
    """
    bounds = _fold_bounds(case_count, fold_count)
    return [
        tuple(index % case_count for index in range(first, last + 1))
        for first, last in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def training_indices(case_count: int, fold: int, fold_count: int = FOLD_COUNT) -> list[int]:
    """Indices of all cases that are not in a fold, the shared support volume being in it too."""
    test = set(published_folds(case_count, fold_count)[fold])
    return [index for index in range(case_count) if index not in test]


def disjoint_folds(case_count: int, fold_count: int = FOLD_COUNT) -> list[tuple[int, ...]]:
    """:func:`published_folds` without the shared volume at the end: every case is in one fold only."""
    return [fold[:-1] for fold in published_folds(case_count, fold_count)]


def supports_of_fold(members: Sequence[Member], support: str, key: Callable[[Member], Any]) -> list[Member]:
    """Members of a fold that serve as support: ``"all"`` in turn, or the ``"third"`` in sorted order as in RPT.

    RPT sorts the fold that wraps around, so that case 0 comes first in it.

    Raises:
        InputError: another word.
    """
    if support not in ("all", "third"):
        raise InputError(f"The choice of support volumes {support!r} is unknown; use all or third.")
    return list(members) if support == "all" else sorted(members, key=key)[2:3]


def chunk_bounds(slice_count: int, parts: int) -> list[tuple[int, int]]:
    """Half-open ranges ``(first, last)`` of ``parts`` chunks of a query's slices; short volumes have empty chunks."""
    bounds = np.linspace(0, slice_count, parts + 1).astype(int)
    return [(int(first), int(last)) for first, last in zip(bounds[:-1], bounds[1:], strict=True)]


def chunk_centres(slice_count: int, parts: int) -> list[int]:
    """Support slices ``int(pct C_s)``, pct = (i + 1/2) / parts (1/6, 1/2, 5/6 for three), in integer arithmetic."""
    return [(2 * part + 1) * slice_count // (2 * parts) for part in range(parts)]


def spread_slices(present: Sequence[int], count: int, within: tuple[float, float] = (0.0, 1.0)) -> list[int]:
    """At most ``count`` different slices, evenly spread over a part of those that contain a label.

    Args:
        present: slices that contain the label, ascending.
        count: of slices, at the fractions (i + 1/2) / count of the part.
        within: the part, as fractions of ``present``; (0, 0.3) is the third near its first slice.
    """
    first, last = (Fraction(bound).limit_denominator(1000) for bound in within)
    fractions = [first + (last - first) * Fraction(2 * i + 1, 2 * count) for i in range(count)]
    return [int(present[index]) for index in sorted({int(fraction * len(present)) for fraction in fractions})]


def _fold_bounds(case_count: int, fold_count: int) -> list[int]:
    if case_count < fold_count:
        raise InputError(
            f"{case_count} labelled cases are too few for {fold_count} folds; give at least {fold_count} cases."
        )
    return [fold * case_count // fold_count for fold in range(fold_count + 1)]
