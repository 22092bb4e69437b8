"""What to change in a recipe whose run does not fit into the memory that is free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_gradients import CHECKPOINT, REVERSIBLE
from momentumseg.training.memory_estimate import MemoryEstimate, estimate_for_recipe

_MIB = 1 << 20
_LOOKS = 5  # at smaller and smaller candidates, if the first does not fit after all
_SMALLEST_SIDES = 2  # in divisors of the network
_CAUTION = 0.98
_WORDS = {
    REVERSIBLE: "compute backwards instead of storing",
    CHECKPOINT: "compute activations again instead of storing them",
}


@dataclass(frozen=True)
class MemoryProposal:
    """Changes of a recipe.

    Attributes:
        settings: ``"table.key=value"``; empty where nothing helps.
        sentence: what is wrong, and what they do.
        total: bytes that the run would then need.
    """

    settings: tuple[str, ...]
    sentence: str
    total: int


@dataclass(frozen=True)
class _Candidate:
    mode: str | None
    batch: int
    patch: tuple[int, ...]


def propose(
    recipe: Mapping[str, Any], channels: int, classes: int, available: int, estimate: MemoryEstimate | None = None
) -> MemoryProposal | None:
    """Changes with which a recipe's run fits; None if it fits as it is, or nothing is known about it.

    In this order, each only if what stands before is not enough: another way to differentiate, which changes no
    result; a smaller batch; a smaller patch.

    Args:
        recipe, channels, classes: see :func:`estimate_for_recipe`.
        available: bytes.
        estimate: of this recipe, if it is known.

    Raises:
        InputError: tables that describe no run.
    """
    estimate = estimate or estimate_for_recipe(recipe, channels, classes)
    if estimate is None or estimate.total <= available:
        return None
    goal = available
    for _ in range(_LOOKS):
        candidate = _candidate(estimate, goal)
        if candidate is None:
            break
        try:
            found = estimate_for_recipe(_changed(recipe, candidate), channels, classes)
        except InputError:  # strategies may need more images in a batch than the network does
            estimate = replace(estimate, least_batch=candidate.batch + 1)
            continue
        if found is None:
            break
        if found.total <= available:
            return _proposal(estimate, candidate, found.total, available)
        goal = int(goal * _CAUTION * available / found.total)
    return MemoryProposal((), _nothing_helps(estimate, available), estimate.total)


def _candidate(estimate: MemoryEstimate, goal: int) -> _Candidate | None:
    """What should need at most ``goal`` bytes, if all but the fixed part goes with batch and patch."""
    mode, total = min(estimate.by_mode.items(), key=lambda entry: entry[1])
    if total >= estimate.total:
        mode, total = estimate.differentiation, estimate.total
    new_mode = None if mode == estimate.differentiation else mode
    if total <= goal:
        return _Candidate(new_mode, estimate.batch, estimate.patch)
    share = (goal - estimate.fixed) / max(1, total - estimate.fixed)
    batch = min(estimate.batch, max(estimate.least_batch, math.floor(estimate.batch * share)))
    if batch <= estimate.batch * share:
        return _Candidate(new_mode, batch, estimate.patch)
    patch = _smaller(estimate, share * estimate.batch / batch)
    return None if patch is None else _Candidate(new_mode, batch, patch)


def _smaller(estimate: MemoryEstimate, share: float) -> tuple[int, ...] | None:
    """The largest patch of at most that share of voxels; longest sides give way first; None: too small."""
    patch = list(estimate.patch)
    most = math.prod(patch) * share
    while math.prod(patch) > most:
        longest = patch.index(max(patch))
        patch[longest] -= estimate.divisor
        if patch[longest] < _SMALLEST_SIDES * estimate.divisor:
            return None
    return tuple(patch)


def _changed(recipe: Mapping[str, Any], candidate: _Candidate) -> dict[str, Any]:
    changed = {name: dict(table) if isinstance(table, Mapping) else table for name, table in recipe.items()}
    changed["training"]["batch"] = candidate.batch
    changed["data"]["patch"] = list(candidate.patch)
    if candidate.mode is not None:
        changed["network"]["differentiation"] = candidate.mode
    return changed


def _proposal(estimate: MemoryEstimate, candidate: _Candidate, total: int, available: int) -> MemoryProposal:
    settings, words = [], []
    if candidate.mode is not None:
        settings.append(f"network.differentiation={candidate.mode}")
        words.append(_WORDS.get(candidate.mode, f"differentiate by {candidate.mode}"))
    if candidate.batch != estimate.batch:
        settings.append(f"training.batch={candidate.batch}")
        words.append(f"train with {candidate.batch} instead of {estimate.batch} patches at a time")
    if candidate.patch != estimate.patch:
        sides = "x".join(map(str, candidate.patch))
        settings.append(f"data.patch=[{','.join(map(str, candidate.patch))}]")
        words.append(f"use patches of {sides} voxels")
    sentence = (
        f"The run needs about {_mib(estimate.total)}, and {_mib(available)} are free; to need {_mib(total)}, "
        f"{' and '.join(words)}."
    )
    return MemoryProposal(tuple(settings), sentence, total)


def _nothing_helps(estimate: MemoryEstimate, available: int) -> str:
    return (
        f"The run needs about {_mib(estimate.total)}, and {_mib(available)} are free: too little for any batch "
        "and patch; close other programs, choose another device or a recipe with a smaller network."
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f} MiB"
