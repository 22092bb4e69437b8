from __future__ import annotations

import pytest
import torch
from torch import Tensor

from momentumseg.errors import InputError
from momentumseg.transforms.noisy_view import NoisyView, boxes_to_exchange, exchanged


@pytest.fixture
def images() -> Tensor:
    return 5 + 2 * torch.randn(6, 2, 12, 14, generator=torch.Generator().manual_seed(3))


def test_no_strength_changes_nothing(images: Tensor) -> None:
    torch.testing.assert_close(NoisyView(0, 0, 0)(images), images)


def test_brightness_and_contrast_are_those_of_each_image(images: Tensor) -> None:
    torch.manual_seed(0)
    view = NoisyView(noise=0, contrast=0.4, brightness=0.3)(images)
    factor = view.std((2, 3)) / images.std((2, 3))
    shift = (view.mean((2, 3)) - images.mean((2, 3))) / images.std((2, 3))
    assert (factor >= 0.6).all() and (factor <= 1.4).all() and float(factor.std()) > 0.05
    assert (shift.abs() <= 0.3).all() and float(shift.std()) > 0.05


def test_noise_does_not_depend_on_the_unit_of_the_image(images: Tensor) -> None:
    view = NoisyView(noise=0.3, contrast=0.2, brightness=0.1)
    torch.manual_seed(0)
    one = view(images)
    torch.manual_seed(0)
    torch.testing.assert_close(view(images * 1000), one * 1000, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("options", [{"noise": -1.0}, {"contrast": 1.0}, {"brightness": "some"}])
def test_an_impossible_strength_is_said(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        NoisyView(**options)


@pytest.mark.parametrize("shape", [(40, 1, 32, 48), (20, 1, 16, 16, 16)])
def test_a_box_covers_a_quarter_to_a_half_of_its_image(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    boxes = boxes_to_exchange(torch.zeros(shape), 1.0)
    share = boxes.float().flatten(1).mean(dim=1)
    assert boxes.shape == shape and (share > 0.15).all() and (share < 0.62).all() and float(share.std()) > 0.02
    assert not boxes_to_exchange(torch.zeros(shape), 0.0).any()


def test_boxes_come_from_the_next_image(images: Tensor) -> None:
    torch.manual_seed(0)
    boxes = boxes_to_exchange(images, 0.5)
    mixed = exchanged(images, boxes)
    for index in range(len(images)):
        box = boxes[index].expand(2, -1, -1)
        torch.testing.assert_close(mixed[index][box], images[(index + 1) % 6][box])
        torch.testing.assert_close(mixed[index][~box], images[index][~box])
    assert 0 < int(boxes.flatten(1).any(dim=1).sum()) < 6
