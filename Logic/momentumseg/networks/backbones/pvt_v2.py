"""Pyramid Vision Transformer v2, size B3, plain and with momentum.

Source: Wang et al., "PVT v2: Improved baselines with pyramid vision transformer", CVM 2022. Parameter names are those
of the published files.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.blocks.momentum_sequence import MomentumSettings, momentum_chain

_WIDTHS, _HEADS, _HIDDEN = (64, 128, 320, 512), (1, 2, 5, 8), (8, 8, 4, 4)
_DEPTHS, _REDUCTIONS = (3, 4, 18, 3), (8, 4, 2, 1)
_EPSILON = 1e-6


class DropPath(nn.Module):
    """Leaves out the branch of whole samples, in training, with a probability; the others are scaled up."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return branch
        keep = 1 - self.probability
        kept = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) < keep
        return branch * kept.to(branch.dtype) / keep


class _PatchEmbedding(nn.Module):
    """Overlapping patches: strided convolution and layer norm, ``(B, C, H, W) -> (B, h, w, C')``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        embedded: Tensor = self.norm(self.proj(features).permute(0, 2, 3, 1))
        return embedded


class _Attention(nn.Module):
    """Attention whose keys and values are on a coarser grid; tokens ``(B, h, w, C)`` keep their places."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.reduces = reduction > 1
        if self.reduces:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        coarse = tokens
        if self.reduces:
            coarse = self.norm(self.sr(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        query = self._by_head(self.q(tokens))
        key, value = (self._by_head(part) for part in self.kv(coarse).chunk(2, dim=-1))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.proj(mixed.transpose(1, 2).reshape(tokens.shape))
        return attended

    def _by_head(self, tokens: Tensor) -> Tensor:
        """``(B, heads, h w, C / heads)``."""
        return tokens.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _DepthWise(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed: Tensor = self.dwconv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return mixed


class _Mlp(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.dwconv = _DepthWise(hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed: Tensor = self.fc2(functional.gelu(self.dwconv(self.fc1(tokens))))
        return mixed


class _Block(nn.Module):
    """Two residual branches: attention and MLP."""

    def __init__(self, channels: int, heads: int, hidden: int, reduction: int, drop: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=_EPSILON)
        self.attn = _Attention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=_EPSILON)
        self.mlp = _Mlp(channels, hidden)
        self.drop_path = DropPath(drop)

    def branches(self) -> Iterator[nn.Module]:
        """f of the two residual steps; views of this block's layers."""
        yield nn.Sequential(self.norm1, self.attn, self.drop_path)
        yield nn.Sequential(self.norm2, self.mlp, self.drop_path)


class PvtV2B3(nn.Module):
    """PVT v2 B3 as an encoder; every stage is one momentum sequence of its attention and MLP branches in turn.

    Args:
        settings: momentum and differentiation.
        in_channels: of the images; published files have 3.
        stages: 1 to 4 of its four.
        drop_path: probability at the last block; it rises linearly from 0.
        classes: of a classifier behind the last stage; 0 is none. The published files have 1000.
    """

    def __init__(
        self,
        settings: MomentumSettings | None = None,
        in_channels: int = 3,
        stages: int = 4,
        drop_path: float = 0.1,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if not 1 <= stages <= len(_WIDTHS):
            raise InputError(f"PVT v2 has no {stages} stages; choose 1 to {len(_WIDTHS)}.")
        self.settings = settings or MomentumSettings()
        self.channels = _WIDTHS[:stages]
        drops = iter(torch.linspace(0, drop_path, sum(_DEPTHS), device="cpu").tolist())
        inputs = in_channels
        for index, width in enumerate(self.channels):
            kernel, stride = (7, 4) if index == 0 else (3, 2)
            self.add_module(f"patch_embed{index + 1}", _PatchEmbedding(inputs, width, kernel, stride))
            blocks = [
                _Block(width, _HEADS[index], width * _HIDDEN[index], _REDUCTIONS[index], next(drops))
                for _ in range(_DEPTHS[index])
            ]
            self.settings.way(2 * len(blocks))
            self.add_module(f"block{index + 1}", nn.ModuleList(blocks))
            self.add_module(f"norm{index + 1}", nn.LayerNorm(width, eps=_EPSILON))
            inputs = width
        if classes:
            self.head = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features ``(B, C, h, w)`` at strides 4, 8, 16, 32 of images ``(B, in_channels, H, W)`` (multiples of 32)."""
        found = []
        features = images
        for index in range(1, len(self.channels) + 1):
            tokens = getattr(self, f"patch_embed{index}")(features)
            branches = [branch for block in getattr(self, f"block{index}") for branch in block.branches()]
            tokens, _ = momentum_chain(branches, tokens, settings=self.settings)
            features = getattr(self, f"norm{index}")(tokens).permute(0, 3, 1, 2).contiguous()
            found.append(features)
        return found
