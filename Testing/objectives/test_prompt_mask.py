"""The loss of one mask a prompt, against its formulas."""

from __future__ import annotations

import pytest
import torch

from momentumseg.errors import InputError
from momentumseg.objectives.prompt_mask import PromptMaskObjective, overlaps


@pytest.fixture
def a_target() -> torch.Tensor:
    target = torch.zeros(2, 1, 8, 8)
    target[0, 0, 2:6, 2:6] = 1
    target[1, 0, 0:2, :] = 1
    return target


def test_mask_loss_is_dice_with_squares_plus_cross_entropy(a_target: torch.Tensor) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 8, 8)
    p = logits.sigmoid()
    entropy = -(a_target * p.log() + (1 - a_target) * (1 - p).log()).mean()
    both, sizes = (p * a_target).sum((1, 2, 3)), (p**2).sum((1, 2, 3)) + (a_target**2).sum((1, 2, 3))
    expected = (1 - 2 * both / sizes).mean() + entropy
    found = PromptMaskObjective()(logits, torch.zeros(2, 1), a_target)
    assert float(found["loss"]) == pytest.approx(float(expected), abs=1e-4)
    assert "iou_error" not in found


def test_overlap_is_learnt_only_when_it_has_a_weight(a_target: torch.Tensor) -> None:
    logits = ((a_target - 0.5) * 20).requires_grad_()
    predicted = torch.tensor([[0.5], [1.0]], requires_grad=True)
    found = PromptMaskObjective(iou=2.0)(logits, predicted, a_target)
    assert (found["loss"] - found["mask"]).item() == pytest.approx(2.0 * 0.25 / 2)
    assert float(found["iou_error"]) == pytest.approx(0.25)
    found["loss"].backward()
    assert predicted.grad is not None and float(predicted.grad[0]) == pytest.approx(-1.0)
    assert not PromptMaskObjective()(logits, predicted, a_target)["dice"].requires_grad


def test_overlaps_of_masks(a_target: torch.Tensor) -> None:
    truth = a_target > 0
    half = truth.clone()
    half[:, :, :, 4:] = False
    dice, iou = overlaps(half, truth)
    torch.testing.assert_close(dice, torch.tensor([2 * 8 / 24, 2 * 8 / 24]))
    torch.testing.assert_close(iou, torch.tensor([0.5, 0.5]))
    nothing = torch.zeros_like(truth)
    assert [value.tolist() for value in overlaps(nothing, nothing)] == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"name": "dice_ce"}, "'prompt_mask', not 'dice_ce'"),
        ({"dice": -1}, "objective.dice is -1"),
        ({"iou": "much"}, "objective.iou is 'much'"),
        ({"gamma": 1}, "does not accept"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PromptMaskObjective.from_table(table)
