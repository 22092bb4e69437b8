"""Optimisers and learning-rate schedules of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from momentumseg.errors import InputError


def build_optimizer(
    parameters: Iterable[nn.Parameter], table: Mapping[str, Any], pretrained: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Optimiser of a recipe's ``[optimizer]`` table.

    ``name`` is ``"adamw"``, ``"adam"`` or ``"sgd"``; ``pretrained_factor`` multiplies the learning rate of the
    ``pretrained`` ones among the parameters; the remaining options go to the torch class.

    Raises:
        InputError: unknown name or option.
    """
    options = dict(table)
    name = options.pop("name", "adamw")
    factor = options.pop("pretrained_factor", 1.0)
    classes = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    if name not in classes:
        raise InputError(f"There is no optimiser named {name!r}; choose one of {', '.join(classes)}.")
    rate = options.setdefault("lr", 1e-3)
    if not isinstance(rate, int | float) or not isinstance(factor, int | float):
        raise InputError(
            f"The optimiser's lr {rate!r} or pretrained_factor {factor!r} is not a number; correct the recipe."
        )
    groups = [
        {"params": group, "lr": rate * scale}
        for group, scale in _parameter_groups(parameters, pretrained, factor)
        if group
    ]
    try:
        return classes[name](groups, **options)
    except (TypeError, ValueError) as error:
        raise InputError(f"The optimiser {name!r} does not accept these options: {error}.") from error


def build_schedule(table: Mapping[str, Any], iterations: int) -> Callable[[int], float]:
    """Factor of the learning rate by iteration, of a recipe's ``[schedule]`` table.

    ``"cosine"`` falls to ``floor`` after ``warmup`` iterations, ``"poly"`` likewise as (1 - i/n)^``power``; ``"step"``
    multiplies by ``factor`` every ``every`` iterations (LMS-Net: 0.98 every 1000); ``"constant"`` stays.

    Raises:
        InputError: unknown name or option.
    """
    options = dict(table)
    name = options.pop("name", "cosine")
    makers: dict[str, Callable[..., Callable[[int], float]]] = {
        "cosine": _cosine,
        "poly": _poly,
        "step": _step,
        "constant": _constant,
    }
    if name not in makers:
        raise InputError(f"There is no schedule named {name!r}; choose one of {', '.join(makers)}.")
    try:
        return makers[name](iterations, **options)
    except TypeError as error:
        raise InputError(f"The schedule {name!r} does not accept these options: {error}.") from error


def _parameter_groups(
    parameters: Iterable[nn.Parameter], pretrained: Iterable[nn.Parameter], factor: float
) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters with their factor: first all others, then the pretrained ones; one group when the factor is 1."""
    known = {id(parameter) for parameter in pretrained} if factor != 1.0 else set()
    both: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for parameter in parameters:
        both[id(parameter) in known].append(parameter)
    return [(both[0], 1.0), (both[1], factor)]


def _cosine(iterations: int, warmup: int = 200, floor: float = 0.0) -> Callable[[int], float]:
    def factor(iteration: int) -> float:
        if iteration < warmup:
            return (iteration + 1) / warmup
        progress = (iteration - warmup) / max(1, iterations - warmup)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor


def _poly(iterations: int, power: float = 0.9, warmup: int = 0) -> Callable[[int], float]:
    def factor(iteration: int) -> float:
        if iteration < warmup:
            return (iteration + 1) / warmup
        return (1.0 - min(1.0, iteration / iterations)) ** power

    return factor


def _step(_: int, factor: float = 0.98, every: int = 1000) -> Callable[[int], float]:
    return lambda iteration: factor ** (iteration // every)


def _constant(_: int) -> Callable[[int], float]:
    return lambda iteration: 1.0
