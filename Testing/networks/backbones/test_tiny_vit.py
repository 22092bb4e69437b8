from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.backbones.tiny_vit import (
    TinyVitBackbone,
    TinyVitEncoder,
    WindowAttention,
    join_windows,
    split_windows,
)
from momentumseg.networks.registry import build_backbone

FIXTURES = Path(__file__).resolve().parents[2] / "Fixtures"
UNUSED_IN_MOBILE_SAM = {"norm_head.weight", "norm_head.bias", "head.weight", "head.bias"}


@pytest.fixture(scope="module")
def a_backbone() -> TinyVitBackbone:
    torch.manual_seed(0)
    return build_backbone({"name": "tiny_vit_litemedsam", "channels": 8, "image_size": 32}).eval()


def published_shapes(file: str) -> dict[str, tuple[int, ...]]:
    lines = (FIXTURES / file).read_text().splitlines()
    names_and_shapes = (line.split("\t") for line in lines)
    return {
        name.removeprefix("image_encoder."): tuple(int(length) for length in shape.strip("()").split(",") if length)
        for name, shape in names_and_shapes
    }


@pytest.mark.parametrize(
    ("patch_stride", "file", "unused"),
    [
        (1, "lite_medsam_image_encoder_keys.txt", set()),
        (2, "mobile_sam_image_encoder_keys.txt", UNUSED_IN_MOBILE_SAM),
    ],
)
def test_names_and_shapes_are_those_of_the_published_file(patch_stride: int, file: str, unused: set[str]) -> None:
    with torch.device("meta"):
        encoder = TinyVitEncoder(patch_stride=patch_stride)
    published = published_shapes(file)
    assert unused <= set(published)
    assert {name: tuple(value.shape) for name, value in encoder.state_dict().items()} == {
        name: shape for name, shape in published.items() if name not in unused
    }


@pytest.mark.parametrize(("patch_stride", "stride", "published_size"), [(1, 4, 256), (2, 16, 1024)])
def test_both_published_variants_embed_at_64_by_64(patch_stride: int, stride: int, published_size: int) -> None:
    encoder = TinyVitEncoder(32, patch_stride)
    with torch.no_grad():
        assert encoder(torch.rand(1, 3, 32, 32)).shape == (1, 256, 32 // stride, 32 // stride)
    assert published_size // encoder.stride == 64


def test_as_a_backbone_it_projects_to_the_asked_channels(a_backbone: TinyVitBackbone) -> None:
    with torch.no_grad():
        assert a_backbone(torch.rand(1, 3, 32, 32)).shape == (1, 8, 8, 8)
    assert (a_backbone.out_channels, a_backbone.stride) == (8, 4)


def test_intensity_scale_and_batch_neighbours_do_not_matter(a_backbone: TinyVitBackbone) -> None:
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        together = a_backbone(images)
        alone = a_backbone(images[:1] * 300 - 50)
    torch.testing.assert_close(together[:1], alone, atol=2e-4, rtol=1e-3)


def test_constant_image_gives_finite_features(a_backbone: TinyVitBackbone) -> None:
    with torch.no_grad():
        assert a_backbone(torch.full((1, 3, 32, 32), 7.0)).isfinite().all()


def test_frozen_encoder_keeps_weights_and_statistics_in_training() -> None:
    backbone = TinyVitBackbone(channels=4, image_size=32).train()
    assert backbone.projection.training
    assert not any(module.training for module in backbone.encoder.modules())
    backbone(torch.rand(1, 3, 32, 32)).sum().backward()
    assert {name for name, parameter in backbone.named_parameters() if parameter.grad is not None} == {
        "projection.weight",
        "projection.bias",
    }
    assert backbone.trunk_parameters() == []


def test_encoder_can_be_trained_on_request() -> None:
    backbone = TinyVitBackbone(channels=4, frozen=False, image_size=32).train()
    assert backbone.encoder.training
    assert len(backbone.trunk_parameters()) == len(list(backbone.encoder.parameters()))
    assert all(parameter.requires_grad for parameter in backbone.trunk_parameters())


@pytest.mark.parametrize(("height", "width", "window"), [(8, 8, 4), (7, 9, 4), (3, 3, 7), (14, 7, 7)])
def test_windows_join_to_the_grid_they_were_cut_from(height: int, width: int, window: int) -> None:
    grid = torch.rand(2, height, width, 3)
    windows, padded = split_windows(grid, window)
    assert windows.shape[1:] == (window * window, 3)
    assert torch.equal(join_windows(windows, padded, window)[:, :height, :width], grid)


def test_window_holds_neighbouring_cells() -> None:
    grid = torch.arange(16.0).view(1, 4, 4, 1)
    windows, _ = split_windows(grid, 2)
    assert windows[:, :, 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_attention_equals_its_definition_cell_by_cell() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(channels=8, heads=2, window=3)
    nn.init.normal_(attention.attention_biases)
    cells = torch.rand(2, 9, 8)
    torch.testing.assert_close(attention(cells), naive_attention(attention, cells, window=3), atol=1e-6, rtol=1e-5)


def test_images_of_another_size_are_refused_in_words() -> None:
    with pytest.raises(InputError, match="16x16 px; this variant needs 32 px"):
        TinyVitEncoder(32)(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("image_size", "patch_stride", "words"),
    [(250, 1, "250 px; choose a multiple of 4"), (0, 1, "0 px"), (256, 3, "patch stride 3; choose 1 or 2")],
)
def test_impossible_variants_are_refused_in_words(image_size: int, patch_stride: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TinyVitEncoder(image_size, patch_stride)


def naive_attention(attention: WindowAttention, cells: Tensor, window: int) -> Tensor:
    """Head by head, cell by cell; biases are numbered by distance in the order in which a double loop meets them."""
    positions = [(row, column) for row in range(window) for column in range(window)]
    numbers: dict[tuple[int, int], int] = {}
    for one in positions:
        for other in positions:
            numbers.setdefault((abs(one[0] - other[0]), abs(one[1] - other[1])), len(numbers))
    size = cells.shape[-1] // attention.heads
    rows = attention.qkv(attention.norm(cells))
    result = torch.zeros_like(cells)
    for head in range(attention.heads):
        query, key, value = rows[..., head * 3 * size : (head + 1) * 3 * size].split(size, dim=-1)
        for index, one in enumerate(positions):
            logits = (key @ query[:, index, :, None]).squeeze(-1) / size**0.5
            distances = [numbers[abs(one[0] - other[0]), abs(one[1] - other[1])] for other in positions]
            weights = (logits + attention.attention_biases[head, distances]).softmax(dim=-1)
            result[:, index, head * size : (head + 1) * size] = (weights[..., None] * value).sum(dim=1)
    return attention.proj(result)
