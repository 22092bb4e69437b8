"""The trainer of few-shot networks: self-supervised episodes, one an iteration and device.

Everything random in an iteration depends on (seed, iteration) alone; a run that was killed therefore continues from its
last checkpoint to the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from momentumseg.allocation import keep_large_blocks
from momentumseg.errors import Cancelled, InputError, OutputError
from momentumseg.io.atomic import atomic_path
from momentumseg.io.checks import check_writable_output
from momentumseg.networks.few_shot import FewShotNetwork
from momentumseg.objectives.few_shot import FewShotObjective
from momentumseg.optimizers.registry import build_optimizer, build_schedule
from momentumseg.training.checkpoint import TrainingState, canonical, load_checkpoint, save_checkpoint
from momentumseg.training.devices import Engine, open_engine
from momentumseg.training.episodes import Episode
from momentumseg.training.settings import TrainingSettings
from momentumseg.weights.loading import save_few_shot_model

logger = logging.getLogger(__name__)

_LOG_EVERY = 50


class Episodes(Protocol):
    """Where episodes come from, see :class:`momentumseg.training.episodes.EpisodeDataset`."""

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``, which depends on the index alone."""
        ...


@dataclass(frozen=True)
class TrainingProgress:
    """What a progress bar shows: finished and all iterations, seconds since the start, last logged losses."""

    iteration: int
    iterations: int
    seconds: float
    losses: Mapping[str, float]


class FewShotTrainer:
    """Trains a network on episodes and writes checkpoints and the model into a folder.

    Args:
        network: initialised network; it is trained in place.
        dataset: episodes; ``dataset[i]`` must depend on i alone.
        recipe: the complete recipe.
        folder: receives ``checkpoint.pt``, ``log.jsonl`` and ``model.safetensors``.
        card: model card (see :mod:`momentumseg.weights.cards`).
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        devices: number of devices; more than one needs Lightning Fabric.

    Raises:
        InputError: the recipe's tables do not fit.
        DependencyError: several devices without Lightning Fabric.
    """

    def __init__(
        self,
        network: FewShotNetwork,
        dataset: Episodes,
        recipe: Mapping[str, Any],
        folder: Path,
        card: Mapping[str, Any],
        device: str = "cpu",
        devices: int = 1,
    ) -> None:
        settings = TrainingSettings.of(recipe)
        keep_large_blocks()
        self.network = network
        self.dataset = dataset
        self.recipe = dict(recipe)
        self.folder = folder
        self.card = card
        self.settings = settings
        self.iterations = settings.iterations
        self.engine: Engine = open_engine(device, devices, settings.precision)
        network.to(self.engine.device)
        self.objective = FewShotObjective.from_mapping(network, recipe.get("objective", {}))
        self.optimizer = build_optimizer(network, recipe.get("optimizer", {}))
        self.schedule = build_schedule(recipe.get("schedule", {}), self.iterations)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.average: dict[str, Tensor] | None = None
        self.restart_average()
        self.log: list[dict[str, float]] = []
        self.iteration = 0

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def model_path(self) -> Path:
        return self.folder / "model.safetensors"

    def restart_average(self) -> None:
        """Begin the moving average at the present weights (after they were initialised)."""
        self.average = None
        if self.settings.average_decay:
            self.average = {name: value.clone() for name, value in self.network.state_dict().items()}

    def resume(self) -> bool:
        """Continue from the folder's checkpoint, if there is one; True if it did.

        Raises:
            InputError: the checkpoint is damaged, or was made by another recipe or version.
        """
        if not self.checkpoint_path.exists():
            return False
        state = load_checkpoint(self.checkpoint_path)
        if state.recipe != canonical(self.recipe):
            raise InputError(
                f"The run in {self.folder} was made with another recipe; choose another folder or restore the recipe."
            )
        try:
            self.network.load_state_dict(state.network)
            self.optimizer.load_state_dict(state.optimizer)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                f"The run in {self.folder} was made by another version of MomentumSeg; choose another folder."
            ) from error
        self.average = None
        if state.average is not None:
            self.average = {name: value.to(self.engine.device) for name, value in state.average.items()}
        self.log, self.iteration = state.log, state.iteration
        return True

    def run(
        self,
        on_progress: Callable[[TrainingProgress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Path:
        """Train to the end and return the path of the model.

        Raises:
            Cancelled: the user stopped; a checkpoint was written and :meth:`resume` continues there.
            InputError: the loss is no longer a number.
            OutputError: checkpoint or model cannot be written; said before the first iteration where it can be known.
        """
        self._prepare_folder()
        self.network.train()
        objective, optimizer = self.engine.setup(self.objective, self.optimizer)
        started, interval = time.monotonic(), _LossMeans()
        while self.iteration < self.iterations:
            if self.engine.any(cancelled is not None and cancelled()):
                self._save()
                raise Cancelled(
                    f"Training stopped after {self.iteration} of {self.iterations} iterations; "
                    "the same command continues it."
                )
            interval.add(self._step(objective, optimizer))
            self.iteration += 1
            if self.iteration % _LOG_EVERY == 0 or self.iteration == self.iterations:
                self._record(interval, time.monotonic() - started, on_progress)
                interval = _LossMeans()
            if self.iteration % self.settings.checkpoint_every == 0:
                self._save()
        self._save()
        return self._write_model()

    def _step(self, objective: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        index = self.iteration * self.engine.world_size + self.engine.rank
        seed = _mixed_seed(self.settings.seed, index)
        torch.manual_seed(seed)
        episode = self._to_device(self.dataset[index])
        for group, rate in zip(optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * self.schedule(self.iteration)
        with self.engine.autocast():
            losses = objective(*episode, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad(set_to_none=True)
        self.engine.backward(losses["loss"])
        optimizer.step()
        self._update_average()
        return {name: value.detach() for name, value in losses.items()}

    def _to_device(self, episode: Episode) -> tuple[Tensor, ...]:
        return tuple(torch.as_tensor(part).to(self.engine.device, torch.float32) for part in episode)

    def _update_average(self) -> None:
        if self.average is None:
            return
        # a decay that grows with the iteration keeps the first steps from dominating short runs
        decay = min(self.settings.average_decay, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)
                else:
                    self.average[name].copy_(value)

    def _record(
        self, interval: _LossMeans, seconds: float, on_progress: Callable[[TrainingProgress], None] | None
    ) -> None:
        means = interval.means()
        if self.engine.any(not math.isfinite(means["loss"])):
            raise InputError(
                f"Training diverged: the loss up to iteration {self.iteration} is not a number; "
                "lower optimizer.lr in the recipe and begin in another folder."
            )
        self.log.append({"iteration": float(self.iteration), **means})
        logger.info("iteration %d: %s", self.iteration, json.dumps(means))
        if on_progress is not None and self.engine.rank == 0:
            on_progress(TrainingProgress(self.iteration, self.iterations, seconds, means))

    def _prepare_folder(self) -> None:
        """Hours of training must not end at a folder that cannot be written."""
        if self.engine.rank != 0:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {self.folder} cannot be created; choose another one.") from error
        for path in (self.checkpoint_path, self.model_path):
            check_writable_output(path, suffixes=None)

    def _save(self) -> None:
        if self.engine.rank != 0:
            return
        state = TrainingState(
            iteration=self.iteration,
            network=self.network.state_dict(),
            average=self.average,
            optimizer=self.optimizer.state_dict(),
            recipe=canonical(self.recipe),
            log=self.log,
        )
        save_checkpoint(self.checkpoint_path, state)
        with atomic_path(self.folder / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in self.log), encoding="utf-8")

    def _write_model(self) -> Path:
        """The averaged weights where there is an average; they are what the user gets."""
        if self.average is not None:
            self.network.load_state_dict(self.average)
        self.network.eval()
        if self.engine.rank == 0:
            save_few_shot_model(self.network, self.model_path, recipe=self.recipe, card=self.card)
        return self.model_path


class _LossMeans:
    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, losses: Mapping[str, Tensor]) -> None:
        self._count += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.float()

    def means(self) -> dict[str, float]:
        return {name: float(value) / self._count for name, value in self._sums.items()}


def _mixed_seed(seed: int, index: int) -> int:
    """A seed for iteration ``index`` that runs with neighbouring seeds do not share."""
    return (seed * 1_000_003 + index * 7919 + 12345) % (2**31)
