"""The one trainer: the loop around a strategy, with checkpoints, validation, progress and cancelling.

Everything random in an iteration depends on (seed, iteration) alone; a run that was killed therefore continues from its
last checkpoint to the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from momentumseg.errors import Cancelled, InputError
from momentumseg.io.atomic import atomic_path
from momentumseg.io.checks import check_writable_output, create_folder
from momentumseg.optimizers.registry import build_optimizer, build_schedule
from momentumseg.strategies.base import Strategy
from momentumseg.training.averaging import MovingAverage
from momentumseg.training.checkpoint import (
    BestState,
    TrainingState,
    canonical,
    load_best,
    load_checkpoint,
    save_state,
)
from momentumseg.training.devices import Engine, open_engine
from momentumseg.training.large_blocks import LargeBlocks
from momentumseg.training.loss_means import LossMeans
from momentumseg.training.prefetch import Prefetcher
from momentumseg.training.progress import TrainingProgress, ValidationReport, Validator
from momentumseg.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

_LOG_EVERY = 50
_LONGEST_SILENCE = 5.0  # seconds between two reports of progress

OnProgress = Callable[[TrainingProgress], None]


# Writes the finished model; the numbers are of its validation, none without one.
ModelWriter = Callable[[nn.Module, Path, Mapping[str, float]], None]


class Trainer:
    """Trains a strategy and writes checkpoints and the model into a folder.

    Args:
        strategy: what an iteration computes; it is trained in place.
        recipe: the complete recipe.
        folder: receives ``checkpoint.pt``, ``best.pt``, ``log.jsonl`` and ``model.safetensors``.
        write_model: writes the last of them.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        devices: number of devices; more than one needs Lightning Fabric.
        validator: asked after every epoch; the best model is kept. None: the last one is.
        statistics: of the training data, kept in the checkpoint.

    Raises:
        InputError: the recipe's tables do not fit.
        DependencyError: several devices without Lightning Fabric.
    """

    def __init__(
        self,
        strategy: Strategy,
        recipe: Mapping[str, Any],
        folder: Path,
        write_model: ModelWriter,
        device: str = "cpu",
        devices: int = 1,
        validator: Validator | None = None,
        statistics: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = TrainingSettings.of(recipe)
        self._blocks = LargeBlocks(device)
        self.strategy = strategy
        self.recipe = dict(recipe)
        self.folder = folder
        self.iterations = self.settings.iterations
        self.engine: Engine = open_engine(device, devices, self.settings.precision)
        self.batch = _checked_batch(self.settings.batch, self.engine.world_size)
        strategy.to(self.engine.device)
        self.optimizer = build_optimizer(
            strategy.parameters_to_train(), recipe.get("optimizer", {}), strategy.pretrained_parameters()
        )
        self.schedule = build_schedule(recipe.get("schedule", {}), self.iterations)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.iteration = 0
        self.log: list[dict[str, float]] = []
        self.metrics: dict[str, float] = {}
        self._means = LossMeans()
        self._batches_ahead: Prefetcher | None = None
        self._write_model = write_model
        self._validator = validator
        self._statistics = dict(statistics or {})
        self.average: MovingAverage | None = None
        self.restart_average()

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def best_path(self) -> Path:
        return self.folder / "best.pt"

    @property
    def model_path(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def waited(self) -> float:
        """Seconds that iterations of this process had to wait for their samples."""
        return self._batches_ahead.waited if self._batches_ahead is not None else 0.0

    def restart_average(self) -> None:
        """Begin the moving average at the present weights (after they were initialised)."""
        decay = self.settings.average_decay
        self.average = MovingAverage(self.strategy.model(), decay) if decay else None

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
            self.strategy.load_state_dict(state.parts)
            self.optimizer.load_state_dict(state.optimizer)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                f"The run in {self.folder} was made by another version of MomentumSeg; choose another folder."
            ) from error
        if self.average is not None and state.average is not None:
            self.average.load(state.average)
        torch.set_rng_state(state.random)
        self.log, self.metrics, self.iteration = state.log, state.metrics, state.iteration
        self._means = LossMeans(state.pending)
        return True

    def run(self, on_progress: OnProgress | None = None, cancelled: Callable[[], bool] | None = None) -> Path:
        """Train to the end and return the path of the model.

        Raises:
            Cancelled: the user stopped; a checkpoint was written and :meth:`resume` continues there.
            InputError: the loss is no longer a number, or a sample cannot be made; the last good checkpoint stays.
            OutputError: checkpoint or model cannot be written; said before the first iteration where it can be known.
        """
        self._prepare_folder()
        step, optimizer = self.engine.setup(self.strategy, self.optimizer)
        watch = _Watch(self.iteration, self.iterations)
        threads = 0 if self.engine.device.type == "cpu" else self.settings.threads  # a CPU has no core to spare
        with Prefetcher(self.strategy.sample, self._batches(), threads) as batches:
            self._batches_ahead = batches
            while True:
                self._record_if_due(watch, on_progress)
                if self.iteration >= self.iterations or self._has_lost_patience:
                    break
                if self.engine.any(cancelled is not None and cancelled()):
                    self._stop()
                self.strategy.train()
                self._means.add(self._step(step, optimizer, batches))
                self._blocks.after_step()
                self.iteration += 1
                if watch.has_been_silent:
                    self._tell(watch, self._means.means(), None, on_progress)
        return self.finish()

    def finish(self) -> Path:
        """Write the model as it is: the best of all validations, else the average, else the last weights."""
        network = self.strategy.model()
        if "best_score" in self.metrics:
            network.load_state_dict(load_best(self.best_path).model)
        elif self.average is not None:
            self.average.copy_to(network)
        network.eval()
        if self.engine.rank == 0:
            self._write_model(network, self.model_path, self.metrics)
        return self.model_path

    def _batches(self) -> Iterator[range]:
        """Indices of this device's samples, from the present iteration on."""
        own = self.batch // self.engine.world_size
        for iteration in range(self.iteration, self.iterations):
            first = iteration * self.batch + self.engine.rank * own
            yield range(first, first + own)

    def _stop(self) -> NoReturn:
        """Keep what is there and raise `Cancelled`."""
        if self._means.are_finite() and _is_finite(self.strategy):
            self._save()
        raise Cancelled(
            f"Training stopped after {self.iteration} of {self.iterations} iterations; the same command continues it."
        )

    def _step(self, step: nn.Module, optimizer: torch.optim.Optimizer, batches: Prefetcher) -> dict[str, Tensor]:
        fields = batches.next_batch()
        torch.manual_seed(mixed_seed(self.settings.seed, self.iteration * self.engine.world_size + self.engine.rank))
        batch = [torch.as_tensor(field).to(self.engine.device, non_blocking=True) for field in fields]
        for group, rate in zip(optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * self.schedule(self.iteration)
        with self.engine.autocast():
            losses: dict[str, Tensor] = step(*batch)
        optimizer.zero_grad(set_to_none=True)
        self.engine.backward(losses["loss"])
        if self.settings.clip:
            trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self.settings.clip)
        optimizer.step()
        self.strategy.after_step(self.iteration)
        if self.average is not None:
            self.average.update(self.strategy.model(), self.iteration)
        return {name: value.detach() for name, value in losses.items()}

    def _record_if_due(self, watch: _Watch, on_progress: OnProgress | None) -> None:
        """Log at intervals and epochs, after which comes a checkpoint; not twice after a restart at that iteration."""
        is_epoch = self.iteration % self.settings.epoch == 0 or self.iteration == self.iterations
        is_new = self.iteration > 0 and (not self.log or self.log[-1]["iteration"] != self.iteration)
        if is_new and (is_epoch or self.iteration % _LOG_EVERY == 0):
            self._record(watch, is_epoch, on_progress)
            if is_epoch:
                self._save()

    def _record(self, watch: _Watch, is_epoch: bool, on_progress: OnProgress | None) -> None:
        """Log, validate at the end of an epoch, and tell."""
        losses = self._means.means()
        if self.engine.any(not self._means.are_finite() or (is_epoch and not _is_finite(self.strategy))):
            raise InputError(
                f"Training diverged: the loss up to iteration {self.iteration} is not a number; "
                f"lower optimizer.lr in the recipe and begin in another folder{self._what_is_left()}."
            )
        try:
            report = self._validate() if is_epoch else None
        except Cancelled:  # the checkpoint is of before the validation, which is then made up for
            self._stop()
        self._means = LossMeans()
        waiting = self.waited / max(watch.seconds, 1e-9)
        self.log.append({"iteration": float(self.iteration), **losses, **self.strategy.log(), **_of(report)})
        logger.info("iteration %d: %s, %.0f %% waiting for samples", self.iteration, losses, 100 * waiting)
        self._tell(watch, losses, report, on_progress)

    def _tell(
        self,
        watch: _Watch,
        losses: Mapping[str, float],
        report: ValidationReport | None,
        on_progress: OnProgress | None,
    ) -> None:
        watch.told()
        if on_progress is None or self.engine.rank != 0:
            return
        remaining, best = watch.remaining(self.iteration), self.metrics.get("best_score")
        on_progress(TrainingProgress(self.iteration, self.iterations, watch.seconds, losses, remaining, report, best))

    def _what_is_left(self) -> str:
        if not self.checkpoint_path.exists():
            return ""
        done = load_checkpoint(self.checkpoint_path).iteration
        return f" (what was good until iteration {done} is kept in {self.folder})"

    def _validate(self) -> ValidationReport | None:
        """Try the model as it would be saved now, and keep it if it is the best."""
        if self._validator is None or self.engine.rank != 0:
            return None
        network = self.strategy.model()
        with self._averaged(network):
            report = self._validator(network.eval())
            if report.score > self.metrics.get("best_score", -math.inf):
                state = {name: value.detach().clone() for name, value in network.state_dict().items()}
                save_state(self.best_path, BestState(self.iteration, report.score, state))
                dice = {f"dice_{name}": value for name, value in report.dice.items()}
                self.metrics = {"best_score": report.score, "best_iteration": self.iteration, "worse": 0, **dice}
            else:
                self.metrics["worse"] = self.metrics.get("worse", 0) + 1
        return report

    def _averaged(self, network: nn.Module) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.in_place_of(network)

    @property
    def _has_lost_patience(self) -> bool:
        patience = self.settings.patience
        return bool(patience) and self.engine.any(self.metrics.get("worse", 0) >= patience)

    def _prepare_folder(self) -> None:
        """Hours of training must not end at a folder that cannot be written."""
        if self.engine.rank != 0:
            return
        create_folder(self.folder)
        for path in (self.checkpoint_path, self.model_path):
            check_writable_output(path, suffixes=None)

    def _save(self) -> None:
        if self.engine.rank != 0:
            return
        state = TrainingState(
            iteration=self.iteration,
            parts=self.strategy.state_dict(),
            average=None if self.average is None else self.average.tensors,
            optimizer=self.optimizer.state_dict(),
            rates=[float(group["lr"]) for group in self.optimizer.param_groups],
            random=torch.get_rng_state(),
            recipe=canonical(self.recipe),
            statistics=self._statistics,
            metrics=self.metrics,
            log=self.log,
            pending=self._means.kept(),
        )
        save_state(self.checkpoint_path, state)
        with atomic_path(self.folder / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in self.log), encoding="utf-8")


class _Watch:
    """Seconds since a run began or went on, and what is left at that speed."""

    def __init__(self, iteration: int, iterations: int) -> None:
        self._first, self._last = iteration, iterations
        self._began = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def has_been_silent(self) -> bool:
        """Whether a user who watches wonders if it still works."""
        return time.monotonic() - self._told > _LONGEST_SILENCE

    def told(self) -> None:
        self._told = time.monotonic()

    def remaining(self, iteration: int) -> float | None:
        done = iteration - self._first
        return self.seconds / done * (self._last - iteration) if done else None


def mixed_seed(seed: int, index: int) -> int:
    """A seed for step ``index`` that runs with neighbouring seeds do not share."""
    return (seed * 1_000_003 + index * 7919 + 12345) % (2**31)


def _is_finite(module: nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in module.parameters())


def _of(report: ValidationReport | None) -> dict[str, float]:
    if report is None:
        return {}
    return {"score": report.score, **{f"dice_{name}": value for name, value in report.dice.items()}}


def _checked_batch(batch: int, devices: int) -> int:
    """Samples of an iteration on all devices. Raises `InputError` when they cannot be shared out."""
    batch = batch or devices
    if batch % devices:
        raise InputError(
            f"A batch of {batch} cannot be shared by {devices} devices; set training.batch to a multiple of {devices}."
        )
    return batch
