"""How fast few-shot segmentation is: what a user waits for, in one run, so that ratios mean something."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from momentumseg.evaluation.benchmark_cases import BenchmarkCase, large_case, phantom_case
from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.evaluation.process_memory import peak_memory_bytes
from momentumseg.networks.registry import build_backbone
from momentumseg.sessions.few_shot import FewShotModel, FewShotSession

Progress = Callable[[str, float], None]
"""Receives (what is being measured, fraction of all done)."""

_MIB = 1 << 20
_TARGET_COLD, _TARGET_CACHED, _TARGET_SUPPORTS, _TARGET_ENCODER = 1.5, 0.4, 1.15, 50.0
_TARGET_MEMORY_MIB, _TARGET_LARGE = 1.2 * 1024, 60.0


@dataclass(frozen=True)
class FewShotOptions:
    """Size of the few-shot benchmark.

    Attributes:
        slices, size: of the generated volume.
        repeats: measurements of which the median is reported.
        supports: number of drawn slices that is compared with one.
        labels: numbers of labels to measure.
        backbones: (fast, slow): their times for a slice are compared.
    """

    slices: int = 40
    size: int = 256
    repeats: int = 5
    supports: int = 10
    labels: tuple[int, ...] = (1, 2, 4)
    backbones: tuple[str, str] = ("efficientnet_lite0", "resnet101_d4")


def bench_few_shot(
    model: FewShotModel, options: FewShotOptions | None = None, progress: Progress | None = None
) -> BenchmarkReport:
    """Cold, cached, many supports, several labels, where the time goes, and the encoders' ratio.

    Args:
        model: network and recipe; its weights have no influence on the times.
        options: sizes.
        progress: see :data:`Progress`.
    """
    options, report = options or FewShotOptions(), progress or _ignore
    case = phantom_case(options.slices, options.size)
    steps: list[tuple[str, Callable[[], list[Measure]]]] = [
        ("cold and cached", lambda: _cold_and_cached(model, case, options)),
        ("many supports", lambda: _many_supports(model, case, options)),
        ("several labels", lambda: _several_labels(model, case, options)),
        ("encoders", lambda: compare_encoders(options.backbones, options.size, options.repeats)),
    ]
    measures = []
    for index, (name, step) in enumerate(steps):
        report(name, index / len(steps))
        measures += step()
    sizes = f"{options.size}x{options.size}x{options.slices}"
    settings = {**_settings(), "volume": sizes, "weights": model.sha256[:24]}
    return BenchmarkReport("Few-shot segmentation, slices drawn to mask", settings, measures)


def bench_volume(
    model: FewShotModel, shape: tuple[int, int, int], budget_bytes: int, progress: Progress | None = None
) -> BenchmarkReport:
    """A large generated CT ``shape`` (K, J, I), cold, with bounded memory. To be run in a fresh process.

    Raises:
        InputError: a shape that is too small.
    """
    report = progress or _ignore
    report("making the volume", 0.0)
    case = large_case(shape)
    middle = shape[0] // 2
    before = peak_memory_bytes()
    with FewShotSession(model, cache_budget_bytes=budget_bytes) as session:
        start = time.perf_counter()
        session.set_volume(case.volume)
        set_seconds = time.perf_counter() - start
        session.add_support(case.drawn(1, middle), middle)
        session.segment(progress=lambda done, total: report("segmenting", done / total))
        cold = time.perf_counter() - start
        start = time.perf_counter()
        session.add_support(case.drawn(1, middle + 2), middle + 2)
        session.segment()
        again = time.perf_counter() - start
    peak = peak_memory_bytes()
    volume_mib = case.volume.array.nbytes / _MIB
    measures = [
        Measure("cold: volume set, one slice drawn, mask", cold, "s", at_most=_TARGET_LARGE),
        Measure("of it: volume read through and identified", set_seconds, "s"),
        Measure("another slice drawn, mask", again, "s"),
        Measure("memory: voxels of the volume itself", volume_mib, "MiB"),
        Measure("memory: before the session", _mebibytes(before), "MiB"),
        Measure("memory: at most", _mebibytes(peak), "MiB", note="with the volume and its mask"),
    ]
    sizes = "x".join(str(count) for count in shape[::-1])
    settings = {**_settings(), "volume": sizes, "feature budget": f"{budget_bytes / _MIB:.0f} MiB"}
    return BenchmarkReport("A large volume from one drawn slice", settings, measures)


def few_shot_peak_bytes(model: FewShotModel, options: FewShotOptions) -> int | None:
    """Largest memory of this process after a few-shot segmentation. To be run in a fresh process."""
    case = phantom_case(options.slices, options.size)
    with FewShotSession(model) as session:
        session.set_volume(case.volume)
        session.add_support(case.drawn(1, options.slices // 2), options.slices // 2)
        session.segment()
    return peak_memory_bytes()


def compare_encoders(names: Sequence[str], size: int, repeats: int) -> list[Measure]:
    """Milliseconds a slice of two encoders with random weights, and their ratio; the second runs once."""
    image = torch.rand(1, 3, size, size).to(memory_format=torch.channels_last)
    seconds = []
    for name, count in zip(names, (max(repeats, 3), 1), strict=True):
        backbone: Any = build_backbone({"name": name}).eval()  # torch does not type memory formats of modules
        backbone.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            if count > 1:
                backbone(image)  # the first call also sets up memory
            seconds.append(_median_seconds(partial(backbone, image), count))
        del backbone
    fast, slow = seconds
    return [
        Measure(f"encoder {names[0]}, a slice", 1000 * fast, "ms"),
        Measure(f"encoder {names[1]}, a slice", 1000 * slow, "ms"),
        Measure(f"{names[0]} is cheaper", slow / fast, "x", at_least=_TARGET_ENCODER),
    ]


def _cold_and_cached(model: FewShotModel, case: BenchmarkCase, options: FewShotOptions) -> list[Measure]:
    """Cold twice, the better one: a user's first session in a process also pays for libraries that load lazily."""
    middle = len(case.regions) // 2
    cold, encoding = [], []
    for _ in range(2):
        with FewShotSession(model) as session, _timed(model.network.backbone) as backbone:
            cold.append(_seconds(partial(_segment_cold, session, case, middle)))
            encoding.append(backbone.seconds)
    with FewShotSession(model) as session:
        _segment_cold(session, case, middle)
        with _timed(model.network.head) as head:
            plain = _redrawn(session, case, [middle], options.repeats, consistency=False)
        cached = _redrawn(session, case, [middle], options.repeats)
    heads = head.seconds / options.repeats
    return [
        Measure("cold: volume set, one slice drawn, mask", min(cold), "s", at_most=_TARGET_COLD),
        Measure("of it: encoder", min(encoding), "s"),
        Measure("cached: slice drawn again, mask", cached, "s", at_most=_TARGET_CACHED),
        Measure("of it: heads of the network", heads, "s"),
        Measure("of it: consistency through slices and edges", cached - plain, "s"),
        Measure("of it: prototypes, back to voxels", plain - heads, "s"),
    ]


def _many_supports(model: FewShotModel, case: BenchmarkCase, options: FewShotOptions) -> list[Measure]:
    """All supports drawn again each time: nothing about them is remembered. One and many alternate."""
    count = len(case.regions)
    many = sorted({int(s) for s in np.linspace(0, count - 1, options.supports)})
    with FewShotSession(model) as one, FewShotSession(model) as several:
        for session in (one, several):
            _segment_cold(session, case, count // 2)
        several.clear_supports()
        ratios = []
        for _ in range(options.repeats):
            single = _redrawn(one, case, [count // 2], 1)
            ratios.append(_redrawn(several, case, many, 1) / single)
    name = f"{len(many)} drawn slices instead of one, cached"
    return [Measure(name, statistics.median(ratios), "x", at_most=_TARGET_SUPPORTS)]


def _several_labels(model: FewShotModel, case: BenchmarkCase, options: FewShotOptions) -> list[Measure]:
    middle, measures = len(case.regions) // 2, []
    with FewShotSession(model) as session:
        session.set_volume(case.volume)
        session.encode()
        for count in options.labels:
            seconds = _redrawn(session, case, [middle], options.repeats, labels=range(1, count + 1))
            measures.append(Measure(f"{count} label{'s' if count > 1 else ''}, cached", seconds, "s"))
    return measures


def _segment_cold(session: FewShotSession, case: BenchmarkCase, slice_index: int) -> None:
    session.set_volume(case.volume)
    session.add_support(case.drawn(1, slice_index), slice_index)
    session.segment()


def _redrawn(
    session: FewShotSession,
    case: BenchmarkCase,
    slices: Sequence[int],
    repeats: int,
    labels: Sequence[int] = (1,),
    consistency: bool | None = None,
) -> float:
    """Median seconds from freshly drawn slices to the mask."""

    def draw_and_segment() -> None:
        for index in slices:
            for label in labels:
                session.add_support(case.drawn(label, index), index, label=label)
        session.segment(consistency=consistency)

    return _median_seconds(draw_and_segment, repeats)


@dataclass
class _Timed:
    """Seconds spent in the forward passes of a module."""

    seconds: float = 0.0
    started: float = 0.0

    def start(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def stop(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self.started


@contextmanager
def _timed(module: nn.Module) -> Iterator[_Timed]:
    watch = _Timed()
    hooks = [module.register_forward_pre_hook(watch.start), module.register_forward_hook(watch.stop)]
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _median_seconds(action: Callable[[], object], repeats: int) -> float:
    return statistics.median(_seconds(action) for _ in range(repeats))


def _mebibytes(count: int | None) -> float | None:
    return None if count is None else count / _MIB


def memory_measure(peak: int | None) -> Measure:
    """The row of :func:`few_shot_peak_bytes`."""
    return Measure("memory: at most, in a process of its own", _mebibytes(peak), "MiB", at_most=_TARGET_MEMORY_MIB)


def _settings() -> dict[str, Any]:
    return {"device": "cpu", "threads": torch.get_num_threads()}


def _ignore(name: str, fraction: float) -> None:
    return
