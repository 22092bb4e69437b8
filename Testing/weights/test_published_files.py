"""The real files of the package registry: they load completely and compute what they computed for their authors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from momentumseg.errors import WeightsError
from momentumseg.networks.registry import build_backbone
from momentumseg.weights.loading import load_backbone_weights
from momentumseg.weights.reading import read_tensors

FIXTURES = Path(__file__).resolve().parents[1] / "Fixtures"
GOLDEN_CENTRE = [-0.002451, -0.074754, -0.040386, -0.075556]
GOLDEN_CORNER = [0.011805, -0.057865, -0.016435, -0.068337]

PublishedWeights = Callable[[str], Path]


@pytest.mark.parametrize(("size", "matched"), [(0, 165), (1, 225), (2, 225)])
def test_imagenet_files_fill_the_pyramid(published_weights: PublishedWeights, size: int, matched: int) -> None:
    backbone = build_backbone({"name": f"efficientnet_lite{size}"})
    report = load_backbone_weights(backbone, published_weights(f"efficientnet-lite{size}"))
    assert (len(report.matched), report.missing, report.wrong_shape, report.prefix) == (matched, (), (), "")


@pytest.mark.parametrize("size", [0, 1, 2])
def test_imagenet_files_hold_the_recorded_tensors(published_weights: PublishedWeights, size: int) -> None:
    tensors = read_tensors(published_weights(f"efficientnet-lite{size}"))
    recorded = (FIXTURES / f"efficientnet_lite{size}_keys.txt").read_text().splitlines()
    assert [f"{name}\t{tuple(value.shape)}" for name, value in tensors.items()] == recorded


@pytest.mark.parametrize(("built", "file"), [(0, 1), (1, 2)])
def test_file_of_another_size_is_refused(published_weights: PublishedWeights, built: int, file: int) -> None:
    backbone = build_backbone({"name": f"efficientnet_lite{built}"})
    before = [value.clone() for value in backbone.state_dict().values()]
    with pytest.raises(WeightsError, match="of another shape"):
        load_backbone_weights(backbone, published_weights(f"efficientnet-lite{file}"))
    assert all(torch.equal(a, b) for a, b in zip(backbone.state_dict().values(), before, strict=True))


def test_lite_medsam_file_fills_the_encoder(published_weights: PublishedWeights) -> None:
    backbone = build_backbone({"name": "tiny_vit_litemedsam"})
    report = load_backbone_weights(backbone, published_weights("lite-medsam"))
    assert (report.prefix, report.missing, len(report.unexpected)) == ("image_encoder.", (), 137)


def test_lite_medsam_embedding_equals_that_of_its_authors_program(published_weights: PublishedWeights) -> None:
    """Values printed once by the package's own encoder (version 0.1.1) for the same image."""
    backbone = build_backbone({"name": "tiny_vit_litemedsam"}).eval()
    load_backbone_weights(backbone, published_weights("lite-medsam"))
    with torch.no_grad():
        embedding = backbone.encoder(a_synthetic_image())[0]
    centre, corner = torch.tensor(GOLDEN_CENTRE), torch.tensor(GOLDEN_CORNER)
    torch.testing.assert_close(embedding[:4, 32, 25], centre, atol=2e-4, rtol=0)
    torch.testing.assert_close(embedding[:4, 0, 63], corner, atol=2e-4, rtol=0)


def a_synthetic_image() -> Tensor:
    """A bright disc on waves, 0 to 1, ``(1, 3, 256, 256)``."""
    row, column = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    image = torch.sin(row / 11) * torch.cos(column / 7) + ((row - 128) ** 2 + (column - 100) ** 2 < 2500)
    image = (image - image.min()) / (image.max() - image.min())
    return image.expand(1, 3, -1, -1)
