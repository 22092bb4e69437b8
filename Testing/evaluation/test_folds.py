"""Folds, chunks and support slices of the published protocol."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from momentumseg.errors import InputError
from momentumseg.evaluation.folds import (
    chunk_bounds,
    chunk_centres,
    disjoint_folds,
    published_folds,
    spread_slices,
    supports_of_fold,
    training_indices,
)

PUBLISHED = {
    20: [(0, 4), (4, 8), (8, 12), (12, 16), (16, 19)],
    30: [(0, 6), (6, 12), (12, 18), (18, 24), (24, 29)],
    35: [(0, 7), (7, 14), (14, 21), (21, 28), (28, 34)],
}


@pytest.mark.parametrize("count", PUBLISHED)
def test_folds_are_those_of_the_literature(count: int) -> None:
    expected = [tuple(range(first, last + 1)) for first, last in PUBLISHED[count]]
    expected[-1] += (0,)
    assert published_folds(count) == expected


@given(st.integers(5, 300))
def test_every_case_is_tested_and_folds_share_one_case_with_their_neighbour(count: int) -> None:
    folds = published_folds(count)
    assert {index for fold in folds for index in fold} == set(range(count))
    assert all(folds[number][-1] == folds[(number + 1) % 5][0] for number in range(5))
    assert sorted(index for fold in disjoint_folds(count) for index in fold) == list(range(count))


@given(st.integers(5, 100), st.integers(0, 4))
def test_training_cases_are_all_that_are_not_in_the_fold(count: int, fold: int) -> None:
    assert sorted([*training_indices(count, fold), *set(published_folds(count)[fold])]) == list(range(count))


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(InputError, match="4 labelled cases are too few"):
        published_folds(4)


def test_the_third_support_of_the_wrapped_fold_counts_from_case_zero() -> None:
    assert supports_of_fold((16, 17, 18, 19, 0), "third", key=int) == [17]
    assert supports_of_fold((16, 17, 18, 19, 0), "all", key=int) == [16, 17, 18, 19, 0]
    with pytest.raises(InputError, match="'fourth' is unknown"):
        supports_of_fold((1, 2), "fourth", key=int)


@pytest.mark.parametrize("count", range(1, 80))
def test_chunks_and_support_slices_follow_the_formulas(count: int) -> None:
    bounds = np.linspace(0, count, 4).astype(int)
    assert chunk_bounds(count, 3) == list(zip(bounds[:-1], bounds[1:], strict=True))
    # the fractions of the papers, nudged against floating-point products such as 5/6 * 6 = 4.999...
    assert chunk_centres(count, 3) == [int(fraction * count + 1e-9) for fraction in (1 / 6, 1 / 2, 5 / 6)]
    assert chunk_centres(count, 1) == [count // 2]


@given(st.lists(st.integers(0, 200), min_size=1, unique=True).map(sorted), st.integers(1, 9))
def test_drawn_slices_are_different_ones_that_contain_the_label(present: list[int], count: int) -> None:
    drawn = spread_slices(present, count)
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(present)
    assert len(drawn) == min(count, len(present))


def test_drawn_slices_are_evenly_spread() -> None:
    assert spread_slices(range(10, 40), 3) == [15, 25, 35]
    assert spread_slices(range(10, 40), 1) == [25]
