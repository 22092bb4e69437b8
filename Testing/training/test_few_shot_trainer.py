from __future__ import annotations

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from momentumseg.errors import Cancelled, DependencyError, InputError, OutputError
from momentumseg.training.checkpoint import FORMAT, TrainingState, load_checkpoint
from momentumseg.training.progress import TrainingProgress
from momentumseg.training.trainer import Trainer
from momentumseg.weights.loading import load_few_shot_model

RECIPES = ("lms-laptop", "flms-laptop", "prototype-laptop", "regional-laptop")
SGD = ("optimizer.name=sgd", "optimizer.momentum=0.9")
SCRIPT = Path(__file__).with_name("tiny_run.py")


def _load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny = _load_script()
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads in their last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class StopAt:
    """Asks to stop once the trainer has finished so many iterations."""

    def __init__(self, trainer: Trainer, iteration: int) -> None:
        self.trainer, self.iteration = trainer, iteration

    def __call__(self) -> bool:
        return self.trainer.iteration == self.iteration


def cancel_at(trainer: Trainer, iteration: int) -> None:
    with pytest.raises(Cancelled, match=f"stopped after {iteration} of 22 iterations; the same command continues"):
        trainer.run(cancelled=StopAt(trainer, iteration))


def resumed(folder: Path, *settings: str, **options: object) -> Trainer:
    trainer = tiny.make_trainer(folder, *settings, **options)
    assert trainer.resume()
    return trainer


def assert_same_state(first: Path, second: Path) -> None:
    """Bit for bit: weights, averages and optimiser of two checkpoints."""
    one, other = load_checkpoint(first), load_checkpoint(second)
    assert one.iteration == other.iteration
    assert_same_tensors(one.parts, other.parts)
    assert (one.average is None) == (other.average is None)
    assert_same_tensors(one.average or {}, other.average or {})
    for index, state in one.optimizer["state"].items():
        assert_same_tensors(state, other.optimizer["state"][index])


def network_of(state: TrainingState) -> dict[str, Tensor]:
    """Tensors of the network in a checkpoint, by its own names."""
    prefix = "objective.network."
    return {name.removeprefix(prefix): value for name, value in state.parts.items() if name.startswith(prefix)}


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name, value in one.items() if value is not None and not torch.equal(value, other[name])]
    assert different == []


@pytest.mark.parametrize("settings", [(), SGD], ids=["adamw", "sgd"])
def test_a_run_that_was_stopped_twice_ends_like_one_that_was_not(tmp_path: Path, settings: tuple[str, ...]) -> None:
    """Once in the first interval and once between two checkpoints."""
    whole = tiny.make_trainer(tmp_path / "whole", *settings)
    model = whole.run()
    cancel_at(tiny.make_trainer(tmp_path / "parts", *settings), 3)
    cancel_at(resumed(tmp_path / "parts", *settings), 13)
    last = resumed(tmp_path / "parts", *settings)
    assert last.iteration == 13
    assert last.run().read_bytes() == model.read_bytes()
    assert_same_state(last.checkpoint_path, whole.checkpoint_path)


def test_a_run_that_was_killed_twice_ends_like_one_that_was_not(tmp_path: Path) -> None:
    """``kill -9`` of a process in the middle of an iteration, twice; what is on disk continues."""
    kill_at(tmp_path / "killed", 7)
    assert load_checkpoint(tmp_path / "killed" / "checkpoint.pt").iteration == 5
    kill_at(tmp_path / "killed", 18)
    assert load_checkpoint(tmp_path / "killed" / "checkpoint.pt").iteration == 15
    model = resumed(tmp_path / "killed").run()
    whole = tiny.make_trainer(tmp_path / "whole")
    assert model.read_bytes() == whole.run().read_bytes()
    assert_same_state(tmp_path / "killed" / "checkpoint.pt", whole.checkpoint_path)


def kill_at(folder: Path, iteration: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(SCRIPT), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if int(line) >= iteration:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL and not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_head_learns_to_find_discs(tmp_path: Path, recipe: str) -> None:
    settings = ["training.iterations=100", "training.epoch=1000", "optimizer.lr=1e-2"]
    trainer = make(tmp_path, *settings, recipe=recipe)
    reports: list[TrainingProgress] = []
    model = load_few_shot_model(trainer.run(on_progress=reports.append))
    losses = {report.iteration: report.losses for report in reports}
    assert {50, 100} <= set(losses) and {report.iterations for report in reports} == {100}
    first, last = losses[50], losses[100]
    assert last["cross_entropy"] < 0.85 * first["cross_entropy"] and last["alignment"] < 0.7 * first["alignment"]
    assert last["dice"] > 0.7
    assert model.card.name == "tiny" and model.recipe == trainer.recipe
    log = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["iteration"] for line in log] == [50, 100]


def make(folder: Path, *settings: str, recipe: str = "lms-laptop") -> Trainer:
    return tiny.make_trainer(folder, *settings, recipe=recipe)


def test_the_model_is_the_moving_average_of_the_weights(tmp_path: Path) -> None:
    """Against a naive loop over the weights after every iteration, decay min(d, (1 + i) / (10 + i))."""
    trainer = make(tmp_path, "training.average_decay=0.5", "training.iterations=12")
    average = {name: value.clone() for name, value in trainer.strategy.network.state_dict().items()}
    seen = []

    def follow() -> bool:
        if seen:
            decay = min(0.5, (1 + len(seen) - 1) / (10 + len(seen) - 1))
            for name, value in trainer.strategy.network.state_dict().items():
                average[name] = decay * average[name] + (1 - decay) * value
        seen.append(trainer.iteration)
        return False

    trainer.run(cancelled=follow)
    kept = load_checkpoint(trainer.checkpoint_path)
    decay = min(0.5, 12 / 21)
    for name, value in network_of(kept).items():
        expected = decay * average[name] + (1 - decay) * value
        torch.testing.assert_close(kept.average[name], expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(trainer.strategy.network.state_dict()[name], kept.average[name])


def test_without_a_decay_the_model_is_the_last_weights(tmp_path: Path) -> None:
    trainer = make(tmp_path, "training.average_decay=0.0", "training.iterations=3")
    trainer.run()
    kept = load_checkpoint(trainer.checkpoint_path)
    assert kept.average is None
    assert_same_tensors(network_of(kept), trainer.strategy.network.state_dict())


def test_the_learning_rate_follows_the_schedule(tmp_path: Path) -> None:
    trainer = make(tmp_path, "schedule.warmup=4", "optimizer.lr=0.4", "training.iterations=3")
    trainer.run()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([0.3])


def test_a_new_folder_has_nothing_to_resume(tmp_path: Path) -> None:
    assert not make(tmp_path / "new").resume()


def test_another_recipe_does_not_continue_a_run(tmp_path: Path) -> None:
    cancel_at(make(tmp_path), 1)
    with pytest.raises(InputError, match="made with another recipe; choose another folder"):
        make(tmp_path, "optimizer.lr=0.5").resume()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    """The recipe is the same, but the version of the project that reads it builds something else."""
    cancel_at(make(tmp_path), 1)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    content["parts"].popitem()
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="another version"):
        make(tmp_path).resume()


def damages(whole: bytes) -> dict[str, bytes]:
    middle = len(whole) // 2
    return {
        "empty": b"",
        "text": b"not a checkpoint\n" * 20,
        "truncated": whole[:middle],
        "tail lost": whole[:-100],
        "overwritten": whole[:middle] + bytes(4096) + whole[middle + 4096 :],
    }


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "tail lost", "overwritten"])
def test_damaged_checkpoints_are_refused_in_words(tmp_path: Path, damage: str) -> None:
    cancel_at(make(tmp_path), 1)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damages(path.read_bytes())[damage])
    with pytest.raises(InputError, match="delete it to start this run again"):
        make(tmp_path).resume()


@pytest.mark.parametrize("content", [{"format": 99}, {"format": FORMAT}, [1, 2], {"format": FORMAT, "more": 2}])
def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="no checkpoint of this version"):
        make(tmp_path).resume()


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"format": 1, "network": Malicious()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="cannot be read"):
        make(tmp_path).resume()
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up in the middle of the second checkpoint; with space again the run goes on from the first."""
    trainer = make(tmp_path)
    write = Path.write_bytes

    def write_until_full(self: Path, data: bytes) -> int:
        if trainer.iteration == 10:
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(OutputError, match="the disk is full"):
        trainer.run()
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]
    again = resumed(tmp_path)
    assert again.iteration == 5
    whole = make(tmp_path / "whole")
    assert again.run().read_bytes() == whole.run().read_bytes()


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    trainer = make(tmp_path / "file" / "run")
    with pytest.raises(OutputError, match="cannot be created; choose another"):
        trainer.run()
    assert trainer.iteration == 0


def test_a_diverging_run_says_so_and_leaves_no_model(tmp_path: Path) -> None:
    trainer = make(tmp_path, "training.iterations=50", *SGD, "optimizer.lr=1e30", "training.epoch=100")
    with pytest.raises(InputError, match=r"diverged.*lower optimizer\.lr"):
        trainer.run()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.iterations=0", "training.iterations is 0"),
        ("training.iterations=many", "training.iterations is 'many'"),
        ("training.epoch=0", "training.epoch is 0"),
        ("training.average_decay=1.0", "average_decay is 1.0"),
        ("training.iteration=5", "unknown option.*'iteration'"),
        ("training.precision=int8", "precision 'int8' is unknown"),
        ("training.precision=float16", "needs loss scaling"),
        ("objective.beta=1", r"\[objective\].*'beta'"),
    ],
)
def test_mistakes_in_a_recipe_are_told_before_training(tmp_path: Path, setting: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(tmp_path, setting)


def test_half_precision_trains_too(tmp_path: Path) -> None:
    trainer = make(tmp_path, "training.precision=bfloat16", "training.iterations=3")
    trainer.run()
    assert all(value.isfinite().all() for value in trainer.strategy.network.state_dict().values())


@pytest.mark.skipif(importlib.util.find_spec("lightning_fabric") is not None, reason="Lightning Fabric is installed")
def test_several_devices_need_lightning_fabric(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="2 devices needs Lightning Fabric; install it with"):
        tiny.make_trainer(tmp_path, devices=2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_devices_train_one_model_stop_together_and_continue(tmp_path: Path) -> None:
    """Two CPU processes over gloo: gradients of two episodes are averaged, as a naive loop over both episodes does.

    When one of them is asked to stop, both do; what they continue ends like the run that was not stopped.
    """
    pytest.importorskip("lightning_fabric")
    settings = [*SGD, "network.head.dropout=0.0", "network.head.regions=1", "training.iterations=4"]
    run_on_two_devices(tmp_path / "both", *settings)
    both = load_checkpoint(tmp_path / "both" / "checkpoint.pt")
    assert both.iteration == 4
    for name, value in naive_two_devices(tmp_path, *settings).items():
        torch.testing.assert_close(network_of(both)[name], value, atol=1e-5, rtol=1e-4)

    with pytest.raises(subprocess.CalledProcessError) as failure:
        run_on_two_devices(tmp_path / "stopped", "--stop-at", "2", *settings)
    assert "Training stopped after 2 of 4 iterations" in failure.value.stderr
    assert load_checkpoint(tmp_path / "stopped" / "checkpoint.pt").iteration == 2
    run_on_two_devices(tmp_path / "stopped", *settings)
    assert_same_state(tmp_path / "stopped" / "checkpoint.pt", tmp_path / "both" / "checkpoint.pt")


def run_on_two_devices(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(SCRIPT), str(folder), "--devices", "2", *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=280)


def naive_two_devices(folder: Path, *settings: str) -> dict[str, Tensor]:
    trainer = make(folder / "naive", *settings)
    for iteration in range(4):
        trainer.optimizer.zero_grad()
        for rank in (0, 1):
            episode = [torch.as_tensor(part).float() for part in tiny.Discs()[2 * iteration + rank]]
            (trainer.strategy.objective(*episode)["loss"] / 2).backward()
        for group, rate in zip(trainer.optimizer.param_groups, trainer.base_rates, strict=True):
            group["lr"] = rate * trainer.schedule(iteration)
        trainer.optimizer.step()
    return trainer.strategy.network.state_dict()
