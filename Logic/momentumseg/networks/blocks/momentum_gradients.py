"""The three ways to differentiate a momentum residual sequence: store all, compute backwards, or compute again.

The recursion of the reversible way: from (x', v') with adjoints gx, gv: x = x' - v'; a = gx + gv; f(x) is computed
again; gx <- gx + (1-g) J^T a; gv <- g a; v = (v' - (1-g) f(x)) / g (Sander et al., 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from momentumseg.errors import InputError

LOOP, REVERSIBLE, CHECKPOINT = "autograd", "reversible", "checkpoint"
WAYS = (LOOP, REVERSIBLE, CHECKPOINT)

_HALF = (torch.float16, torch.bfloat16)
_NO_DOUBLE = ("mps",)


@dataclass(frozen=True)
class Chain:
    """Blocks and momentum of one sequence.

    Attributes:
        blocks: f of each step, or with ``of_blocks`` x + f(x).
        momentum: g.
        of_blocks: the modules are whole blocks.
    """

    blocks: tuple[nn.Module, ...]
    momentum: float
    of_blocks: bool

    def branch(self, index: int, features: Tensor) -> Tensor:
        """f(x) of one block in single precision at least; the block must keep the shape and leave x as it is."""
        value = self._called(index, features)
        value = value.to(torch.promote_types(features.dtype, torch.float32))
        return value - features if self.of_blocks else value

    def plain_step(self, index: int, features: Tensor) -> Tensor:
        """x + f(x), in the features' own precision."""
        value = self._called(index, features)
        return value if self.of_blocks else features + value

    def velocity_after(self, velocity: Tensor | None, branch: Tensor) -> Tensor:
        """g v + (1-g) f."""
        pushed = (1 - self.momentum) * branch
        return pushed if velocity is None else torch.add(pushed, velocity, alpha=self.momentum)

    def velocity_before(self, velocity: Tensor, branch: Tensor) -> Tensor:
        """(v' - (1-g) f) / g."""
        return torch.sub(velocity, branch, alpha=1 - self.momentum) / self.momentum

    def parameters(self) -> list[nn.Parameter]:
        """Trainable parameters of all blocks, each once."""
        found = {id(value): value for block in self.blocks for value in block.parameters() if value.requires_grad}
        return list(found.values())

    def _called(self, index: int, features: Tensor) -> Tensor:
        version = None if features.is_inference() else features._version
        value: Tensor = self.blocks[index](features)
        if version is not None and features._version != version:
            raise InputError(
                f"Block {index + 1} of a momentum sequence writes into its input; build it without inplace=True at its "
                "beginning."
            )
        if value.shape != features.shape:
            raise InputError(
                f"Block {index + 1} of a momentum sequence makes {tuple(value.shape)} of {tuple(features.shape)}; "
                "only blocks that keep the shape can be in it."
            )
        return value


def run_chain(chain: Chain, features: Tensor, velocity: Tensor | None, way: str) -> tuple[Tensor, Tensor | None]:
    """x and v after the blocks, differentiated in one of :data:`WAYS`; all ways give the same x and v to the last bit.

    The state is in double precision, where the device has it: in single precision the inverse loses up to a hundred of
    its roundings, and a ReLU whose input falls on the other side of zero changes the gradient by far more than that.
    """
    parameters = chain.parameters()
    values = (features, velocity, *parameters)
    trains = torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in values)
    way = way if trains else LOOP
    if chain.momentum == 0:
        return _run_plainly(chain, features, way), None
    feed = features.dtype
    if feed in _HALF and _is_autocast(features.device):
        feed = torch.float32
    x, v = _wide(features), None if velocity is None else _wide(velocity)
    if way == REVERSIBLE:
        x, v = _Reversible.apply(x, v, feed, chain, *parameters)
    else:
        x, v = _run_loop(chain, x, v, feed, way)
    return x.to(feed), v.to(feed)


def _run_plainly(chain: Chain, features: Tensor, way: str) -> Tensor:
    for index in range(len(chain.blocks)):
        features = _called(partial(chain.plain_step, index), features, chain.blocks[index], way)
    return features


def _run_loop(chain: Chain, x: Tensor, v: Tensor | None, feed: torch.dtype, way: str) -> tuple[Tensor, Tensor]:
    for index in range(len(chain.blocks)):
        branch = _called(partial(chain.branch, index), x.to(feed), chain.blocks[index], way)
        v = chain.velocity_after(v, branch.to(x.dtype))
        x = x + v
    return x, cast(Tensor, v)


def _called(function: Callable[[Tensor], Tensor], features: Tensor, block: nn.Module, way: str) -> Tensor:
    if way != CHECKPOINT:
        return function(features)
    value: Tensor = checkpoint(function, features, use_reentrant=False, context_fn=partial(_recompute_contexts, block))
    return value


def _recompute_contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), frozen_buffers(block)


class _Reversible(torch.autograd.Function):
    """The chain as one operation that stores x and v at its end.

    Parameters are inputs of it, so that their gradients reach them as all gradients do: data-parallel training and
    hooks see nothing unusual.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, v: Tensor | None, feed: torch.dtype, chain: Chain, *parameters: nn.Parameter
    ) -> tuple[Tensor, Tensor]:
        ctx.chain, ctx.parameters, ctx.started = chain, parameters, v is not None
        ctx.feed, ctx.autocast = feed, _Autocast(x.device)
        ctx.random_states, state = [], None
        for index in range(len(chain.blocks)):
            state = _RandomState.now(x.device, state)
            ctx.random_states.append(state)
            with ctx.autocast.entered():
                branch = chain.branch(index, x.to(feed, copy=True))
            v = chain.velocity_after(v, branch.to(x.dtype))
            x = x + v
        ctx.save_for_backward(x, v)
        return x, cast(Tensor, v)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_x: Tensor, grad_v: Tensor) -> tuple[Tensor | None, ...]:
        x, v = ctx.saved_tensors
        chain, gradients = ctx.chain, _Gradients(ctx.parameters)
        for index in reversed(range(len(chain.blocks))):
            x = x - v
            point = x.to(ctx.feed, copy=True).requires_grad_()
            branch = _recomputed(ctx, index, point)
            adjoint = grad_x + grad_v
            pushed = ((1 - chain.momentum) * adjoint).to(branch.dtype)
            grad_x = grad_x + gradients.through(chain.blocks[index], branch, point, pushed).to(adjoint.dtype)
            grad_v = chain.momentum * adjoint
            if index > 0:
                v = chain.velocity_before(v, branch.detach().to(v.dtype))
        return grad_x, grad_v if ctx.started else None, None, None, *gradients.values


def _recomputed(ctx: Any, index: int, point: Tensor) -> Tensor:
    """f(x) with its graph, in the surroundings of the forward pass: same random numbers, statistics counted once."""
    chain = ctx.chain
    with (
        torch.enable_grad(),
        ctx.random_states[index].replayed(),
        ctx.autocast.entered(),
        frozen_buffers(chain.blocks[index]),
    ):
        branch: Tensor = chain.branch(index, point)
    return branch


class _Gradients:
    """Sums of the parameters' gradients over the blocks; a parameter may be in several."""

    def __init__(self, parameters: tuple[nn.Parameter, ...]) -> None:
        self.values: list[Tensor | None] = [None] * len(parameters)
        self._places = {id(parameter): place for place, parameter in enumerate(parameters)}

    def through(self, block: nn.Module, branch: Tensor, point: Tensor, adjoint: Tensor) -> Tensor:
        """J^T of the branch on its adjoint; the parameters' part is added to :attr:`values`."""
        if not branch.requires_grad:
            return torch.zeros_like(adjoint)
        owned = {id(value): value for value in block.parameters() if id(value) in self._places}
        with _without_hooks(owned.values()):
            found = torch.autograd.grad(branch, [point, *owned.values()], adjoint, allow_unused=True)
        for key, gradient in zip(owned, found[1:], strict=True):
            place = self._places[key]
            known = self.values[place]
            self.values[place] = gradient if known is None or gradient is None else known + gradient
        return torch.zeros_like(adjoint) if found[0] is None else found[0]


@contextmanager
def _without_hooks(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Hooks wait for the sum of a parameter's gradients instead of seeing its parts too."""
    kept = [(parameter, parameter._backward_hooks) for parameter in parameters if parameter._backward_hooks]
    for parameter, _ in kept:
        parameter._backward_hooks = None
    try:
        yield
    finally:
        for parameter, hooks in kept:
            parameter._backward_hooks = hooks


@contextmanager
def frozen_buffers(block: nn.Module) -> Iterator[None]:
    """What the block writes into its buffers in training (running statistics) is forgotten afterwards.

    The buffers are exchanged for copies. Switching the statistics off instead would change which tensors a
    normalisation stores, which a checkpoint compares.
    """
    modules = [module for module in block.modules() if module.training and module._buffers]
    kept = [(module, dict(module._buffers)) for module in modules]
    for module, buffers in kept:
        module._buffers.update({name: None if value is None else value.clone() for name, value in buffers.items()})
    try:
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)


class _RandomState:
    """The generators' states on the processor and the device, to draw the same numbers again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._module: Any = getattr(torch, device.type) if device.type in ("cuda", "mps", "xpu") else None
        self._cpu = torch.get_rng_state()
        self._own = self._get()

    @classmethod
    def now(cls, device: torch.device, earlier: _RandomState | None) -> _RandomState:
        """The states as they are; ``earlier`` itself where nothing was drawn since, which saves 5 KB a block."""
        state = cls(device)
        return earlier if earlier is not None and earlier._equals(state) else state

    def _equals(self, other: _RandomState) -> bool:
        if not torch.equal(self._cpu, other._cpu):
            return False
        return self._own is None or (other._own is not None and torch.equal(self._own, other._own))

    @contextmanager
    def replayed(self) -> Iterator[None]:
        now = torch.get_rng_state(), self._get()
        self._set(self._cpu, self._own)
        try:
            yield
        finally:
            self._set(*now)

    def _get(self) -> Tensor | None:
        if self._module is None:
            return None
        state: Tensor = (
            self._module.get_rng_state() if self._device.type == "mps" else self._module.get_rng_state(self._device)
        )
        return state

    def _set(self, cpu: Tensor, own: Tensor | None) -> None:
        torch.set_rng_state(cpu)
        if own is not None and self._device.type == "mps":
            self._module.set_rng_state(own)
        elif own is not None:
            self._module.set_rng_state(own, self._device)


class _Autocast:
    """Mixed precision as it is now; its cache of weights stays off, because weights cast without a graph lose it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device.type
        self._enabled = _is_autocast(device)
        self._dtype = torch.get_autocast_dtype(device.type) if self._enabled else None

    def entered(self) -> AbstractContextManager[Any]:
        if not torch.amp.is_autocast_available(self._device):
            return nullcontext()
        return torch.autocast(self._device, dtype=self._dtype, enabled=self._enabled, cache_enabled=False)


def _is_autocast(device: torch.device) -> bool:
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def _wide(value: Tensor) -> Tensor:
    return value.float() if value.device.type in _NO_DOUBLE else value.double()
