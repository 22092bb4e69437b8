"""TinyViT, the image encoder of LiteMedSAM (256 px) and MobileSAM (1024 px), and its use as a frozen few-shot backbone.

Source: Wu et al., "TinyViT", ECCV 2022; Zhang et al., "Faster Segment Anything" (MobileSAM), 2023; Ma et al.,
"Segment anything in medical images" (MedSAM), Nature Communications 2024. Parameter names are those of the published
files below ``image_encoder.``, so that these load as they are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.registry import register_backbone

_DIMENSIONS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEADS = (2, 4, 5, 10)
_WINDOWS = (7, 7, 14, 7)
_STRIDES_OF_MERGING = (2, 2, 1)  # the last merging keeps the grid
_EMBEDDING_CHANNELS = 256
_RANGE_EPSILON = 1e-6


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch normalisation, under the published names ``c`` and ``bn``.

    In evaluation the normalisation is part of the filters: one pass less over large maps.
    """

    c: nn.Conv2d
    bn: nn.BatchNorm2d

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        if self.training:
            return super().forward(features)
        mean, variance = self.bn.get_buffer("running_mean"), self.bn.get_buffer("running_var")
        scale = self.bn.weight * torch.rsqrt(variance + self.bn.eps)
        filters, bias = self.c.weight * scale[:, None, None, None], self.bn.bias - mean * scale
        return functional.conv2d(features, filters, bias, self.c.stride, self.c.padding, groups=self.c.groups)  # type: ignore[arg-type]


class PatchEmbedding(nn.Module):
    """Two convolutions from the image to the first grid: 1x1 at 256 px, 3x3 with stride 2 at 1024 px."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        kernel = 1 if stride == 1 else 3
        self.seq = nn.Sequential(
            ConvNorm(3, channels // 2, kernel, stride), nn.GELU(), ConvNorm(channels // 2, channels, kernel, stride)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.seq(images)


class InvertedBottleneck(nn.Module):
    """1x1 expand by four, depth-wise 3x3, 1x1 project, skip; GELU after each and after the skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.conv1 = ConvNorm(channels, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, channels)

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.gelu(self.conv1(features))
        hidden = functional.gelu(self.conv2(hidden))
        return functional.gelu(self.conv3(hidden) + features)


class PatchMerging(nn.Module):
    """From one stage to the next: 1x1, depth-wise 3x3 with the stride, 1x1; GELU between."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.gelu(self.conv1(features))
        return self.conv3(functional.gelu(self.conv2(hidden)))


class WindowAttention(nn.Module):
    """Multi-head attention inside windows of w x w cells with one learned bias a head and distance (|dy|, |dx|).

    The rows of ``qkv`` are grouped by head, (q, k, v) of one head after the other; the normalisation comes first,
    so that zero padding reaches the attention as the normalisation's bias.
    """

    attention_bias_indices: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.register_buffer("attention_bias_indices", _distance_indices(window), persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """Attend within each window: ``(windows, w * w, channels)`` to the same shape."""
        windows, count, channels = cells.shape
        grouped = self.qkv(self.norm(cells)).view(windows, count, self.heads, -1).transpose(1, 2)
        query, key, value = grouped.chunk(3, dim=-1)
        bias = self.attention_biases[None, :, self.attention_bias_indices]  # fused attention wants all four axes
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        return self.proj(attended.transpose(1, 2).reshape(windows, count, channels))


class Mlp(nn.Module):
    """Normalise, expand by four, GELU, project."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, cells: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(self.norm(cells))))


class TinyVitBlock(nn.Module):
    """Window attention with skip, a depth-wise 3x3 convolution without skip, an MLP with skip."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(channels, heads, window)
        self.local_conv = ConvNorm(channels, channels, 3, groups=channels)
        self.mlp = Mlp(channels)

    def forward(self, grid: Tensor) -> Tensor:
        """Cells ``(B, H, W, channels)`` to the same shape."""
        windows, padded = split_windows(grid, self.window)
        grid = grid + join_windows(self.attn(windows), padded, self.window)[:, : grid.shape[1], : grid.shape[2]]
        grid = self.local_conv(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return grid + self.mlp(grid)


class ConvStage(nn.Module):
    """First stage: convolutions only, then the merging to the next stage."""

    def __init__(self, channels: int, depth: int, next_channels: int, stride: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(InvertedBottleneck(channels) for _ in range(depth))
        self.downsample = PatchMerging(channels, next_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        for block in self.blocks:
            features = block(features)
        return self.downsample(features)


class AttentionStage(nn.Module):
    """A later stage: TinyViT blocks, then (but for the last stage) the merging."""

    def __init__(self, channels: int, depth: int, heads: int, window: int, merging: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TinyVitBlock(channels, heads, window) for _ in range(depth))
        self.downsample = merging

    def forward(self, features: Tensor) -> Tensor:
        grid = features.permute(0, 2, 3, 1)
        for block in self.blocks:
            grid = block(grid)
        features = grid.permute(0, 3, 1, 2)
        return features if self.downsample is None else self.downsample(features)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of a feature map ``(B, C, H, W)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        cells = features.permute(0, 2, 3, 1)
        normalized = functional.layer_norm(cells, self.weight.shape, self.weight, self.bias, eps=1e-6)
        return normalized.permute(0, 3, 1, 2)


class TinyVitEncoder(nn.Module):
    """Image encoder ``(B, 3, S, S) -> (B, 256, S/stride, S/stride)``.

    The published weights are for 256 px with patch stride 1 (LiteMedSAM, stride 4) and 1024 px with patch stride 2
    (MobileSAM, stride 16), which both give 64 x 64; no tensor depends on S, other sizes are for quick looks and tests.

    Args:
        image_size: S in pixels, a multiple of the stride.
        patch_stride: of each of the two patch convolutions, 1 or 2.
    """

    out_channels = _EMBEDDING_CHANNELS

    def __init__(self, image_size: int = 256, patch_stride: int = 1) -> None:
        super().__init__()
        if patch_stride not in (1, 2):
            raise InputError(f"TinyViT has no variant with patch stride {patch_stride}; choose 1 or 2.")
        self.stride = patch_stride**2 * math.prod(_STRIDES_OF_MERGING)
        if image_size < self.stride or image_size % self.stride:
            raise InputError(f"TinyViT cannot take images of {image_size} px; choose a multiple of {self.stride}.")
        self.image_size = image_size
        self.patch_embed = PatchEmbedding(_DIMENSIONS[0], patch_stride)
        self.layers = nn.ModuleList([ConvStage(_DIMENSIONS[0], _DEPTHS[0], _DIMENSIONS[1], _STRIDES_OF_MERGING[0])])
        for index in range(1, len(_DIMENSIONS)):
            self.layers.append(_attention_stage(index))
        self.neck = nn.Sequential(
            nn.Conv2d(_DIMENSIONS[-1], _EMBEDDING_CHANNELS, 1, bias=False),
            ChannelNorm(_EMBEDDING_CHANNELS),
            nn.Conv2d(_EMBEDDING_CHANNELS, _EMBEDDING_CHANNELS, 3, padding=1, bias=False),
            ChannelNorm(_EMBEDDING_CHANNELS),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embedding ``(B, 256, S/stride, S/stride)`` of images ``(B, 3, S, S)``, preprocessed as the weights expect.

        Raises:
            InputError: images of another size.
        """
        if images.shape[-2:] != (self.image_size, self.image_size):
            found = "x".join(str(length) for length in images.shape[-2:])
            raise InputError(f"TinyViT got images of {found} px; this variant needs {self.image_size} px.")
        features = self.patch_embed(images)
        for stage in self.layers:
            features = stage(features)
        return self.neck(features)


class TinyVitBackbone(nn.Module):
    """TinyViT of LiteMedSAM with a linear projection, as encoder of a few-shot network.

    Every image is brought to the range 0 to 1 by itself, which is what the published weights expect, whatever the
    intensity scale of the network's input.

    Args:
        channels: C of the features.
        frozen: the encoder keeps its weights and statistics in training; only the projection learns.
        image_size: S in pixels; the published weights were trained at 256.
    """

    stride = 4

    def __init__(self, channels: int = 128, frozen: bool = True, image_size: int = 256) -> None:
        super().__init__()
        self.out_channels = channels
        self.frozen = frozen
        self.encoder = TinyVitEncoder(image_size).requires_grad_(not frozen)
        self.projection = nn.Conv2d(_EMBEDDING_CHANNELS, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, C, S/4, S/4)`` of images ``(B, 3, S, S)``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            embedding = self.encoder(_unit_range(images))
        return self.projection(embedding)

    def train(self, mode: bool = True) -> TinyVitBackbone:
        """Training mode for the projection; a frozen encoder stays in evaluation mode (fixed statistics)."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def pretrained_tensors(self) -> dict[str, Tensor]:
        """Tensors that a LiteMedSAM file fills, by the names below its ``image_encoder.``."""
        return dict(self.encoder.state_dict(keep_vars=True))

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Pretrained parameters that training may change: none when frozen."""
        return [] if self.frozen else list(self.encoder.parameters())


def split_windows(grid: Tensor, window: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut ``(B, H, W, C)`` into windows ``(B * n, window * window, C)``, zero-padded at the bottom and right.

    Returns:
        The windows in row order and the padded (H, W).
    """
    batch, height, width, channels = grid.shape
    below, right = -height % window, -width % window
    if below or right:
        grid = functional.pad(grid, (0, 0, 0, right, 0, below))
    rows, columns = (height + below) // window, (width + right) // window
    tiles = grid.view(batch, rows, window, columns, window, channels).transpose(2, 3)
    return tiles.reshape(-1, window * window, channels), (height + below, width + right)


def join_windows(windows: Tensor, padded: tuple[int, int], window: int) -> Tensor:
    """Undo :func:`split_windows`: ``(B * n, window * window, C)`` to ``(B, padded H, padded W, C)``."""
    rows, columns = padded[0] // window, padded[1] // window
    tiles = windows.view(-1, rows, columns, window, window, windows.shape[-1]).transpose(2, 3)
    return tiles.reshape(-1, *padded, windows.shape[-1])


def _attention_stage(index: int) -> AttentionStage:
    merging = None
    if index < len(_STRIDES_OF_MERGING):
        merging = PatchMerging(_DIMENSIONS[index], _DIMENSIONS[index + 1], _STRIDES_OF_MERGING[index])
    return AttentionStage(_DIMENSIONS[index], _DEPTHS[index], _HEADS[index], _WINDOWS[index], merging)


def _distance_indices(window: int) -> Tensor:
    """Index |dy| * w + |dx| into the biases for every pair of a window's cells, ``(w * w, w * w)``."""
    row, column = torch.arange(window * window) // window, torch.arange(window * window) % window
    return (row[:, None] - row).abs() * window + (column[:, None] - column).abs()


def _unit_range(images: Tensor) -> Tensor:
    """Each image of ``(B, 3, S, S)`` shifted and scaled to 0..1; a constant image becomes 0."""
    low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(_RANGE_EPSILON)


register_backbone("tiny_vit_litemedsam")(TinyVitBackbone)
