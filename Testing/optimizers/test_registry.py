from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from momentumseg.errors import InputError
from momentumseg.networks.registry import build_few_shot_network
from momentumseg.optimizers.registry import build_optimizer, build_schedule

BACKBONES: list[dict[str, Any]] = [
    {"name": "efficientnet_lite0"},
    {"name": "efficientnet_lite0", "frozen_blocks": 0},
    {"name": "resnet101_d4", "blocks": [1, 1, 1], "width": 4, "channels": 16},
    {"name": "tiny"},
    {"name": "tiny_vit_litemedsam"},
    {"name": "tiny_vit_litemedsam", "frozen": False},
]


def optimizer_of(network: torch.nn.Module, table: dict[str, Any]) -> torch.optim.Optimizer:
    return build_optimizer(network.parameters(), table, network.backbone.trunk_parameters())


def network_with(backbone: dict[str, Any]) -> torch.nn.Module:
    return build_few_shot_network({"backbone": backbone, "head": {"name": "lms"}})


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda table: "-".join(map(str, table.values())))
def test_every_learned_parameter_is_in_one_group(backbone: dict[str, Any]) -> None:
    network = network_with(backbone)
    optimizer = optimizer_of(network, {"name": "adamw", "lr": 1e-2, "pretrained_factor": 0.1})
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert {id(parameter) for parameter in network.parameters() if parameter.requires_grad} <= set(grouped)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda table: "-".join(map(str, table.values())))
def test_only_pretrained_parameters_learn_at_the_reduced_rate(backbone: dict[str, Any]) -> None:
    network = network_with(backbone)
    optimizer = optimizer_of(network, {"lr": 1e-2, "pretrained_factor": 0.1})
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    slow = {parameter for parameter, rate in rates.items() if rate == pytest.approx(1e-3)}
    assert slow == {id(parameter) for parameter in network.backbone.trunk_parameters()}
    assert all(rates[id(parameter)] == 1e-2 for parameter in network.head.parameters())


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_options_reach_the_optimiser(name: str, kind: type) -> None:
    optimizer = optimizer_of(network_with({"name": "tiny"}), {"name": name, "lr": 0.5, "weight_decay": 0.25})
    assert type(optimizer) is kind
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.5, 0.25)]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"name": "lion"}, "no optimiser named 'lion'; choose one of adamw, adam, sgd"),
        ({"name": "sgd", "betas": [0.9, 0.99]}, "'sgd' does not accept these options"),
        ({"lr": -1.0}, "does not accept these options.*learning rate"),
        ({"lr": "fast"}, "lr 'fast'.*not a number"),
    ],
)
def test_impossible_optimisers_are_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        optimizer_of(network_with({"name": "tiny"}), table)


def test_cosine_warms_up_and_falls_to_zero() -> None:
    factor = build_schedule({"name": "cosine", "warmup": 10}, 110)
    assert [factor(i) for i in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert [factor(i) for i in (10, 60, 110)] == pytest.approx([1.0, 0.5, 0.0])
    assert factor(35) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert all(factor(i) > 0 for i in range(110))


def test_steps_multiply_every_thousand_iterations() -> None:
    factor = build_schedule({"name": "step", "factor": 0.98, "every": 1000}, 35000)
    assert [factor(i) for i in (0, 999, 1000, 34999)] == pytest.approx([1, 1, 0.98, 0.98**34])


@pytest.mark.parametrize(
    ("table", "words"),
    [({"name": "linear"}, "no schedule named 'linear'"), ({"name": "step", "warmup": 3}, "does not accept")],
)
def test_impossible_schedules_are_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_schedule(table, 100)
