from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.objectives.lagrange_duality import LagrangeDualityLoss, teacher_consistency


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def reference() -> Tensor:
    labels = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    return functional.one_hot(labels, 3).movedim(-1, 1).float()


def test_the_primal_is_cross_entropy_and_dice(logits: Tensor, reference: Tensor) -> None:
    result = LagrangeDualityLoss(3, cross_entropy=0.3, dice=0.5)(logits, reference)
    p = logits.softmax(dim=1)
    entropy = -(reference * p.log()).sum(dim=1).mean()
    dice = [
        1 - (2 * (p[:, c] * reference[:, c]).sum() + 1) / (p[:, c].sum() + reference[:, c].sum() + 1) for c in (1, 2)
    ]
    torch.testing.assert_close(result.cross_entropy, entropy.detach())
    torch.testing.assert_close(result.dice, (sum(dice) / 2).detach())
    penalty = 0.01 / 2 * result.equality.square().sum()
    torch.testing.assert_close(result.loss, 0.3 * entropy + 0.5 * sum(dice) / 2 + penalty)


def test_the_constraint_compares_the_fractions_of_structures(logits: Tensor, reference: Tensor) -> None:
    result = LagrangeDualityLoss(3)(logits, reference)
    p = logits.detach().softmax(dim=1)
    expected = torch.stack([p[:, c].mean() - reference[:, c].mean() for c in (1, 2)])
    torch.testing.assert_close(result.equality, expected)
    assert result.residuals.equality == pytest.approx(float(expected.abs().max()))
    assert result.inequality is None


def test_a_perfect_prediction_violates_nothing(reference: Tensor) -> None:
    result = LagrangeDualityLoss(3)(100 * reference, reference)
    assert float(result.loss) == pytest.approx(0, abs=1e-5) and result.residuals.equality < 1e-6


def test_the_multiplier_pushes_the_fraction_and_nothing_else(logits: Tensor, reference: Tensor) -> None:
    """d(lambda h)/d z = lambda / N p (1 - p) for the structure itself."""
    loss = LagrangeDualityLoss(3, step=1e-12, cross_entropy=0, dice=0)
    loss.multipliers.equality_multipliers.copy_(torch.tensor([0.7, 0.0]))
    gradient = torch.autograd.grad(loss(logits, reference).loss, logits)[0]
    p = logits.detach().softmax(dim=1)
    torch.testing.assert_close(gradient[:, 1], 0.7 / 40 * p[:, 1] * (1 - p[:, 1]))
    torch.testing.assert_close(gradient[:, 2], -0.7 / 40 * p[:, 1] * p[:, 2])


def test_multipliers_move_only_when_told_and_survive_in_the_state(logits: Tensor, reference: Tensor) -> None:
    loss, resumed = LagrangeDualityLoss(3, step=0.5), LagrangeDualityLoss(3, step=0.5)
    result = loss(logits, reference)
    assert not bool(loss.multipliers.equality_multipliers.any())
    loss.ascend(result)
    loss.ascend(result)
    torch.testing.assert_close(loss.multipliers.equality_multipliers, result.equality)
    resumed.load_state_dict(loss.state_dict())
    torch.testing.assert_close(resumed(logits, reference).loss, loss(logits, reference).loss)


def test_class_weights_are_for_long_tails(logits: Tensor, reference: Tensor) -> None:
    rare = LagrangeDualityLoss(3, class_weights=[0.314, 0.686])(logits, reference)
    both = [LagrangeDualityLoss(3, class_weights=w)(logits, reference).dice for w in ([1.0, 0.0], [0.0, 1.0])]
    torch.testing.assert_close(rare.dice, 0.314 * both[0] + 0.686 * both[1])


def test_soft_references_of_a_teacher_and_volumes_are_taken() -> None:
    teacher = torch.randn(1, 2, 3, 4, 5).requires_grad_()
    student = torch.randn(1, 2, 3, 4, 5).requires_grad_()
    LagrangeDualityLoss(2)(student, teacher.softmax(dim=1)).loss.backward()
    assert teacher.grad is None and student.grad is not None


def test_the_weights_can_be_limited(logits: Tensor, reference: Tensor) -> None:
    loss = LagrangeDualityLoss(3, step=0.1, weight_limit=1.0)
    weights = [torch.full((2, 2), 2.0, requires_grad=True), torch.full((4,), 2.0, requires_grad=True)]
    result = loss(logits, reference, weights)
    assert float(result.inequality) == pytest.approx(3.0) and result.residuals.inequality == pytest.approx(3.0)
    loss.ascend(result)
    assert float(loss.multipliers.inequality_multipliers) == pytest.approx(0.3)
    result.loss.backward()
    assert bool((weights[0].grad > 0).all())
    with pytest.raises(InputError, match="parameters"):
        loss(logits, reference)


def test_half_precision_is_computed_in_single(logits: Tensor, reference: Tensor) -> None:
    assert LagrangeDualityLoss(3)(logits.half(), reference.half()).loss.dtype == torch.float32


@pytest.mark.parametrize("options", [{"classes": 1}, {"classes": 3, "class_weights": [1.0]}])
def test_numbers_that_do_not_fit_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        LagrangeDualityLoss(**options)


def test_consistency_has_a_gradient_for_the_student_alone() -> None:
    student, teacher = torch.randn(1, 2, 3, 3).requires_grad_(), torch.randn(1, 2, 3, 3).requires_grad_()
    value = teacher_consistency(student, teacher)
    value.backward()
    assert teacher.grad is None and bool(student.grad.any())
    assert teacher_consistency(student, student + 5).item() == pytest.approx(0, abs=1e-12)
