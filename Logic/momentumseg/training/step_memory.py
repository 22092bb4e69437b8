"""How many bytes one training step needs, found out without computing it.

The step runs on fake tensors, which have a shape and an owner but no content; every storage is counted from the
operation that makes it to the moment when nothing refers to it any more.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from momentumseg.optimizers.registry import build_optimizer
from momentumseg.strategies.base import Strategy

Field = tuple[tuple[int, ...], torch.dtype]


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one training step.

    Attributes:
        model: parameters and buffers of the network that becomes the model.
        companions: what the strategy holds besides, such as a teacher.
        gradients: of all that is trained.
        optimizer: its state.
        activations: alive at the end of the forward pass, the batch among them.
        peak: most bytes alive at once, all of these included.
    """

    model: int
    companions: int
    gradients: int
    optimizer: int
    activations: int
    peak: int


def step_memory(
    strategy: Strategy,
    fields: Sequence[Field],
    optimizer: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> StepMemory:
    """Memory of the trainer's step: forward, old gradients away, backward, optimiser.

    The gradients of the step before are there during the forward pass, as in :class:`Trainer`.

    Args:
        strategy: its tensors are exchanged for fake ones; build its network on torch's device "meta", without memory.
        fields: shape and type of each field of a batch, the batch's axis first.
        optimizer: the recipe's table.
        dtype: of mixed precision; None: single precision.
    """
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        live = stack.enter_context(_LiveBytes())
        stack.enter_context(_NoContent())
        _give_fake_memory(strategy)
        held = live.now
        model = _bytes_of(strategy.model().state_dict().values())
        strategy.train()
        trained = [parameter for parameter in strategy.parameters_to_train() if parameter.requires_grad]
        stepper = build_optimizer(trained, optimizer, strategy.pretrained_parameters())
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
        gradients = live.now - held
        stepper.step()
        state = live.now - held - gradients
        before = live.now
        batch = [torch.empty(shape, dtype=kind) for shape, kind in fields]
        with nullcontext() if dtype is None else torch.autocast("cpu", dtype=dtype):
            losses = strategy(*batch)
        activations = live.now - before
        stepper.zero_grad(set_to_none=True)
        losses["loss"].backward()
        return StepMemory(model, held - model, gradients, state, activations, live.most)


class _LiveBytes(TorchDispatchMode):
    """Counts the storages of fake tensors.

    Attributes:
        now, most: bytes alive at present, and at most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.most = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        is_fake = any(isinstance(value, FakeTensor) for value in given)
        # states of random generators are real, and so are lists of axes, which losses make with arange
        if not is_fake and (given or func.overloadpacket is torch.ops.aten.arange):
            with _disable_current_modes():
                return func(*args, **kwargs)
        if is_fake and func is torch.ops.aten._local_scalar_dense.default:
            return _plausible_number(given[0].dtype)
        made = func(*args, **kwargs)
        for value in tree_leaves(made):
            if isinstance(value, FakeTensor):
                self._count(value)
        return made

    def _count(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


class _NoContent(TorchFunctionMode):
    """Arrays of fake tensors are zeros: their shape is all that matters."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.numpy and isinstance(args[0], FakeTensor):
            kind = torch.empty(0, dtype=args[0].dtype, device="meta").dtype
            return np.zeros(tuple(args[0].shape), dtype=str(kind).removeprefix("torch."))
        return func(*args, **(kwargs or {}))


def _plausible_number(dtype: torch.dtype) -> bool | int | float:
    """What a condition or an exponent gets to see; a mask that holds something leads through more of the code."""
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


def _give_fake_memory(module: nn.Module) -> None:
    """Exchange tensors without memory for fake ones, in place; what was shared stays shared."""
    exchanged: dict[int, Tensor] = {}

    def fake(value: Tensor) -> Tensor:
        if id(value) not in exchanged:
            made = torch.empty(value.shape, dtype=value.dtype)
            is_parameter = isinstance(value, nn.Parameter)
            exchanged[id(value)] = nn.Parameter(made, value.requires_grad) if is_parameter else made
        return exchanged[id(value)]

    kept = []  # an address must not be used twice meanwhile
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, value in tensors.items():
                if value is not None:
                    kept.append(value)
                    tensors[name] = fake(value)  # type: ignore[assignment]


def _bytes_of(tensors: Any) -> int:
    return sum(value.untyped_storage().nbytes() for value in tensors)
