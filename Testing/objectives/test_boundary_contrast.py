from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from momentumseg.errors import InputError
from momentumseg.objectives.boundary_contrast import BoundaryContrast, info_nce
from momentumseg.objectives.signed_distance import distance_loss, signed_distance_maps


def _maps(count: int = 3, dimensions: int = 2) -> Tensor:
    return torch.randn(count, 2, *[10] * dimensions, generator=torch.Generator().manual_seed(0))


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


@pytest.mark.parametrize("count", [2, 5])
def test_images_that_all_look_the_same_cost_log_n(count: int) -> None:
    same = _unit(torch.ones(count, 4))
    assert float(info_nce(same, same, 0.5)) == pytest.approx(math.log(count))


def test_orthogonal_images_that_match_cost_what_the_formula_says() -> None:
    eye = torch.eye(4)
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 3))
    assert float(info_nce(eye, eye, 0.5)) == pytest.approx(expected)


def test_it_is_equation_4_written_out() -> None:
    student, teacher = _unit(_maps(3).flatten(1)), _unit(_maps(3).flip(0).flatten(1))
    terms = []
    for i in range(3):
        scores = [math.exp(float(teacher[i] @ student[k]) / 0.3) for k in range(3)]
        terms.append(-math.log(scores[i] / sum(scores)))
    assert float(info_nce(student, teacher, 0.3)) == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_the_order_of_the_batch_does_not_matter() -> None:
    student, teacher = _unit(_maps(4).flatten(1)), _unit(_maps(4).roll(1, 1).flatten(1))
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(info_nce(student[order], teacher[order], 0.5), info_nce(student, teacher, 0.5))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_student_learns_and_the_teacher_does_not(dimensions: int) -> None:
    torch.manual_seed(0)
    contrast = BoundaryContrast(2, dimensions, grid=2, width=8)
    student, teacher = _maps(3, dimensions).requires_grad_(), _maps(3, dimensions).requires_grad_()
    contrast(student, teacher).backward()
    assert teacher.grad is None and bool(student.grad.any())
    assert all(bool(value.grad.any()) for value in contrast.parameters())


def test_gradient_steps_bring_pairs_together() -> None:
    torch.manual_seed(0)
    contrast, student = BoundaryContrast(2, grid=4, width=8), _maps(4).roll(1, 0).requires_grad_()
    before = float(contrast(student, _maps(4)))
    for _ in range(30):
        gradient = torch.autograd.grad(contrast(student, _maps(4)), student)[0]
        student = (student - 50 * gradient).detach().requires_grad_()
    assert float(contrast(student, _maps(4))) < before


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda: BoundaryContrast(1)(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)), "only one"),
        (lambda: BoundaryContrast(1, temperature=0), "temperature is 0"),
        (lambda: BoundaryContrast(1, dimensions=4), "4D"),
        (lambda: signed_distance_maps(torch.zeros(1, 4, 4), 1), "not 1 classes"),
        (lambda: signed_distance_maps(torch.zeros(1, 4, 4), 2, [1.0]), "spacing"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(run: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run()


@pytest.mark.parametrize("spacing", [None, (2.0, 0.5)])
def test_distances_are_those_to_the_nearest_voxel_of_the_other_side(spacing: tuple[float, float] | None) -> None:
    labels = torch.zeros(1, 7, 6, dtype=torch.long)
    labels[0, 2:5, 1:4] = 1
    labels[0, 5, 5] = 2
    found = signed_distance_maps(labels, 3, spacing)[0].numpy()

    points = np.argwhere(np.ones((7, 6))) * np.array(spacing or (1.0, 1.0))
    for label in (1, 2):
        inside = (labels[0].numpy() == label).ravel()
        apart = np.linalg.norm(points[:, None] - points[None], axis=2)
        to_inside, to_outside = apart[:, inside].min(axis=1), apart[:, ~inside].min(axis=1)
        expected = to_inside / to_inside.max() - to_outside / to_outside.max()
        np.testing.assert_allclose(found[label - 1].ravel(), expected, rtol=1e-6, atol=1e-7)


def test_the_sign_tells_inside_from_outside_and_the_range_is_one() -> None:
    labels = (torch.rand(2, 5, 6, 4, generator=torch.Generator().manual_seed(0)) > 0.6).long()
    found = signed_distance_maps(labels, 2)
    assert found.shape == (2, 1, 5, 6, 4) and found.dtype == torch.float32
    assert torch.equal(found[:, 0] < 0, labels == 1)
    assert float(found.min()) == -1 and float(found.max()) == 1


def test_a_structure_nowhere_is_far_and_one_everywhere_has_no_outside() -> None:
    labels = torch.stack([torch.zeros(3, 3), torch.ones(3, 3)]).long()
    found = signed_distance_maps(labels, 2)
    assert bool((found[0] == 1).all()) and bool((found[1] == -1).all())


def test_millimetres_of_all_axes_alike_change_nothing() -> None:
    labels = (torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.5).long()
    torch.testing.assert_close(signed_distance_maps(labels, 2, (3.0, 3.0)), signed_distance_maps(labels, 2))


def test_the_distance_loss_is_zero_for_the_map_itself() -> None:
    target = torch.linspace(-0.9, 0.9, 18).reshape(1, 1, 3, 6)
    assert float(distance_loss(torch.atanh(target), target)) == pytest.approx(0, abs=1e-6)
    assert float(distance_loss(torch.zeros_like(target), target)) == pytest.approx(float(target.abs().mean()))
