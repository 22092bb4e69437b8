"""Geometries of every orientation."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

# Voxel axes (i, j, k) along patient axes, each forwards or backwards: 6 x 8 = 48 orders.
ORDERS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]


@pytest.fixture(
    params=ORDERS, ids=lambda order: "".join("RAS"[a] if s > 0 else "LPI"[a] for a, s in zip(*order, strict=True))
)
def an_axis_order(request: pytest.FixtureRequest) -> np.ndarray:
    """(3, 3) directions: column n is the patient direction of voxel axis n; all 48 in turn."""
    axes, signs = request.param
    directions = np.zeros((3, 3))
    directions[list(axes), range(3)] = signs
    return directions
