from __future__ import annotations

import numpy as np
import pytest

from momentumseg.inference.signed_distance import signed_distance


def test_the_outline_runs_between_the_pixels() -> None:
    mask = np.zeros((5, 9), dtype=bool)
    mask[:, :4] = True

    distance = signed_distance(mask, (1.0, 2.0))

    np.testing.assert_allclose(distance[2], [7.5, 5.5, 3.5, 1.5, -1.5, -3.5, -5.5, -7.5, -9.5])


@pytest.mark.parametrize("inside", [True, False])
def test_a_mask_without_another_side_is_far(inside: bool) -> None:
    distance = signed_distance(np.full((3, 4), inside), (1.0, 1.0))

    np.testing.assert_allclose(distance, 5.0 if inside else -5.0)
