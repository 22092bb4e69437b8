from __future__ import annotations

import pytest
import torch

from momentumseg.errors import WeightsError
from momentumseg.weights.key_report import select_tensors

NEEDED = {
    "conv1.weight": torch.zeros(2, 3),
    "layer1.0.conv1.weight": torch.zeros(4),
    "bn1.num_batches_tracked": torch.tensor(0),
}


def file_with(prefix: str = "", *extra: str) -> dict[str, torch.Tensor]:
    found = {prefix + name: torch.ones_like(value) for name, value in NEEDED.items()}
    return {**found, **{name: torch.ones(1) for name in extra}}


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone.", "image_encoder."])
def test_any_common_prefix_is_found(prefix: str) -> None:
    chosen, report = select_tensors(file_with(prefix, "classifier.weight"), NEEDED, "file")
    assert chosen.keys() == NEEDED.keys()
    assert (report.prefix, len(report.matched), report.unexpected) == (prefix, 2, ("classifier.weight",))
    assert report.complete
    report.require_complete("network")


def test_missing_tensor_is_counted_and_refused() -> None:
    tensors = file_with("backbone.")
    del tensors["backbone.conv1.weight"]
    _, report = select_tensors(tensors, NEEDED, "coco.pth")
    assert report.missing == ("conv1.weight",)
    with pytest.raises(WeightsError, match=r"coco\.pth .*1 of 2 tensors matched, 1 missing.*conv1\.weight"):
        report.require_complete("network")


def test_tensor_of_another_shape_is_counted_and_refused() -> None:
    _, report = select_tensors({**file_with(), "conv1.weight": torch.zeros(3, 2)}, NEEDED, "file")
    assert (report.wrong_shape, report.missing) == (("conv1.weight",), ())
    with pytest.raises(WeightsError, match="1 of another shape"):
        report.require_complete("network")


def test_file_of_another_network_matches_nothing() -> None:
    chosen, report = select_tensors({"blocks.0.weight": torch.ones(1)}, NEEDED, "file")
    assert (chosen, report.matched, len(report.missing)) == ({}, (), 2)


def test_old_files_without_batch_counters_are_complete() -> None:
    tensors = file_with()
    del tensors["bn1.num_batches_tracked"]
    chosen, report = select_tensors(tensors, NEEDED, "file")
    assert report.complete
    assert "bn1.num_batches_tracked" not in chosen


def test_own_format_refuses_what_is_too_much() -> None:
    _, report = select_tensors(file_with("", "head.extra"), NEEDED, "file")
    with pytest.raises(WeightsError, match=r"1 tensors .* \(for example head\.extra\)"):
        report.require_exact("network")


def test_summary_states_the_counts() -> None:
    _, report = select_tensors(file_with("backbone.", "fc.bias"), NEEDED, "file")
    assert report.summary() == (
        "file: 2 tensors matched under 'backbone.', 0 missing, 0 of another shape, 1 not needed"
    )
