"""The structure of benchmarks, with tiny sizes. No test asserts a time: machines are busy."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from momentumseg.errors import InputError, MomentumSegError
from momentumseg.evaluation import benchmark_processes
from momentumseg.evaluation.benchmark_cases import BenchmarkModel, large_case, phantom_case, random_model
from momentumseg.evaluation.benchmark_report import BenchmarkReport, Measure
from momentumseg.evaluation.benchmarks import FewShotOptions, bench_few_shot, bench_volume
from momentumseg.evaluation.process_memory import peak_memory_bytes
from momentumseg.evaluation.training_benchmark import bench_training, laptop_recipes

_TINY = {
    "network": {"backbone": {"name": "tiny"}, "head": {"name": "lms", "stages": 1, "regions": 4}},
    "data": {"size": 64},
}


@pytest.fixture
def a_tiny_model() -> BenchmarkModel:
    return random_model(overrides=_TINY)


def test_few_shot_benchmark_measures_what_a_user_waits_for(a_tiny_model: BenchmarkModel) -> None:
    options = FewShotOptions(slices=10, size=64, repeats=1, supports=4, labels=(1, 2), backbones=("tiny", "tiny"))
    seen: list[float] = []

    report = bench_few_shot(a_tiny_model, options, lambda name, part: seen.append(part))

    by_name = {measure.name: measure for measure in report.measures}
    assert by_name["cold: volume set, one slice drawn, mask"].target == "<= 1.5 s"
    assert by_name["cached: slice drawn again, mask"].target == "<= 0.4 s"
    assert by_name["4 drawn slices instead of one, cached"].target == "<= 1.15 x"
    assert {"1 label, cached", "2 labels, cached", "tiny is cheaper"} <= by_name.keys()
    parts = [measure for name, measure in by_name.items() if name.startswith("of it: encoder")]
    assert 0 < parts[0].value < by_name["cold: volume set, one slice drawn, mask"].value
    assert all(measure.value is not None and np.isfinite(measure.value) for measure in report.measures)
    assert report.settings["volume"] == "64x64x10"
    assert seen == sorted(seen)


def test_volume_benchmark_reports_memory(a_tiny_model: BenchmarkModel) -> None:
    report = bench_volume(a_tiny_model, (12, 40, 48), budget_bytes=1)

    by_name = {measure.name: measure.value for measure in report.measures}
    assert by_name["memory: voxels of the volume itself"] == pytest.approx(12 * 40 * 48 * 2 / 2**20)
    assert by_name["of it: volume read through and identified"] <= by_name["cold: volume set, one slice drawn, mask"]
    assert report.settings["volume"] == "48x40x12"


def test_training_benchmark_times_every_recipe() -> None:
    overrides = ['network.backbone={name = "tiny"}', "weights={}", "data.phantoms=1"]

    report = bench_training(["prototype-laptop"], 1, overrides)

    assert [measure.name for measure in report.measures] == ["prototype-laptop: iterations a second"]
    assert report.measures[0].value > 0


def test_laptop_recipes_are_those_with_a_head() -> None:
    names = laptop_recipes()

    assert {"lms-laptop", "flms-laptop", "prototype-laptop", "regional-laptop"} <= set(names)
    assert "few-shot-laptop" not in names


def test_phantom_case_has_labels_by_size_and_something_to_draw_everywhere() -> None:
    case = phantom_case(8, 64)

    counts = np.bincount(np.stack(list(case.regions.values())).ravel())[1:]
    assert (np.diff(counts) <= 0).all()
    assert case.volume.array.dtype == np.int16
    assert all(case.drawn(1, index).any() for index in range(8))


def test_large_case_has_one_organ_and_refuses_a_shape_without_room() -> None:
    case = large_case((10, 32, 40))

    assert case.volume.shape == (10, 32, 40)
    assert set(case.regions) == {3, 4, 5, 6, 7}
    assert set(np.unique(case.regions[5])) == {0, 1}
    with pytest.raises(InputError, match="too small"):
        large_case((1, 32, 32))


def test_peak_memory_grows_with_what_is_used() -> None:
    before = peak_memory_bytes()
    if before is None:
        pytest.skip("this system does not tell")

    block = np.ones(64 << 20, dtype=np.uint8)

    assert peak_memory_bytes() >= before
    assert peak_memory_bytes() > block.nbytes


@pytest.mark.parametrize(
    ("measure", "target", "is_met", "words"),
    [
        (Measure("time", 0.25, "s", at_most=0.4), "<= 0.4 s", True, "0.250 s"),
        (Measure("time", 0.5, "s", at_most=0.4), "<= 0.4 s", False, "0.500 s"),
        (Measure("ratio", 60.0, "x", at_least=50), ">= 50 x", True, "60.000 x"),
        (Measure("ratio", 40.0, "x", at_least=50), ">= 50 x", False, "40.000 x"),
        (Measure("memory", None, "MiB", at_most=10), "<= 10 MiB", None, "not available"),
        (Measure("time", 123.44, "ms"), "", None, "123.4 ms"),
        (Measure("loads torch", 0, "", at_most=0), "<= 0", True, "no"),
        (Measure("loads torch", 1, "", at_most=0), "<= 0", False, "yes"),
    ],
)
def test_measure_tells_its_target_and_whether_it_is_met(
    measure: Measure, target: str, is_met: bool | None, words: str
) -> None:
    assert (measure.target, measure.is_met, measure.words) == (target, is_met, words)


def test_report_is_json_and_a_table_with_its_command() -> None:
    report = BenchmarkReport("Title", {"threads": 2}, [Measure("cold", 1.0, "s", at_most=1.5)], "momentumseg bench")

    mapping = json.loads(json.dumps(report.to_mapping()))
    assert mapping["measures"][0]["is_met"] is True
    assert mapping["settings"] == {"threads": 2}
    assert "| cold | 1.000 s | <= 1.5 s | met |" in report.to_markdown()
    assert "`momentumseg bench`" in report.to_markdown()


def test_import_is_measured_in_a_fresh_interpreter_and_loads_no_torch() -> None:
    seconds, torch = benchmark_processes.measure_import(1)

    assert seconds.value > 0
    assert torch.value == 0


def test_child_answers_what_it_is_asked(monkeypatch: pytest.MonkeyPatch, a_tiny_model: BenchmarkModel) -> None:
    monkeypatch.setattr("momentumseg.evaluation.benchmark_cases.random_model", lambda: a_tiny_model)

    memory = benchmark_processes.answer({"task": "memory", "model": None, "slices": 8, "size": 64})
    volume = benchmark_processes.answer({"task": "volume", "model": None, "shape": [8, 32, 40], "budget": 1 << 20})

    assert memory["peak"] is None or memory["peak"] > 0
    assert volume["settings"]["volume"] == "40x32x8"
    json.dumps([memory, volume])


def test_child_that_fails_is_reported_in_its_own_words() -> None:
    with pytest.raises(MomentumSegError, match="ValueError: too much"):
        benchmark_processes._run([sys.executable, "-c", "raise ValueError('too much')"])
