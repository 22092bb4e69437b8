"""Strategies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, TypeVar

import numpy as np
from torch import nn

from momentumseg.errors import InputError
from momentumseg.strategies.base import Strategy


class Sampler(Protocol):
    """Where patches come from; each depends on its index alone.

    See :class:`momentumseg.training.patches.PatchSampler`.
    """

    def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (C, *S) float32 and labels (*S) int64."""
        ...

    def unlabelled(self, index: int) -> np.ndarray:
        """Image (C, *S) float32 of a case without labels."""
        ...


_Factory = TypeVar("_Factory", bound=Callable[..., Strategy])
_STRATEGIES: dict[str, Callable[..., Strategy]] = {}
_MODULES = ("supervised", "mean_teacher", "prompt_decoder")


def register_strategy(name: str) -> Callable[[_Factory], _Factory]:
    """Register a factory that takes ``network, objective, sampler`` and the options of a recipe's [strategy] table."""

    def register(factory: _Factory) -> _Factory:
        _STRATEGIES[name] = factory
        return factory

    return register


def strategy_names() -> list[str]:
    """Names that a recipe may use for its strategy."""
    _load_entries()
    return sorted(_STRATEGIES)


def build_strategy(table: Mapping[str, Any], network: nn.Module, objective: nn.Module, sampler: Sampler) -> Strategy:
    """Strategy of a recipe's ``[strategy]`` table; "supervised" when it names none.

    Raises:
        InputError: unknown name or option.
    """
    _load_entries()
    options = dict(table)
    name = options.pop("name", "supervised")
    if name not in _STRATEGIES:
        raise InputError(f"There is no strategy named {name!r}; choose one of {', '.join(sorted(_STRATEGIES))}.")
    try:
        return _STRATEGIES[name](network, objective, sampler, **options)
    except TypeError as error:
        raise InputError(f"The strategy {name!r} does not accept these options: {error}.") from error


def _load_entries() -> None:
    """Entries register themselves when their module is imported."""
    for name in _MODULES:
        import_module(f"momentumseg.strategies.{name}")
