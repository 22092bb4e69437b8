"""Optimisers and learning-rate schedules of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from momentumseg.errors import InputError


def build_optimizer(network: nn.Module, table: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Optimiser of a recipe's ``[optimizer]`` table.

    ``name`` is ``"adamw"`` or ``"sgd"``; ``pretrained_factor`` multiplies the learning rate of the parameters that the
    backbone's ``trunk_parameters()`` names; the remaining options go to the torch class.

    Raises:
        InputError: unknown name or option.
    """
    options = dict(table)
    name = options.pop("name", "adamw")
    factor = options.pop("pretrained_factor", 1.0)
    classes = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    if name not in classes:
        raise InputError(f"There is no optimiser named {name!r}; choose one of {', '.join(classes)}.")
    rate = options.setdefault("lr", 1e-3)
    if not isinstance(rate, int | float) or not isinstance(factor, int | float):
        raise InputError(
            f"The optimiser's lr {rate!r} or pretrained_factor {factor!r} is not a number; correct the recipe."
        )
    groups = [
        {"params": parameters, "lr": rate * scale}
        for parameters, scale in _parameter_groups(network, factor)
        if parameters
    ]
    try:
        return classes[name](groups, **options)
    except (TypeError, ValueError) as error:
        raise InputError(f"The optimiser {name!r} does not accept these options: {error}.") from error


def build_schedule(table: Mapping[str, Any], iterations: int) -> Callable[[int], float]:
    """Factor of the learning rate by iteration, of a recipe's ``[schedule]`` table.

    ``"cosine"`` falls to zero after ``warmup`` iterations; ``"step"`` multiplies by ``factor`` every ``every``
    iterations (LMS-Net: 0.98 every 1000).

    Raises:
        InputError: unknown name or option.
    """
    options = dict(table)
    name = options.pop("name", "cosine")
    makers: dict[str, Callable[..., Callable[[int], float]]] = {"cosine": _cosine, "step": _step}
    if name not in makers:
        raise InputError(f"There is no schedule named {name!r}; choose one of {', '.join(makers)}.")
    try:
        return makers[name](iterations, **options)
    except TypeError as error:
        raise InputError(f"The schedule {name!r} does not accept these options: {error}.") from error


def _parameter_groups(network: nn.Module, factor: float) -> list[tuple[list[nn.Parameter], float]]:
    """Learned parameters with their factor: first all others, then those that the backbone calls its trunk."""
    trunk_parameters = getattr(getattr(network, "backbone", None), "trunk_parameters", None)
    pretrained = list(trunk_parameters()) if callable(trunk_parameters) else []
    known = {id(parameter) for parameter in pretrained}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    return [(others, 1.0), (pretrained, factor)]


def _cosine(iterations: int, warmup: int = 200) -> Callable[[int], float]:
    def factor(iteration: int) -> float:
        if iteration < warmup:
            return (iteration + 1) / warmup
        progress = (iteration - warmup) / max(1, iterations - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor


def _step(_: int, factor: float = 0.98, every: int = 1000) -> Callable[[int], float]:
    return lambda iteration: factor ** (iteration // every)
