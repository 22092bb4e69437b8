"""Where training runs: one device with plain torch, several through Lightning Fabric."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import nn

from momentumseg.errors import DependencyError, InputError

_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Engine(Protocol):
    """What the trainer needs of a device or a group of devices."""

    device: torch.device
    rank: int
    world_size: int

    def setup(
        self, objective: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]: ...

    def autocast(self) -> AbstractContextManager[Any]: ...

    def backward(self, loss: torch.Tensor) -> None: ...

    def any(self, flag: bool) -> bool: ...


class SingleDevice:
    """One CPU or GPU."""

    rank = 0
    world_size = 1

    def __init__(self, device: torch.device, dtype: torch.dtype | None) -> None:
        self.device = device
        self._dtype = dtype

    def setup(self, objective: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        return objective, optimizer

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._dtype is None else torch.autocast(self.device.type, dtype=self._dtype)

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def any(self, flag: bool) -> bool:
        return flag


class FabricDevices:
    """Several devices, data-parallel: each takes its own episode of an iteration, gradients are averaged."""

    def __init__(self, device: torch.device, devices: int, dtype: torch.dtype | None) -> None:
        try:
            from lightning_fabric import Fabric
        except ImportError as error:
            raise DependencyError(
                f"Training on {devices} devices needs Lightning Fabric; "
                "install it with: pip install 'momentumseg[distributed]'."
            ) from error
        precision = {None: "32-true", torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}[dtype]
        self._fabric = Fabric(accelerator=device.type, devices=devices, strategy="ddp", precision=precision)
        self._fabric.launch()
        self.device = self._fabric.device
        self.rank = self._fabric.global_rank
        self.world_size = self._fabric.world_size

    def setup(self, objective: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        return self._fabric.setup(objective, optimizer)

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext()  # Fabric's wrapper of the objective casts by itself

    def backward(self, loss: torch.Tensor) -> None:
        self._fabric.backward(loss)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any device: a device that left alone would leave the others waiting for ever."""
        total = self._fabric.all_reduce(torch.tensor(float(flag), device=self.device), reduce_op="sum")
        return bool(total > 0)


def open_engine(device: str, devices: int, precision: str) -> Engine:
    """Engine for a device name and a number of devices.

    Raises:
        InputError: unknown precision or a device that this machine does not have.
        DependencyError: several devices without Lightning Fabric.
    """
    if precision not in _PRECISIONS:
        raise InputError(f"The precision {precision!r} is unknown; choose one of {', '.join(_PRECISIONS)}.")
    where = checked_device(device)
    if devices > 1:
        if where.type == "cuda" and devices > torch.cuda.device_count():
            raise InputError(f"{devices} devices were asked for, but there are {torch.cuda.device_count()}; use fewer.")
        return FabricDevices(where, devices, _PRECISIONS[precision])
    if precision == "float16":
        raise InputError(
            "The precision 'float16' needs loss scaling, which only Lightning Fabric brings here; choose 'bfloat16'."
        )
    return SingleDevice(where, _PRECISIONS[precision])


def checked_device(device: str) -> torch.device:
    """Torch device of a name.

    Raises:
        InputError: this machine does not have it.
    """
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"The device {device!r} is unknown; use 'cpu' or 'cuda'.") from error
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise InputError(f"This machine has no device {device!r} that PyTorch can use; use 'cpu'.")
    return where
