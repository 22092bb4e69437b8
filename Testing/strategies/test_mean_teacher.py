from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from momentumseg.errors import Cancelled, InputError
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.objectives.registry import build_objective
from momentumseg.strategies.mean_teacher import MeanTeacher
from momentumseg.strategies.registry import build_strategy
from momentumseg.training.trainer import Trainer

SIZE, CLASSES = 16, 3
OFF = {"duality": 0.0, "distance": 0.0, "unlabelled": 0.0, "consistency": 0.0, "contrast": 0.0}


class Squares:
    """Two kinds of bright squares in noise, which depend on their index alone; ``asked`` counts the unlabelled ones."""

    def __init__(self, brightness: float = 2.0) -> None:
        self.brightness = brightness
        self.asked = 0

    def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._drawn(np.random.default_rng([1, index]), 2.0)

    def unlabelled(self, index: int) -> np.ndarray:
        self.asked += 1
        return self._drawn(np.random.default_rng([2, index]), self.brightness)[0]

    def _drawn(self, rng: np.random.Generator, brightness: float) -> tuple[np.ndarray, np.ndarray]:
        labels = np.zeros((SIZE, SIZE), dtype=np.int64)
        for label, first in ((1, 1), (2, 9)):
            row = rng.integers(0, SIZE - 5)
            labels[row : row + 5, first : first + 5] = label
        image = brightness * labels + rng.normal(0, 0.3, labels.shape)
        return image[None].astype(np.float32), labels


def a_network(seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build_segmentation_network(
        {"name": "resunet", "in_channels": 1, "classes": CLASSES, "widths": [4, 8], **options}
    )


def a_strategy(sampler: Squares | None = None, **options: Any) -> MeanTeacher:
    table = {"name": "mean_teacher", "ramp": 0, "confidence": 0.0, **options}
    strategy = build_strategy(table, a_network(), build_objective({}, CLASSES), sampler or Squares())
    assert isinstance(strategy, MeanTeacher)
    return strategy.train()


def a_batch(strategy: MeanTeacher, count: int = 3) -> list[Tensor]:
    samples = (strategy.sample(index) for index in range(count))
    return [torch.as_tensor(np.stack(field)) for field in zip(*samples, strict=True)]


def stepped(strategy: MeanTeacher, iterations: int, first: int = 0) -> list[float]:
    """Losses of so many iterations as the trainer makes them, with plain gradient descent."""
    optimizer = torch.optim.SGD(strategy.parameters_to_train(), lr=0.05)
    losses = []
    for iteration in range(first, first + iterations):
        torch.manual_seed(iteration)
        loss = strategy(*a_batch(strategy))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        strategy.after_step(iteration)
        losses.append(float(loss.detach()))
    return losses


def test_the_teacher_is_the_average_of_the_students_parameters_and_buffers() -> None:
    strategy = a_strategy(decay=0.5)
    expected = {name: value.clone() for name, value in strategy.network.state_dict().items()}
    for iteration in range(12):
        stepped(strategy, 1, iteration)
        decay = min(0.5, (1 + iteration) / (10 + iteration))
        for name, value in strategy.network.state_dict().items():
            averaged = decay * expected[name] + (1 - decay) * value
            expected[name] = averaged if value.is_floating_point() else value.clone()
    assert any("running_mean" in name for name in expected)
    torch.testing.assert_close(dict(strategy.teacher.state_dict()), expected, rtol=1e-5, atol=1e-6)


def test_only_the_student_and_its_heads_learn() -> None:
    strategy = a_strategy()
    strategy(*a_batch(strategy))["loss"].backward()
    learning = {id(parameter) for parameter in strategy.parameters_to_train()}
    for part in (strategy.network, strategy.distances, strategy.contrast):
        assert part is not None
        for parameter in part.parameters():
            assert id(parameter) in learning and parameter.grad is not None
    for part in (strategy.teacher, strategy.teacher_distances):
        for parameter in part.parameters():
            assert id(parameter) not in learning and parameter.grad is None


@pytest.mark.parametrize("term", ["unlabelled", "consistency", "contrast"])
def test_an_unlabelled_image_teaches_the_student(term: str) -> None:
    def gradient(brightness: float) -> Tensor:
        strategy = a_strategy(Squares(brightness), **(OFF | {term: 1.0}))
        torch.manual_seed(0)
        strategy(*a_batch(strategy))["loss"].backward()
        parameter = next(strategy.network.parameters())
        assert parameter.grad is not None
        return parameter.grad

    assert not torch.allclose(gradient(2.0), gradient(-1.0), rtol=1e-4)


def test_with_all_terms_off_it_is_supervised_training() -> None:
    sampler = Squares()
    strategy = a_strategy(sampler, **OFF)
    supervised = build_strategy({}, a_network(), build_objective({}, CLASSES), sampler).train()
    batch = a_batch(strategy)
    assert len(batch) == 2 and sampler.asked == 0
    assert strategy(*batch)["loss"].item() == supervised(*batch)["loss"].item()


@pytest.mark.parametrize(
    ("term", "missing"),
    [
        ("distance", {"distance"}),
        ("unlabelled", {"unlabelled", "trusted", "violation_unlabelled"}),
        ("consistency", {"consistency"}),
        ("contrast", {"contrast"}),
        ("duality", {"violation_labelled"}),
    ],
)
def test_a_term_of_weight_zero_is_not_computed(term: str, missing: set[str]) -> None:
    complete = a_strategy()
    every = set(complete(*a_batch(complete)))
    reduced = a_strategy(**{term: 0.0})
    assert every - set(reduced(*a_batch(reduced))) == missing


def test_without_unlabelled_terms_the_teacher_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = a_strategy(unlabelled=0.0, consistency=0.0, contrast=0.0)

    def refuse(*_: Any) -> None:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(strategy.teacher, "forward", refuse)
    strategy(*a_batch(strategy))["loss"].backward()


def test_student_and_teacher_see_different_views(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = a_strategy(exchange=0.0, distance=0.0, contrast=0.0)
    seen: dict[str, Tensor] = {}
    for name, network in (("student", strategy.network), ("teacher", strategy.teacher)):
        monkeypatch.setattr(network, "forward", _remembering(network.forward, seen, name))
    images, labels, unlabelled = a_batch(strategy)
    strategy(images, labels, unlabelled)
    torch.testing.assert_close(seen["teacher"], unlabelled.flatten(0, 1))
    torch.testing.assert_close(seen["student"][: len(images)], images)  # labelled ones are the sampler's
    different = (seen["student"][len(images) :] - seen["teacher"]).abs().flatten(1).mean(dim=1)
    assert (different > 0.01).all()


def _remembering(forward: Callable[..., Tensor], seen: dict[str, Tensor], name: str) -> Callable[..., Tensor]:
    def remember(images: Tensor) -> Tensor:
        seen[name] = images.clone()
        return forward(images)

    return remember


def test_unlabelled_terms_rise_with_the_iterations() -> None:
    strategy = a_strategy(ramp=4)
    found = []
    for iteration in range(6):
        found.append(strategy.ramp())
        strategy.after_step(iteration)
    expected = [np.exp(-5 * (1 - min(1, i / 4)) ** 2) for i in range(6)]
    assert found == pytest.approx(expected) and found[0] < 0.01 and found[-1] == 1


def test_labelled_and_unlabelled_images_have_multipliers_of_their_own() -> None:
    strategy = a_strategy(dual_step=0.5)
    first = strategy(*a_batch(strategy))
    strategy.after_step(0)
    labelled = strategy.labelled_duality.multipliers.equality_multipliers
    unlabelled = strategy.unlabelled_duality.multipliers.equality_multipliers
    assert float(labelled.abs().max()) == pytest.approx(0.5 * float(first["violation_labelled"]), rel=1e-5)
    assert float(unlabelled.abs().max()) == pytest.approx(0.5 * float(first["violation_unlabelled"]), rel=1e-5)
    assert not torch.allclose(labelled, unlabelled)


def test_multipliers_hardly_move_before_the_ramp() -> None:
    strategy = a_strategy(dual_step=0.5, ramp=50)
    violation = float(strategy(*a_batch(strategy))["violation_labelled"])
    strategy.after_step(0)
    moved = float(strategy.labelled_duality.multipliers.equality_multipliers.abs().max())
    assert 0 < moved == pytest.approx(0.5 * violation * np.exp(-5), rel=1e-4)


def test_the_log_holds_multipliers_and_residuals() -> None:
    strategy = a_strategy(weight_limit=1e-6)
    stepped(strategy, 2)
    log = strategy.log()
    assert log["kkt_inequality_labelled"] > 0 and log["kkt_equality_unlabelled"] > 0
    assert {f"multiplier_{kind}_{number}" for kind in ("labelled", "unlabelled") for number in (1, 2)} <= set(log)
    assert all(isinstance(value, float) for value in log.values())


def test_everything_that_lasts_is_in_the_state() -> None:
    one = a_strategy(dual_step=0.5, ramp=10)
    stepped(one, 3)
    other = a_strategy(dual_step=0.5, ramp=10)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert other.ramp() == one.ramp() > 0
    assert float(other.labelled_duality.multipliers.equality_multipliers.abs().max()) > 0
    assert stepped(other, 3, first=3) == stepped(one, 3, first=3)


def test_the_same_seed_gives_the_same_losses() -> None:
    assert stepped(a_strategy(), 3) == stepped(a_strategy(), 3)


def test_the_saved_model_is_the_teacher_unless_the_recipe_says_otherwise() -> None:
    strategy = a_strategy()
    assert strategy.model() is strategy.teacher and not strategy.train().teacher.training
    student = a_strategy(model="student")
    assert student.model() is student.network


def test_several_unlabelled_patches_for_each_labelled_one() -> None:
    strategy = a_strategy(unlabelled_per_labelled=2)
    image, labels, unlabelled = strategy.sample(5)
    assert unlabelled.shape == (2, *image.shape) and labels.shape == image.shape[1:]
    np.testing.assert_array_equal(unlabelled[1], Squares().unlabelled(11))
    strategy(*a_batch(strategy))["loss"].backward()


def test_an_unsure_teacher_is_not_believed() -> None:
    sure = a_strategy(confidence=1.0)
    terms = sure(*a_batch(sure))
    assert float(terms["trusted"]) == 0
    assert float(terms["unlabelled"]) < float(a_strategy()(*a_batch(sure))["unlabelled"])


@pytest.mark.parametrize(
    "options",
    [
        {"confidence": 1.5},
        {"decay": 1.0},
        {"ramp": 0.5},
        {"unlabelled_per_labelled": 0},
        {"distance": -1.0},
        {"distance": "much"},
        {"model": "both"},
        {"contrast_change": 1.0},
    ],
)
def test_an_impossible_option_is_said(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="strategy"):
        a_strategy(**options)


def test_volumes_too() -> None:
    network = a_network(dimensions=3)
    strategy = MeanTeacher(network, build_objective({}, CLASSES), Squares(), ramp=0).train()
    image, labels = torch.randn(2, 1, 8, 8, 8), torch.randint(0, CLASSES, (2, 8, 8, 8))
    terms = strategy(image, labels, torch.randn(2, 1, 1, 8, 8, 8))
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])


RECIPE = {
    "training": {"iterations": 12, "epoch": 4, "batch": 3, "seed": 1},
    "optimizer": {"name": "adamw", "lr": 0.01},
    "schedule": {"name": "cosine", "warmup": 2},
}


def _a_trainer(folder: Path) -> Trainer:
    strategy = a_strategy(dual_step=0.1, ramp=6)
    return Trainer(strategy, RECIPE, folder, lambda network, path, metrics: save_file(network.state_dict(), path))


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = _a_trainer(tmp_path / "whole")
    whole.run()
    stopped = _a_trainer(tmp_path / "stopped")
    with pytest.raises(Cancelled):
        stopped.run(cancelled=lambda: stopped.iteration == 7)
    resumed = _a_trainer(tmp_path / "stopped")
    assert resumed.resume() and resumed.iteration == 7
    resumed.run()
    for name, value in whole.strategy.state_dict().items():
        assert torch.equal(value, resumed.strategy.state_dict()[name]), name
    saved = load_file(resumed.model_path)
    torch.testing.assert_close(saved, dict(resumed.strategy.teacher.state_dict()), rtol=0, atol=0)
    assert "multiplier_labelled_1" in resumed.log[-1] and "violation_unlabelled" in resumed.log[-1]
