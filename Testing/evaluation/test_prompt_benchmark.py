"""The benchmark of prompts: its rows, on sizes that take no time."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from momentumseg.evaluation import prompt_benchmark
from momentumseg.evaluation.prompt_benchmark import PromptBenchmarkOptions, bench_prompts, memory_measure, tube


def test_the_tube_goes_through_all_slices() -> None:
    volume, box = tube(9, 64)
    assert volume.shape == (9, 64, 64)
    x, y = round((box.x0 + box.x1) / 2), round((box.y0 + box.y1) / 2)
    assert (volume.array[:, y, x] > 150).all()
    assert np.median(volume.array[:, 2, 2]) < 60


def test_every_figure_has_a_row_and_targets(prompt_fakes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class SmallNetwork(torch.nn.Module):
        embedding_size = 4

        def encode(self, images):
            return images

    monkeypatch.setattr(prompt_benchmark, "sam_vit_b", lambda size: SmallNetwork())
    monkeypatch.setattr(prompt_benchmark, "find_spec", lambda name: None)
    options = PromptBenchmarkOptions(slices=6, size=64, repeats=1, sam_size=32)
    steps: list[str] = []
    report = bench_prompts(prompt_fakes.PromptModel(), options, lambda name, part: steps.append(name))
    names = [measure.name for measure in report.measures]
    assert names == [
        "click to mask, slice encoded",
        "of it: decoder",
        "a slice that is not encoded: encoder first",
        "followed through 6 slices, nothing encoded",
        "followed through 6 slices, all encoded",
        "encoder of brightness at 64 px",
        "encoder of SAM ViT-B at 32 px",
        "brightness is cheaper",
    ]
    assert report.measures[0].target == "<= 250 ms"
    assert all(measure.value is not None and measure.value > 0 for measure in report.measures)
    assert steps == ["clicks", "following", "encoders", "independent implementation"]
    assert memory_measure(None).words == "not available"
    assert memory_measure(1 << 30).is_met
