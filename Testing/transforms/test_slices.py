from __future__ import annotations

import numpy as np
import pytest

from momentumseg.errors import InputError
from momentumseg.transforms.slices import slices_to_images


@pytest.fixture
def a_stack() -> np.ndarray:
    return np.arange(4, dtype=np.float16)[:, None, None] * np.ones((1, 2, 3), dtype=np.float16)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("single", [[0, 0, 0], [2, 2, 2], [3, 3, 3]]),
        ("neighbours", [[0, 0, 1], [1, 2, 3], [2, 3, 3]]),
    ],
)
def test_channels_are_slices(a_stack: np.ndarray, context: str, expected: list[list[int]]) -> None:
    images = slices_to_images(a_stack, [0, 2, 3], context)  # type: ignore[arg-type]
    assert images.shape == (3, 3, 2, 3)
    assert images.dtype == np.float32
    assert images[:, :, 0, 0].tolist() == expected


def test_result_is_a_copy(a_stack: np.ndarray) -> None:
    stack = a_stack.astype(np.float32)
    slices_to_images(stack, [1])[:] = 99
    assert stack.max() == 3


@pytest.mark.parametrize("index", [-1, 4])
def test_slices_outside_the_stack_are_refused(a_stack: np.ndarray, index: int) -> None:
    with pytest.raises(InputError, match="4 slices"):
        slices_to_images(a_stack, [index])


def test_wrong_axes_and_context_are_refused(a_stack: np.ndarray) -> None:
    with pytest.raises(InputError, match="2"):
        slices_to_images(a_stack[0], [0])
    with pytest.raises(InputError, match="both"):
        slices_to_images(a_stack, [0], "both")  # type: ignore[arg-type]
