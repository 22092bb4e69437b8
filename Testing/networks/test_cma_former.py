from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.networks.blocks.token_attention import (
    CrossScaleAttention,
    DecoderLayer,
    EncoderLayer,
    RelativePosition,
    TokenAttention,
)
from momentumseg.networks.cma_former import CmaFormer


def _tokens(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 64)])
@pytest.mark.parametrize("options", [{}, {"gate": "qkv"}, {"relative_position": True}])
def test_any_size_that_32_divides(size: tuple[int, int], options: dict[str, object]) -> None:
    """Trap: the published code works at 512 pixels and fails at 256."""
    torch.manual_seed(0)
    network = CmaFormer(1, 3, width=4, layers=1, **options).eval()
    with torch.no_grad():
        assert network(_tokens(1, 1, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("options", [{}, {"gate": "qkv"}, {"relative_position": True}])
def test_an_image_s_result_does_not_depend_on_its_neighbours_in_the_batch(options: dict[str, object]) -> None:
    """Trap: attention across the batch."""
    torch.manual_seed(0)
    network = CmaFormer(1, 2, width=4, layers=2, **options).eval()
    images = _tokens(3, 1, 64, 64)
    with torch.no_grad():
        alone = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(network(images), alone, rtol=1e-4, atol=1e-5)


def test_places_of_an_image_see_each_other() -> None:
    """Trap: with one image in the batch, the published attention is the identity on its values."""
    torch.manual_seed(0)
    attention, tokens = TokenAttention(8, 2), _tokens(1, 2, 3, 8)
    tokens.requires_grad_()
    gradient = torch.autograd.grad(attention(tokens, tokens)[0, 0, 0].sum(), tokens)[0]
    assert bool(gradient.abs().sum(dim=-1).min() > 0)


def test_attention_is_the_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = TokenAttention(6, 2, sources=4)
    tokens, sources = _tokens(1, 2, 2, 6), _tokens(1, 1, 3, 4)
    query = attention.query(tokens).reshape(4, 6)
    key, value = attention.key_value(sources).reshape(3, 12).split(6, dim=1)
    mixed = []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        weights = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(3), dim=1)
        mixed.append(weights @ value[:, part])
    expected = attention.project(torch.cat(mixed, dim=1)).reshape(1, 2, 2, 6)
    torch.testing.assert_close(attention(tokens, sources), expected)


@pytest.mark.parametrize("layer", [EncoderLayer(8, 2), DecoderLayer(8, 2)])
def test_tokens_keep_their_places(layer: torch.nn.Module) -> None:
    """Trap: (B, N, C) read as (B, C, H, W). Without positions, exchanged places exchange the result, nothing else."""
    tokens = _tokens(2, 3, 4, 8)
    moved = tokens.roll((1, 2), dims=(1, 2))
    arguments = (lambda value: (value,)) if isinstance(layer, EncoderLayer) else (lambda value: (value, tokens))
    with torch.no_grad():
        found = layer(*arguments(moved))
        torch.testing.assert_close(found, layer(*arguments(tokens)).roll((1, 2), dims=(1, 2)), rtol=1e-4, atol=1e-5)


def test_the_encoder_layer_adds_the_normalised_query() -> None:
    """Paper: layer norm on the query, which is also what is added; keys and values are x itself."""
    torch.manual_seed(0)
    layer, tokens = EncoderLayer(8, 2), _tokens(1, 2, 2, 8)
    query = functional.layer_norm(tokens, (8,))
    hidden = layer.attention(query, tokens) + query
    expected = hidden + layer.mlp(functional.layer_norm(hidden, (8,)))
    torch.testing.assert_close(layer(tokens), expected)


def test_relative_positions_start_without_effect() -> None:
    torch.manual_seed(0)
    plain = CmaFormer(1, 2, width=4, layers=1).eval()
    placed = CmaFormer(1, 2, width=4, layers=1, relative_position=True).eval()
    missing, unexpected = placed.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.endswith("position.table") for name in missing)
    with torch.no_grad():
        torch.testing.assert_close(placed(_tokens(1, 1, 64, 64)), plain(_tokens(1, 1, 64, 64)), rtol=1e-4, atol=1e-5)


def test_relative_positions_depend_on_the_distance_alone() -> None:
    position = RelativePosition(2)
    torch.nn.init.normal_(position.table)
    bias = position(3, 4).reshape(2, 3, 4, 3, 4)
    torch.testing.assert_close(bias[:, 0, 0, 1, 2], bias[:, 1, 1, 2, 3])
    assert not torch.allclose(bias[:, 0, 0, 1, 2], bias[:, 1, 2, 0, 0])
    torch.testing.assert_close(position(16, 16)[:, 0, 0], position.table[:, 15, 15])


def test_cross_scale_attention_looks_at_a_coarse_grid_of_the_skip() -> None:
    torch.manual_seed(0)
    attention = CrossScaleAttention(8, 4, 2)
    features, skip = _tokens(1, 8, 40, 40), _tokens(1, 4, 40, 40)
    pooled = functional.adaptive_avg_pool2d(skip, (16, 16))
    with torch.no_grad():
        torch.testing.assert_close(attention(features, skip), attention(features, pooled))
