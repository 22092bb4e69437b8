"""Attention over the places of a feature map; tokens are ``(B, h, w, C)`` and never leave their places.

Source: CMAformer (Zheng et al., 2024), section "Transformer block": layer norm on the query alone, which is also what
is added back.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError

_TABLE = 31  # distances -15 .. 15: the map of a 512 px image at stride 32; others are interpolated
_LARGEST_GRID = 16
_HIDDEN = 4


class RelativePosition(nn.Module):
    """A bias for each head and distance of two places, zero at the start; the table is interpolated for other sizes."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(heads, _TABLE, _TABLE))

    def forward(self, rows: int, columns: int) -> Tensor:
        """``(heads, N, N)`` for the N = rows * columns places."""
        size = (2 * rows - 1, 2 * columns - 1)
        table = functional.interpolate(self.table[None], size=size, mode="bilinear", align_corners=True)[0]
        vertical, horizontal = (_distances(length, table.device) for length in (rows, columns))
        index = vertical[:, None, :, None] * size[1] + horizontal[None, :, None, :]
        return table.flatten(1)[:, index.reshape(rows * columns, rows * columns)]


class TokenAttention(nn.Module):
    """Multi-head attention of places on places.

    Args:
        channels: C of queries and result.
        heads: must divide the channels.
        sources: channels of what is attended to; default C.
        relative_position: add :class:`RelativePosition`; both maps must then have one size.
    """

    def __init__(self, channels: int, heads: int, sources: int | None = None, relative_position: bool = False) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise InputError(f"{channels} channels cannot be shared among {heads} attention heads; choose a divisor.")
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(sources or channels, 2 * channels)
        self.project = nn.Linear(channels, channels)
        self.position = RelativePosition(heads) if relative_position else None

    def forward(self, tokens: Tensor, sources: Tensor) -> Tensor:
        """``(B, h, w, C)`` for tokens ``(B, h, w, C)`` and sources ``(B, h', w', C')``."""
        query = self._by_head(self.query(tokens))
        key, value = (self._by_head(part) for part in self.key_value(sources).chunk(2, dim=-1))
        bias = None if self.position is None else self.position(*tokens.shape[1:3]).to(query.dtype)[None]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return cast(Tensor, self.project(mixed.transpose(1, 2).reshape(tokens.shape)))

    def _by_head(self, tokens: Tensor) -> Tensor:
        return tokens.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """q = LN(x); y = attention(q, x) + q; y + MLP(LN(y))."""

    def __init__(self, channels: int, heads: int, relative_position: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = TokenAttention(channels, heads, relative_position=relative_position)
        self.mlp = _mlp(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        query = self.norm1(tokens)
        tokens = self.attention(query, tokens) + query
        return cast(Tensor, tokens + self.mlp(self.norm2(tokens)))


class DecoderLayer(nn.Module):
    """y = LN(x + attention(x, memory)); LN(y + MLP(y))."""

    def __init__(self, channels: int, heads: int, relative_position: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = TokenAttention(channels, heads, relative_position=relative_position)
        self.mlp = _mlp(channels)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        tokens = self.norm1(tokens + self.attention(tokens, memory))
        return cast(Tensor, self.norm2(tokens + self.mlp(tokens)))


class CrossScaleAttention(nn.Module):
    """x + attention of x's places on the skip's, which are averaged to a grid of at most 16x16.

    Args:
        channels: C of x.
        skip: channels of the skip.
        heads: of the attention.
    """

    def __init__(self, channels: int, skip: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = TokenAttention(channels, heads, sources=skip)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """``(B, C, h, w)`` of x and skip ``(B, skip, h', w')``."""
        rows, columns = skip.shape[2:]
        grid = (min(rows, _LARGEST_GRID), min(columns, _LARGEST_GRID))
        sources = functional.adaptive_avg_pool2d(skip, grid).permute(0, 2, 3, 1)
        attended = self.attention(self.norm(features.permute(0, 2, 3, 1)), sources)
        return features + attended.permute(0, 3, 1, 2)


def _distances(length: int, device: torch.device) -> Tensor:
    """``(length, length)`` of b - a, shifted to start at 0."""
    places = torch.arange(length, device=device)
    return places[None, :] - places[:, None] + length - 1


def _mlp(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, _HIDDEN * channels), nn.GELU(), nn.Linear(_HIDDEN * channels, channels))
