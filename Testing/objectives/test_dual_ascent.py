"""The multipliers on problems whose solution is known by heart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from momentumseg.errors import InputError
from momentumseg.objectives.dual_ascent import DualAscent


def _minimise(dual: DualAscent, w: Tensor, problem: object, rounds: int = 400) -> None:
    for _ in range(rounds):
        objective, h, g = problem(w)
        gradient = torch.autograd.grad(objective + dual(h, g), w)[0]
        with torch.no_grad():
            w -= 0.05 * gradient
        _, h, g = problem(w)
        dual.ascend(h, g)


def test_an_equality_is_met_and_its_multiplier_is_the_shadow_price() -> None:
    """min |w - a|^2 / 2 subject to sum w = 3: w = a + (3 - sum a) / n, lambda = (sum a - 3) / n."""
    a = torch.tensor([1.0, 2.0, 6.0])
    dual, w = DualAscent(1, step=0.5), torch.zeros(3, requires_grad=True)
    _minimise(dual, w, lambda w: ((w - a).square().sum() / 2, (w.sum() - 3).reshape(1), None))
    torch.testing.assert_close(w.detach(), a - 2, atol=1e-3, rtol=0)
    torch.testing.assert_close(dual.equality_multipliers, torch.tensor([2.0]), atol=1e-3, rtol=0)
    assert dual.residuals((w.sum() - 3).reshape(1)).equality < 1e-3


@pytest.mark.parametrize(("centre", "solution", "eta"), [(3.0, 1.0, 4.0), (-2.0, -2.0, 0.0)])
def test_an_inequality_holds_and_complementary_slackness_too(centre: float, solution: float, eta: float) -> None:
    """min (w - c)^2 subject to w <= 1: active with eta = 2 (c - 1), or inactive with eta = 0."""
    dual, w = DualAscent(0, 1, step=0.5), torch.zeros(1, requires_grad=True)
    nothing = torch.zeros(0)
    _minimise(dual, w, lambda w: ((w - centre).square().sum(), nothing, w - 1))
    assert w.item() == pytest.approx(solution, abs=1e-3)
    assert float(dual.inequality_multipliers) == pytest.approx(eta, abs=1e-2)
    found = dual.residuals(nothing, (w - 1).detach())
    assert max(found.equality, found.inequality, found.complementarity) < 1e-2


def test_the_gradient_is_the_next_multiplier() -> None:
    dual = DualAscent(2, 2, step=0.3)
    dual.equality_multipliers += torch.tensor([0.4, -0.2])
    dual.inequality_multipliers += torch.tensor([0.1, 0.5])
    h, g = torch.tensor([0.5, -1.0], requires_grad=True), torch.tensor([-2.0, 0.7], requires_grad=True)
    of_h, of_g = torch.autograd.grad(dual(h, g), (h, g))
    dual.ascend(h, g)
    torch.testing.assert_close(of_h, dual.equality_multipliers)
    torch.testing.assert_close(of_g, dual.inequality_multipliers)


def test_multipliers_add_up_and_those_of_inequalities_stay_above_zero() -> None:
    dual = DualAscent(1, 1, step=0.1)
    for _ in range(5):
        dual.ascend(torch.tensor([2.0]), torch.tensor([-1.0]))
    assert float(dual.equality_multipliers) == pytest.approx(1.0)
    assert float(dual.inequality_multipliers) == 0.0


def test_a_met_constraint_costs_nothing() -> None:
    assert float(DualAscent(2, 1)(torch.zeros(2), torch.tensor([-5.0]))) == 0.0


def test_a_checkpoint_keeps_the_multipliers() -> None:
    """Trap: the published code starts its multiplier from zero in every epoch."""
    dual, resumed = DualAscent(1, 1), DualAscent(1, 1)
    dual.ascend(torch.tensor([3.0]), torch.tensor([2.0]))
    resumed.load_state_dict(dual.state_dict())
    assert float(resumed.equality_multipliers) == pytest.approx(0.03)
    assert float(resumed.inequality_multipliers) == pytest.approx(0.02)
    assert not any(True for _ in dual.parameters())


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
def test_a_step_of_nothing_is_refused(step: float) -> None:
    with pytest.raises(InputError, match="step of the multipliers"):
        DualAscent(1, step=step)


def test_a_part_of_a_step() -> None:
    whole, half = DualAscent(2, 1, step=0.5), DualAscent(2, 1, step=0.5)
    h, g = torch.tensor([0.2, -0.4]), torch.tensor([0.3])
    whole.ascend(h, g)
    for _ in range(2):
        half.ascend(h, g, part=0.5)
    torch.testing.assert_close(half.equality_multipliers, whole.equality_multipliers)
    torch.testing.assert_close(half.inequality_multipliers, whole.inequality_multipliers)
