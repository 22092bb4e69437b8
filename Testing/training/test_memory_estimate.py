"""The memory of a run before it begins: what counts, what it depends on, what is proposed where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from momentumseg.errors import InputError
from momentumseg.networks.registry import build_segmentation_network
from momentumseg.recipes.reading import read_recipe
from momentumseg.training import available_memory
from momentumseg.training.memory_estimate import MemoryEstimate, estimate_for_recipe
from momentumseg.training.memory_proposal import propose

_NETWORK = {"name": "resunet", "widths": [8, 16], "units": 3, "norm": "instance"}


def _recipe(network: dict[str, Any] | None = None, **tables: Any) -> dict[str, Any]:
    recipe = {
        "network": {**_NETWORK, **(network or {})},
        "data": {"patch": [32, 32], "plane": "axial"},
        "training": {"iterations": 1, "batch": 4},
        "optimizer": {"name": "adamw"},
    }
    return {name: {**recipe.get(name, {}), **tables.get(name, {})} for name in {**recipe, **tables}}


def _estimate(network: dict[str, Any] | None = None, **tables: Any) -> MemoryEstimate:
    found = estimate_for_recipe(_recipe(network, **tables), 1, 3)
    assert found is not None
    return found


def _parameter_bytes() -> int:
    network = build_segmentation_network({**_NETWORK, "in_channels": 1, "classes": 3})
    return sum(4 * value.numel() for value in network.parameters())


def test_model_gradients_and_optimiser_are_counted_to_the_byte() -> None:
    adamw, plain = _estimate(), _estimate(optimizer={"name": "sgd", "lr": 0.1})
    size = _parameter_bytes()
    assert adamw.model == adamw.gradients == plain.gradients == size
    assert 2 * size <= adamw.optimizer < 2.05 * size  # two moments, and a counter for each parameter
    assert plain.optimizer == 0
    assert adamw.companions == 0


def test_the_total_is_the_sum_of_its_parts() -> None:
    found = _estimate()
    assert found.working >= 0
    parts = (found.fixed, found.activations, found.working, found.samples)
    assert found.total == sum(parts)


def test_what_is_stored_is_what_autograd_stores() -> None:
    """Counted by hand: convolution (its input), ReLU (its output), and no more, of two layers without anything else."""
    from torch import nn

    from momentumseg.strategies.base import Strategy
    from momentumseg.training.step_memory import step_memory

    class Two(Strategy):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))

        def forward(self, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": self.network(batch[0]).sum()}

    image, hidden, scalar = 16 * 16 * 4, 4 * 16 * 16 * 4, 4
    found = step_memory(Two(), [((1, 1, 16, 16), torch.float32)], {"name": "sgd", "lr": 0.1})
    assert found.activations == image + hidden + scalar
    assert found.model == found.gradients == 4 * (4 + 4 + 8 + 2)


def test_activations_go_with_batch_and_patch() -> None:
    once, twice = _estimate(), _estimate(training={"batch": 8})
    assert twice.activations == pytest.approx(2 * once.activations, rel=0.01)
    larger = _estimate(data={"patch": [32, 64]})
    assert larger.activations == pytest.approx(2 * once.activations, rel=0.01)
    assert twice.fixed == once.fixed


def test_longer_sequences_cost_activations_only_where_they_are_stored() -> None:
    few, many = (_estimate({"momentum": 0.9, "units": units}) for units in (3, 11))
    grown = {mode: (many.by_mode[mode] - many.fixed) - (few.by_mode[mode] - few.fixed) for mode in few.by_mode}
    assert set(grown) == {"autograd", "checkpoint", "reversible"}
    assert grown["reversible"] < 0.05 * grown["autograd"]
    assert grown["reversible"] < grown["checkpoint"] < grown["autograd"]
    assert few.differentiation == "reversible" and few.total == few.by_mode["reversible"]


def test_only_ways_that_are_accurate_are_offered() -> None:
    assert set(_estimate().by_mode) == {"autograd", "checkpoint"}
    assert set(_estimate({"momentum": 0.1, "units": 5}).by_mode) == {"autograd", "checkpoint"}
    assert set(_estimate({"units": 1}).by_mode) == {"autograd"}


def test_half_precision_stores_less_and_an_average_is_another_model() -> None:
    once = _estimate()
    assert _estimate(training={"precision": "bfloat16"}).activations < 0.85 * once.activations
    assert _estimate(training={"average_decay": 0.9}).companions == once.model


def test_a_mean_teacher_counts_with_its_own_model_and_unlabelled_patches() -> None:
    once, taught = _estimate(), _estimate(strategy={"name": "mean_teacher"})
    assert taught.companions >= once.model
    assert taught.activations > 2 * once.activations


def test_nothing_of_the_full_size_is_ever_in_memory() -> None:
    """Hundreds of gigabytes."""
    network = {"dimensions": 3}
    found = estimate_for_recipe(_recipe(network, data={"patch": [512] * 3, "plane": "volume"}), 1, 3)
    assert found is not None and found.total > 100 << 30


def test_recipes_without_a_segmentation_network_have_no_estimate() -> None:
    assert estimate_for_recipe(read_recipe("lms-laptop"), 1, 2) is None


def test_a_patch_that_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="multiples of 2: change data.patch"):
        _estimate(data={"patch": [33, 32]})


def test_a_run_that_fits_needs_no_proposal() -> None:
    assert propose(_recipe(), 1, 3, 1 << 40) is None


@pytest.mark.parametrize(
    ("network", "share", "settings"),
    [
        ({"units": 9}, 0.9, ["network.differentiation=checkpoint"]),
        ({"units": 1}, 0.6, ["training.batch="]),
        ({"units": 1}, 0.12, ["training.batch=1", "data.patch=["]),
    ],
)
def test_the_mildest_change_that_fits_is_proposed(network: dict[str, Any], share: float, settings: list[str]) -> None:
    recipe = _recipe(network, data={"patch": [128, 128]})
    whole = estimate_for_recipe(recipe, 1, 3)
    assert whole is not None
    available = int(share * whole.total)

    found = propose(recipe, 1, 3, available, whole)

    assert found is not None and found.total <= available
    assert len(found.settings) == len(settings)
    assert all(given.startswith(start) for given, start in zip(found.settings, settings, strict=True))
    assert found.sentence.startswith("The run needs about") and found.sentence.endswith(".")


def test_a_batch_that_the_strategy_refuses_is_not_proposed() -> None:
    """Contrast compares images: a mean teacher cannot train with a batch of one."""
    recipe = _recipe({"units": 1}, strategy={"name": "mean_teacher"}, training={"batch": 2}, data={"patch": [64, 64]})
    whole = estimate_for_recipe(recipe, 1, 3)
    assert whole is not None
    found = propose(recipe, 1, 3, int(0.6 * whole.total), whole)
    assert found is not None and [setting.split("=")[0] for setting in found.settings] == ["data.patch"]


def test_where_nothing_helps_it_is_said() -> None:
    found = propose(_recipe(), 1, 3, 1000)
    assert found is not None and found.settings == ()
    assert "too little for any batch and patch" in found.sentence


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert available_memory._left_of_container(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory._left_of_container(tmp_path) is None
    free = available_memory.available_bytes("cpu")
    assert free is None or free > 0
