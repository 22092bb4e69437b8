"""The contract between the one trainer and the ways to train."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor, nn

Sample = tuple[np.ndarray, ...]


class Strategy(nn.Module):
    """What one iteration computes.

    A strategy is a module so that everything that must survive a restart is a parameter or a buffer of it: the
    checkpoint keeps its ``state_dict()``, be it a teacher, multipliers of constraints or an extra head.

    Attributes:
        network: what is trained and, unless :meth:`model` says otherwise, what becomes the model.
    """

    network: nn.Module

    def sample(self, index: int) -> Sample:
        """Sample ``index`` of the run; it depends on the index alone.

        Called from several threads at once, ahead of time: it must not draw torch's random numbers.
        """
        raise NotImplementedError

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """Scalars of a batch: ``"loss"``, which is minimised, and the terms for the log.

        Args:
            batch: the fields of the samples, each stacked along a new first axis, on the device. Torch's random state
                has been seeded for this iteration.
        """
        raise NotImplementedError

    def after_step(self, iteration: int) -> None:
        """Called after the optimiser's step of iteration ``iteration`` (0 is the first): a teacher, multipliers."""

    def model(self) -> nn.Module:
        """The network that is validated and saved."""
        return self.network

    def parameters_to_train(self) -> Iterable[nn.Parameter]:
        """What the optimiser gets: by default all that require a gradient."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def pretrained_parameters(self) -> Iterable[nn.Parameter]:
        """Those among them that ``optimizer.pretrained_factor`` is about: the trunk or encoder, where there is one."""
        trunk = getattr(getattr(self.network, "backbone", None), "trunk_parameters", None)
        if callable(trunk):
            return list(trunk())
        encoder = getattr(self.network, "encoder", None)
        return list(encoder.parameters()) if isinstance(encoder, nn.Module) else []

    def log(self) -> dict[str, float]:
        """Further numbers for the log, such as the violation of a constraint."""
        return {}
