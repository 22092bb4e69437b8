"""What the three ways to differentiate a momentum residual network cost: memory, time and accuracy, side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.evaluation.process_memory import peak_memory_bytes
from momentumseg.networks.blocks.momentum_gradients import CHECKPOINT, LOOP, REVERSIBLE, WAYS
from momentumseg.networks.blocks.momentum_sequence import MomentumSequence, MomentumSettings
from momentumseg.networks.blocks.residual_units import ResidualLevel

Progress = Callable[[str, float], None]

_MIB = 1 << 20
_PER_MILLION = 1e6
_TARGET_GROWTH, _TARGET_TIME, _TARGET_GRADIENT = 1.1, 1.6, 10.0


@dataclass(frozen=True)
class MomentumBenchmarkOptions:
    """Sizes of the benchmark.

    Attributes:
        blocks: lengths of the stages, shortest first.
        channels, batch, size: of the features, which are square.
        momentum: g.
        repeats: steps of which the median time is reported; the ways take turns.
    """

    blocks: tuple[int, ...] = (4, 8, 16, 32)
    channels: int = 32
    batch: int = 2
    size: int = 64
    momentum: float = 0.9
    repeats: int = 3


@dataclass
class _Seen:
    """Of one way and length: activations stored after the forward pass, seconds of a step, gradients."""

    stored: int = 0
    seconds: list[float] = field(default_factory=list)
    gradients: Tensor = field(default_factory=lambda: torch.empty(0))


def bench_momentum(
    options: MomentumBenchmarkOptions | None = None,
    peak: Callable[[Mapping[str, Any]], int | None] | None = None,
    progress: Progress | None = None,
) -> BenchmarkReport:
    """Stages of ResUNet (norm, ReLU, 3x3, twice) with momentum, differentiated in the three ways.

    Args:
        peak: largest memory of a process of its own that runs :func:`momentum_peak_bytes` with these arguments; without
            it no process is measured.
        progress: receives (what is being measured, fraction of all done).
    """
    options, report = options or MomentumBenchmarkOptions(), progress or (lambda name, part: None)
    seen: dict[tuple[str, int], _Seen] = {}
    for index, count in enumerate(options.blocks):
        report(f"{count} blocks", 0.7 * index / len(options.blocks))
        seen.update({(way, count): value for way, value in _side_by_side(count, options).items()})
    measures = _memory(seen, options) + _times(seen, options) + _differences(seen, options)
    if peak is not None:
        report("processes", 0.7)
        measures += _processes(options, peak)
    settings = {
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "block": "norm, ReLU, 3x3, twice",
        **_sizes(options),
    }
    return BenchmarkReport("Momentum residual stages, differentiated in three ways", settings, measures)


def momentum_peak_bytes(way: str, count: int, sizes: Mapping[str, Any]) -> int | None:
    """Largest memory of this process after one training step. To be run in a fresh process.

    Args:
        way, count: differentiation and number of blocks.
        sizes: fields of :class:`MomentumBenchmarkOptions`.
    """
    options = MomentumBenchmarkOptions(**{**sizes, "blocks": (count,)})
    _step(_stage(way, count, options), _features(options))
    return peak_memory_bytes()


def stored_bytes(run: Callable[[], object]) -> int:
    """Bytes of the tensors, parameters left out, that a forward pass keeps for its backward pass."""
    storages: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        if not isinstance(value, nn.Parameter):
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        alive = run()  # a tensor that is freed would give its address to the next one
    del alive
    return sum(storages.values())


def _side_by_side(count: int, options: MomentumBenchmarkOptions) -> dict[str, _Seen]:
    """The ways in turn, so that a busy machine is busy for all of them."""
    stages = {way: _stage(way, count, options) for way in WAYS}
    seen = {way: _Seen() for way in WAYS}
    features = _features(options)
    for way, stage in stages.items():
        seen[way].stored = stored_bytes(lambda stage=stage: stage(features))  # type: ignore[misc]
        seen[way].gradients = _step(stage, features)
    for _ in range(options.repeats):
        for way, stage in stages.items():
            start = time.process_time()
            _step(stage, features)
            seen[way].seconds.append(time.process_time() - start)
    return seen


def _stage(way: str, count: int, options: MomentumBenchmarkOptions) -> MomentumSequence:
    torch.manual_seed(0)
    settings = MomentumSettings(options.momentum, way)
    return ResidualLevel(options.channels, options.channels, count + 1, settings).more


def _features(options: MomentumBenchmarkOptions) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(options.batch, options.channels, options.size, options.size, generator=generator)


def _step(stage: MomentumSequence, features: Tensor) -> Tensor:
    """One forward and backward pass; the gradients of all parameters in one row."""
    stage.zero_grad()
    output = stage(features)
    (output * torch.sin(torch.arange(output.numel()).reshape(output.shape))).sum().backward()
    return torch.cat([value.grad.flatten() for value in stage.parameters() if value.grad is not None])


def _memory(seen: Mapping[tuple[str, int], _Seen], options: MomentumBenchmarkOptions) -> list[Measure]:
    first, last = options.blocks[0], options.blocks[-1]
    rows = []
    for way in WAYS:
        rows += [
            Measure(f"{way}: activations stored, {count} blocks", seen[way, count].stored / _MIB, "MiB")
            for count in options.blocks
        ]
        limit = _TARGET_GROWTH if way == REVERSIBLE else None
        growth = seen[way, last].stored / seen[way, first].stored
        rows.append(Measure(f"{way}: of {last} blocks by that of {first}", growth, "x", at_most=limit))
    return rows


def _times(seen: Mapping[tuple[str, int], _Seen], options: MomentumBenchmarkOptions) -> list[Measure]:
    """Processor time, which other programs on the machine change little."""
    rows = []
    for count in options.blocks:
        plain = seen[LOOP, count].seconds
        rows.append(Measure(f"a step by {LOOP}, {count} blocks, processor time", statistics.median(plain), "s"))
        for way in (REVERSIBLE, CHECKPOINT):
            pairs = zip(seen[way, count].seconds, plain, strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            limit = _TARGET_TIME if way == REVERSIBLE else None
            rows.append(Measure(f"{way} by {LOOP}: time of a step, {count} blocks", ratio, "x", at_most=limit))
    return rows


def _differences(seen: Mapping[tuple[str, int], _Seen], options: MomentumBenchmarkOptions) -> list[Measure]:
    rows = []
    for count in options.blocks:
        expected = seen[LOOP, count].gradients
        for way in (REVERSIBLE, CHECKPOINT):
            error = float((seen[way, count].gradients - expected).norm() / expected.norm())
            name = f"{way}: gradients differ from {LOOP}, {count} blocks"
            rows.append(Measure(name, error * _PER_MILLION, "ppm", at_most=_TARGET_GRADIENT))
    return rows


def _processes(options: MomentumBenchmarkOptions, peak: Callable[[Mapping[str, Any]], int | None]) -> list[Measure]:
    first, last = options.blocks[0], options.blocks[-1]
    rows = []
    for way in WAYS:
        few, many = (peak({"way": way, "count": count, "sizes": _sizes(options)}) for count in (first, last))
        more = None if few is None or many is None else (many - few) / _MIB
        name = f"{way}: a process needs more for {last} blocks than for {first}, weights included"
        rows.append(Measure(name, more, "MiB"))
    return rows


def _sizes(options: MomentumBenchmarkOptions) -> dict[str, Any]:
    sizes = asdict(options)
    return {name: sizes[name] for name in ("channels", "batch", "size", "momentum")}
