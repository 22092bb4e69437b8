"""Independent re-writings of the paper's equations, one slice at a time, to compare the blocks with."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.networks.blocks.mask_denoiser import MaskDenoiser
from momentumseg.networks.blocks.momentum_update import MomentumUpdateTransformer


@pytest.fixture
def naive_update() -> Callable[[MomentumUpdateTransformer, Tensor, Tensor], Tensor]:
    """MUT of one slice: ``(block, p (N, C), l (C,)) -> (N, C)`` (eq. 18-19)."""
    return _naive_update


@pytest.fixture
def naive_denoiser() -> Callable[[MaskDenoiser, Tensor, Tensor], Tensor]:
    """MD of one mask: ``(denoiser, u (h, w), logit (h, w)) -> (h, w)``."""
    return _naive_denoiser


@pytest.fixture
def randomized() -> Callable[[nn.Module], nn.Module]:
    """Gives every parameter a value of its own: layers that start at zero or one would hide mistakes."""

    def randomize(module: nn.Module, scale: float = 0.3) -> nn.Module:
        generator = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.ndim > 0:
                    parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.add_(torch.rand(buffer.shape, generator=generator))
        return module.eval()

    return randomize


def _naive_update(block: MomentumUpdateTransformer, p: Tensor, l: Tensor) -> Tensor:  # noqa: E741
    similarity = [float(row @ l) for row in p]
    bound = (min(similarity) + sum(similarity) / len(similarity)) / 2
    kept = [s > bound for s in similarity]
    if not any(kept):
        kept = [True] * len(kept)
    highest = max(s for s, keep in zip(similarity, kept, strict=True) if keep)
    unscaled = [math.exp(s - highest) if keep else 0.0 for s, keep in zip(similarity, kept, strict=True)]
    weights = [value / sum(unscaled) for value in unscaled]
    p = torch.stack([_norm(block.norms[0], w * l + row) for w, row in zip(weights, p, strict=True)])
    attended = _attention(block.attention, p)
    p = torch.stack([_norm(block.norms[1], row) for row in attended + p])
    hidden = p @ block.mlp[0].weight.T + block.mlp[0].bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return torch.stack([_norm(block.norms[2], row) for row in hidden @ block.mlp[3].weight.T + block.mlp[3].bias + p])


def _norm(norm: nn.LayerNorm, row: Tensor) -> Tensor:
    centred = row - row.mean()
    return centred / torch.sqrt((centred**2).mean() + norm.eps) * norm.weight + norm.bias


def _attention(attention: nn.MultiheadAttention, p: Tensor) -> Tensor:
    width = p.shape[1] // attention.num_heads
    projected = p @ attention.in_proj_weight.T + attention.in_proj_bias
    query, key, value = projected.split(p.shape[1], dim=1)
    heads = []
    for head in range(attention.num_heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part] @ key[:, part].T / math.sqrt(width)
        heads.append((scores.exp() / scores.exp().sum(dim=1, keepdim=True)) @ value[:, part])
    return torch.cat(heads, dim=1) @ attention.out_proj.weight.T + attention.out_proj.bias


def _naive_denoiser(denoiser: MaskDenoiser, u: Tensor, logit: Tensor) -> Tensor:
    hidden = u[None, None]
    for layer in denoiser.residual:
        if isinstance(layer, nn.Conv2d):
            hidden = functional.conv2d(functional.pad(hidden, (1, 1, 1, 1)), layer.weight, layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
            hidden = hidden * scale[:, None, None] + (layer.bias - layer.running_mean * scale)[:, None, None]
        else:
            hidden = hidden.clamp(min=0)
    return 1 / (1 + torch.exp(-(logit + hidden[0, 0])))
