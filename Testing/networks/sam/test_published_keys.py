"""Freshly built networks have exactly the tensors of the published files, so that these load strictly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from momentumseg.networks.sam.sam import lite_medsam, mobile_sam, sam_vit_b

FIXTURES = Path(__file__).resolve().parents[2] / "Fixtures"
CLASSIFIER = {f"image_encoder.{name}" for name in ("norm_head.weight", "norm_head.bias", "head.weight", "head.bias")}


def published(file: str) -> dict[str, str]:
    lines = (FIXTURES / file).read_text().splitlines()
    return dict(tuple(line.split("\t")) for line in lines)


def tensors_of(build: Callable[[], nn.Module]) -> dict[str, str]:
    with torch.device("meta"):
        network = build()
    return {name: str(tuple(value.shape)) for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("build", "file", "unused"),
    [
        (sam_vit_b, "sam_vit_b_keys.txt", set()),
        (lite_medsam, "lite_medsam_keys.txt", set()),
        (mobile_sam, "mobile_sam_keys.txt", CLASSIFIER),
    ],
)
def test_names_and_shapes_are_those_of_the_file(build: Callable[[], nn.Module], file: str, unused: set[str]) -> None:
    expected = published(file)
    assert unused <= set(expected)
    assert tensors_of(build) == {name: shape for name, shape in expected.items() if name not in unused}


def test_sam_keeps_the_tables_of_the_file_at_other_sizes() -> None:
    assert tensors_of(lambda: sam_vit_b(512)) == published("sam_vit_b_keys.txt")


def test_lvm_med_encoder_is_sams_without_absolute_positions() -> None:
    encoder = tensors_of(lambda: sam_vit_b(absolute_positions=False).image_encoder)
    expected = {
        name.removeprefix("image_encoder."): shape
        for name, shape in published("sam_vit_b_keys.txt").items()
        if name.startswith("image_encoder.") and not name.endswith("pos_embed")
    }
    assert len(encoder) == 176
    assert encoder == expected
