from __future__ import annotations

import errno
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from momentumseg.errors import Cancelled, InputError, OutputError
from momentumseg.training.checkpoint import load_best, load_checkpoint
from momentumseg.training.prefetch import Prefetcher
from momentumseg.training.progress import TrainingProgress, ValidationReport
from momentumseg.training.trainer import Trainer

SCRIPT = Path(__file__).with_name("tiny_segmentation.py")


def _load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_segmentation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny = _load_script()
KINDS = {
    "supervised": (),
    "average": ("training.average_decay=0.5",),
    "batch norm": ("network.norm=batch",),
    "mean teacher": ("strategy.name=mean_teacher", "strategy.ramp=4"),
}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads in their last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def resumed(folder: Path, *settings: str) -> Trainer:
    trainer = tiny.make_trainer(folder, *settings)
    assert trainer.resume()
    return trainer


def stop_at(trainer: Trainer, iteration: int) -> None:
    with pytest.raises(Cancelled, match=f"stopped after {iteration} of 22 iterations; the same command continues"):
        trainer.run(cancelled=lambda: trainer.iteration == iteration)


def assert_same_run(one: Path, other: Path) -> None:
    """Bit for bit: model, best state, and everything in the checkpoints."""
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    first, second = load_checkpoint(one / "checkpoint.pt"), load_checkpoint(other / "checkpoint.pt")
    assert first.iteration == second.iteration and first.metrics == second.metrics and first.log == second.log
    assert_equal_tensors(first.parts, second.parts)
    assert_equal_tensors(first.average or {}, second.average or {})
    for index, state in first.optimizer["state"].items():
        assert_equal_tensors(state, second.optimizer["state"][index])
    assert_equal_tensors(load_best(one / "best.pt").model, load_best(other / "best.pt").model)


def assert_equal_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_a_run_that_was_stopped_twice_ends_like_one_that_was_not(tmp_path: Path, settings: tuple[str, ...]) -> None:
    tiny.make_trainer(tmp_path / "whole", *settings).run()
    stop_at(tiny.make_trainer(tmp_path / "parts", *settings), 3)
    stop_at(resumed(tmp_path / "parts", *settings), 13)
    resumed(tmp_path / "parts", *settings).run()
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("settings", [KINDS["supervised"], KINDS["mean teacher"]], ids=["supervised", "mean teacher"])
def test_a_run_that_was_killed_twice_ends_like_one_that_was_not(tmp_path: Path, settings: tuple[str, ...]) -> None:
    """``kill -9`` in the middle of an iteration, twice; what is on disk continues."""
    kill_at(tmp_path / "killed", 7, *settings)
    assert load_checkpoint(tmp_path / "killed" / "checkpoint.pt").iteration == 5
    kill_at(tmp_path / "killed", 18, *settings)
    assert load_checkpoint(tmp_path / "killed" / "checkpoint.pt").iteration == 15
    resumed(tmp_path / "killed", *settings).run()
    tiny.make_trainer(tmp_path / "whole", *settings).run()
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def kill_at(folder: Path, iteration: int, *settings: str) -> None:
    command = [sys.executable, str(SCRIPT), str(folder), *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        for line in process.stdout:
            if int(line) >= iteration:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL and not (folder / "model.safetensors").exists()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    """The recipe's batch is shared by two CPU processes over gloo."""
    pytest.importorskip("lightning_fabric")
    settings = ("training.iterations=6", "training.epoch=3", "optimizer.name=sgd", "optimizer.lr=0.05")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "two"), "--devices", "2", *settings]
    subprocess.run(command, env=environment(), check=True, capture_output=True, text=True, timeout=280)
    tiny.make_trainer(tmp_path / "one", *settings).run()
    one, two = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("one", "two"))
    assert one.iteration == two.iteration == 6
    start = tiny.make_trainer(tmp_path / "start", *settings).strategy.state_dict()
    assert not torch.equal(one.parts["network.head.weight"], start["network.head.weight"])
    for name, value in one.parts.items():
        torch.testing.assert_close(two.parts[name], value, atol=2e-6, rtol=2e-5)
    assert one.metrics["best_score"] == pytest.approx(two.metrics["best_score"], abs=1e-4)


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path: Path) -> None:
    from momentumseg.training.trainer import _checked_batch

    with pytest.raises(InputError, match=r"batch of 3 cannot be shared by 2 devices; set training\.batch"):
        _checked_batch(3, 2)


class Scores:
    """A validator that gives these scores in turn."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.modes: list[bool] = []

    def __call__(self, network: nn.Module) -> ValidationReport:
        self.modes.append(network.training)
        score = self.scores.pop(0)
        empty = np.zeros((2, 2), dtype=np.uint8)
        return ValidationReport(score, {"disc": score}, "case", empty, empty, empty)


def with_scores(folder: Path, *scores: float, settings: tuple[str, ...] = ()) -> Trainer:
    trainer = tiny.make_trainer(folder, "training.iterations=20", *settings)
    trainer._validator = Scores(*scores)
    return trainer


def test_the_best_model_is_kept_and_told(tmp_path: Path) -> None:
    reports: list[TrainingProgress] = []
    trainer = with_scores(tmp_path, 0.5, 0.8, 0.6, 0.7)
    states: dict[int, dict[str, torch.Tensor]] = {}

    def remember() -> bool:
        states[trainer.iteration] = {name: v.clone() for name, v in trainer.strategy.network.state_dict().items()}
        return False

    trainer.run(reports.append, cancelled=remember)
    assert_equal_tensors(load_file(tmp_path / "model.safetensors"), states[10])
    assert trainer.metrics == {"best_score": 0.8, "best_iteration": 10, "worse": 2, "dice_disc": 0.8}
    told = [now for now in reports if now.validation is not None]  # a slow machine tells more in between
    assert [(now.iteration, now.validation.score) for now in told] == [(5, 0.5), (10, 0.8), (15, 0.6), (20, 0.7)]
    assert [now.best_score for now in told] == [0.5, 0.8, 0.8, 0.8]
    assert reports[0].remaining_seconds > 0 and reports[-1].remaining_seconds == 0
    assert trainer._validator.modes == [False] * 4 and trainer.strategy.network.training is False


def test_a_slow_run_is_not_silent_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.make_trainer(tmp_path / "whole").run()
    monkeypatch.setattr("momentumseg.training.trainer._LONGEST_SILENCE", 0.0)
    reports: list[TrainingProgress] = []
    tiny.make_trainer(tmp_path / "told").run(reports.append)
    assert {now.iteration for now in reports} == set(range(1, 23))
    assert all(now.losses["loss"] > 0 for now in reports)
    assert_same_run(tmp_path / "told", tmp_path / "whole")


def test_a_run_without_progress_ends_early(tmp_path: Path) -> None:
    trainer = with_scores(tmp_path, 0.5, 0.4, 0.3, settings=("training.patience=2",))
    trainer.run()
    assert trainer.iteration == 15


def test_a_paused_run_can_be_finished(tmp_path: Path) -> None:
    stop_at(tiny.make_trainer(tmp_path), 13)
    trainer = resumed(tmp_path)
    trainer.finish()
    best = load_best(tmp_path / "best.pt")
    assert best.iteration in (5, 10)
    assert_equal_tensors(load_file(tmp_path / "model.safetensors"), best.model)


def test_a_run_that_was_stopped_in_a_validation_makes_up_for_it(tmp_path: Path) -> None:
    tiny.make_trainer(tmp_path / "whole").run()
    trainer = tiny.make_trainer(tmp_path / "parts")

    class Stopped(tiny.DiscValidator):
        def __call__(self, network: nn.Module) -> ValidationReport:
            if trainer.iteration == 10:
                raise Cancelled("stopped between two windows")
            return super().__call__(network)

    trainer._validator = Stopped()
    with pytest.raises(Cancelled, match="stopped after 10 of 22 iterations; the same command continues"):
        trainer.run()
    assert load_checkpoint(tmp_path / "parts" / "checkpoint.pt").iteration == 10
    resumed(tmp_path / "parts").run()
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_the_best_model_of_another_run_is_not_taken(tmp_path: Path) -> None:
    """A user deleted the checkpoint to start again, and left the rest."""
    tiny.make_trainer(tmp_path).run()
    (tmp_path / "checkpoint.pt").unlink()
    trainer = tiny.make_trainer(tmp_path, "training.iterations=3", validates=False)
    trainer.run()
    assert_equal_tensors(load_file(tmp_path / "model.safetensors"), trainer.strategy.network.state_dict())


def test_validation_tries_the_average_and_leaves_the_weights(tmp_path: Path) -> None:
    """The average and the weights differ; the scores are of the first, training goes on with the second."""
    seen = []

    class Look(Scores):
        def __call__(self, network: nn.Module) -> ValidationReport:
            seen.append({name: value.clone() for name, value in network.state_dict().items()})
            return super().__call__(network)

    trainer = tiny.make_trainer(tmp_path, "training.average_decay=0.9", "training.iterations=5")
    trainer._validator = Look(0.5)
    trainer.run()
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert_equal_tensors(seen[0], state.average)
    assert not torch.equal(seen[0]["head.weight"], state.parts["network.head.weight"])


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_nan_stops_in_words_and_keeps_the_last_good_checkpoint(tmp_path: Path, where: str) -> None:
    trainer = tiny.make_trainer(tmp_path)

    class Broken(tiny.Discs):
        def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            image, mask = super().labelled(index)
            return (image * np.nan if index >= 4 * 7 else image), mask

    if where == "loss":
        trainer.strategy._sampler = Broken()
    else:
        step = trainer.strategy.after_step

        def poison(iteration: int) -> None:
            step(iteration)
            if iteration == 9:  # the last of an epoch: no loss sees it before the checkpoint
                next(trainer.strategy.network.parameters()).data.fill_(float("nan"))

        trainer.strategy.after_step = poison
    with pytest.raises(
        InputError, match=r"diverged: .* iteration 10 is not a number; lower .*until iteration 5 is kept"
    ):
        trainer.run()
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state.iteration == 5
    assert all(value.isfinite().all() for value in state.parts.values())
    assert not (tmp_path / "model.safetensors").exists()


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, write = tiny.make_trainer(tmp_path), Path.write_bytes

    def write_until_full(self: Path, data: bytes) -> int:
        if trainer.iteration == 10:
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(OutputError, match="the disk is full"):
        trainer.run()
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "checkpoint.pt").iteration == 5
    resumed(tmp_path).run()
    tiny.make_trainer(tmp_path / "whole").run()
    assert_same_run(tmp_path, tmp_path / "whole")


def test_what_a_sample_raises_ends_the_run_in_words(tmp_path: Path) -> None:
    """The data folder vanishes during a run: samples are made by threads, whose errors must arrive."""

    class Gone(tiny.Discs):
        def labelled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            if index >= 4 * 12:
                raise InputError("The case 'a' is gone; bring the folder back.")
            return super().labelled(index)

    with pytest.raises(InputError, match="bring the folder back"):
        tiny.make_trainer(tmp_path, sampler=Gone()).run()
    assert load_checkpoint(tmp_path / "checkpoint.pt").iteration == 10
    assert threading.active_count() == 1 or not any("momentumseg-samples" in t.name for t in threading.enumerate())


def test_samples_come_in_order_and_ahead() -> None:
    began: list[int] = []

    def sample(index: int) -> tuple[np.ndarray, ...]:
        began.append(index)
        time.sleep(0.002 * (index % 3))  # later ones are ready first
        return (np.full(2, index),)

    with Prefetcher(sample, [range(2), range(2, 4), range(4, 6), range(6, 8)], threads=3, ahead=2) as batches:
        assert batches.next_batch()[0].tolist() == [[0, 0], [1, 1]]
        assert max(began, default=0) <= 7
        assert [batches.next_batch()[0][:, 0].tolist() for _ in range(3)] == [[2, 3], [4, 5], [6, 7]]
        with pytest.raises(StopIteration):
            batches.next_batch()


def test_without_threads_samples_are_made_when_they_are_needed() -> None:
    began: list[int] = []

    def sample(index: int) -> tuple[np.ndarray, ...]:
        began.append(index)
        return (np.full(2, index),)

    with Prefetcher(sample, [range(2), range(2, 4)], threads=0) as batches:
        assert began == []
        assert batches.next_batch()[0].tolist() == [[0, 0], [1, 1]] and began == [0, 1]
        assert batches.next_batch()[0][:, 0].tolist() == [2, 3] and batches.waited > 0
        with pytest.raises(StopIteration):
            batches.next_batch()


def test_the_learning_rate_follows_the_schedule_and_gradients_are_clipped(tmp_path: Path) -> None:
    settings = ("schedule.warmup=4", "optimizer.name=sgd", "optimizer.lr=0.4", "training.iterations=3")
    trainer = tiny.make_trainer(tmp_path, *settings, "training.clip=1e-9")
    before = {name: value.clone() for name, value in trainer.strategy.state_dict().items()}
    trainer.run()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([0.3])
    assert load_checkpoint(tmp_path / "checkpoint.pt").rates == pytest.approx([0.3])
    for name, value in load_checkpoint(tmp_path / "checkpoint.pt").parts.items():
        torch.testing.assert_close(value, before[name], atol=1e-8, rtol=0)


def test_it_learns(tmp_path: Path) -> None:
    trainer = tiny.make_trainer(tmp_path, "training.iterations=60", "training.epoch=30")
    trainer.run()
    assert trainer.metrics["best_score"] > 0.9
