"""Measurements that need a process of their own: memory, and the time of the first import.

The child runs this module with one JSON argument and answers with one JSON line.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from momentumseg.errors import MomentumSegError
from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure

_TARGET_IMPORT = 0.1
_IMPORT = """
import sys, time
start = time.perf_counter()
import momentumseg
print(time.perf_counter() - start, int("torch" in sys.modules))
"""


def measure_import(repeats: int = 3) -> list[Measure]:
    """Seconds of ``import momentumseg`` in a fresh interpreter, and whether it loaded torch."""
    answers = [_run([sys.executable, "-c", _IMPORT]).split() for _ in range(repeats)]
    seconds = statistics.median(float(seconds) for seconds, _ in answers)
    with_torch = max(int(loaded) for _, loaded in answers)
    return [
        Measure("import momentumseg", seconds, "s", at_most=_TARGET_IMPORT),
        Measure("import momentumseg loads torch", with_torch, "", at_most=0),
    ]


def measure_few_shot_memory(model: str | None, slices: int, size: int) -> Measure:
    """Peak memory of a process that segments a generated volume; ``model`` as in :func:`answer`."""
    from momentumseg.evaluation.benchmarks import memory_measure

    return memory_measure(ask({"task": "memory", "model": model, "slices": slices, "size": size})["peak"])


def bench_volume_apart(
    model: str | None, shape: tuple[int, int, int], budget_bytes: int, threads: int | None
) -> BenchmarkReport:
    """:func:`momentumseg.evaluation.benchmarks.bench_volume` in a process of its own."""
    question = {"task": "volume", "model": model, "shape": list(shape), "budget": budget_bytes, "threads": threads}
    found = ask(question)
    measures = [
        Measure(**{key: row[key] for key in ("name", "value", "unit", "at_most", "at_least", "note")})
        for row in found["measures"]
    ]
    return BenchmarkReport(found["title"], found["settings"], measures)


def measure_prompt_memory(model: str, slices: int, size: int) -> Measure:
    """Peak memory of a process that follows a structure through a generated volume."""
    from momentumseg.evaluation.prompt_benchmark import memory_measure

    return memory_measure(ask({"task": "prompt memory", "model": model, "slices": slices, "size": size})["peak"])


def momentum_peak(case: Mapping[str, Any]) -> int | None:
    """Peak memory of a process that takes one training step of a momentum stage."""
    peak: int | None = ask({"task": "momentum memory", **case})["peak"]
    return peak


def training_peak(recipe: Mapping[str, Any]) -> int | None:
    """Additional peak memory of a process that trains as a recipe says, for two steps."""
    peak: int | None = ask({"task": "training memory", "recipe": dict(recipe)})["peak"]
    return peak


def ask(question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a child process to a question.

    Raises:
        MomentumSegError: it failed; its own words.
    """
    answer: dict[str, Any] = json.loads(_run([sys.executable, "-m", __name__, json.dumps(dict(question))]))
    return answer


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What the child computes: a peak memory (few-shot, prompt, a training step with momentum) or the large volume.

    ``model`` is a name or file as for ``--model``; None is a network with random weights.
    """
    import torch

    from momentumseg.evaluation.benchmark_cases import random_model
    from momentumseg.evaluation.benchmarks import FewShotOptions, bench_volume, few_shot_peak_bytes
    from momentumseg.weights.loading import load_few_shot_model

    if question.get("threads"):
        torch.set_num_threads(int(question["threads"]))
    if question["task"] == "momentum memory":
        from momentumseg.evaluation.momentum_benchmark import momentum_peak_bytes

        return {"peak": momentum_peak_bytes(question["way"], question["count"], question["sizes"])}
    if question["task"] == "training memory":
        from momentumseg.evaluation.memory_benchmark import training_peak_bytes

        return {"peak": training_peak_bytes(question["recipe"])}
    if question["task"] == "prompt memory":
        from momentumseg.evaluation.prompt_benchmark import prompt_peak_bytes

        return {"peak": prompt_peak_bytes(question["model"], question["slices"], question["size"])}
    model = load_few_shot_model(question["model"]) if question["model"] else random_model()
    if question["task"] == "memory":
        options = FewShotOptions(slices=question["slices"], size=question["size"])
        return {"peak": few_shot_peak_bytes(model, options)}
    k, j, i = question["shape"]
    return bench_volume(model, (k, j, i), int(question["budget"])).to_mapping()


def _run(command: list[str]) -> str:
    package = Path(__file__).resolve().parents[2]
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MomentumSegError(f"A benchmark in a process of its own failed ({reason}); try a smaller one.")
    return result.stdout


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.loads(sys.argv[1]))) + "\n")
