"""The plain vision transformer of SAM, MedSAM and LVM-Med: windowed attention with a few global blocks.

Source: Kirillov et al., "Segment Anything", ICCV 2023; Li et al., "Exploring plain vision transformer backbones for
object detection" (ViTDet), ECCV 2022. Parameter names are those of the published files below ``image_encoder.``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.backbones.tiny_vit import ChannelNorm, join_windows, split_windows

PATCH = 16
_NORM_EPSILON = 1e-6
# Numbers of one attention bias that are made at a time (64 MiB in single precision): the 12 heads of a global block at
# 1024 px would need 800 MB at once.
_BIAS_ELEMENTS = 1 << 24


class PatchEmbedding(nn.Module):
    """One convolution from image to cells of 16 x 16 pixels, channels last."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to ``(B, H/16, W/16, width)``."""
        return self.proj(images).permute(0, 2, 3, 1)


class RelativeAttention(nn.Module):
    """Multi-head attention over a grid, with a learned bias for the distance in rows plus one for that in columns.

    The bias is ``q . R_rows[i - j] + q . R_columns[i - j]`` with the query before it is scaled (ViTDet).

    Args:
        channels: of the cells.
        heads: their number.
        trained_grid: cells along a side that the tables of relative positions were made for; for another grid they
            are interpolated.
    """

    def __init__(self, channels: int, heads: int, trained_grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * trained_grid - 1, channels // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * trained_grid - 1, channels // heads))

    def forward(self, grid: Tensor) -> Tensor:
        """Attend among all cells of ``(B, H, W, channels)``; the same shape comes back."""
        batch, height, width, channels = grid.shape
        split = self.qkv(grid).view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split.flatten(1, 2)  # each (B * heads, H * W, channels / heads)
        cells = query.view(-1, height, width, query.shape[-1])
        rows = torch.einsum("ghwc,hkc->ghwk", cells, _relative_table(self.rel_pos_h, height))
        columns = torch.einsum("ghwc,wkc->ghwk", cells, _relative_table(self.rel_pos_w, width))
        attended = _attend(query, key, value, rows, columns)
        joined = attended.view(batch, self.heads, height, width, -1).permute(0, 2, 3, 1, 4)
        return self.proj(joined.reshape(batch, height, width, channels))


class Mlp(nn.Module):
    """Expand, GELU, project."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(channels, hidden)
        self.lin2 = nn.Linear(hidden, channels)

    def forward(self, cells: Tensor) -> Tensor:
        return self.lin2(functional.gelu(self.lin1(cells)))


class VitBlock(nn.Module):
    """Attention (in windows, or over everything when ``window`` is 0) and MLP, each normalised first and with skip."""

    def __init__(self, channels: int, heads: int, window: int, trained_grid: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(channels, eps=_NORM_EPSILON)
        self.attn = RelativeAttention(channels, heads, window or trained_grid)
        self.norm2 = nn.LayerNorm(channels, eps=_NORM_EPSILON)
        self.mlp = Mlp(channels, 4 * channels)

    def forward(self, grid: Tensor) -> Tensor:
        """Cells ``(B, H, W, channels)`` to the same shape."""
        grid = grid + self._attention(self.norm1(grid))
        return grid + self.mlp(self.norm2(grid))

    def _attention(self, grid: Tensor) -> Tensor:
        """Windows are zero-padded after the normalisation: the padding takes part in the attention as zeros."""
        if not self.window:
            return self.attn(grid)
        windows, padded = split_windows(grid, self.window)
        attended = self.attn(windows.unflatten(1, (self.window, self.window)))
        return join_windows(attended.flatten(1, 2), padded, self.window)[:, : grid.shape[1], : grid.shape[2]]


class VitEncoder(nn.Module):
    """Image encoder ``(B, 3, H, W) -> (B, 256, H/16, W/16)``; H and W are any multiples of 16.

    Tables of positions have the size of the published files (1024 px) and are interpolated for other images; the
    quality away from 1024 px is not guaranteed by anyone.

    Args:
        width, depth, heads: of the transformer; ViT-B by default.
        global_blocks: indices of the blocks that attend over the whole image.
        window: cells along a side of the windows of the other blocks.
        absolute_positions: SAM and MedSAM have them, LVM-Med has not.
        trained_size: pixels that the tables of positions are made for.
    """

    stride = PATCH

    def __init__(
        self,
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        global_blocks: Sequence[int] = (2, 5, 8, 11),
        window: int = 14,
        absolute_positions: bool = True,
        trained_size: int = 1024,
        out_channels: int = 256,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        cells = trained_size // PATCH
        self.pos_embed = nn.Parameter(torch.zeros(1, cells, cells, width)) if absolute_positions else None
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList(
            VitBlock(width, heads, 0 if index in global_blocks else window, cells) for index in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(width, out_channels, 1, bias=False),
            ChannelNorm(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            ChannelNorm(out_channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embedding ``(B, 256, H/16, W/16)`` of images ``(B, 3, H, W)``, preprocessed as the weights expect.

        Raises:
            InputError: a side that is no multiple of 16.
        """
        height, width = images.shape[-2:]
        if height % PATCH or width % PATCH or not height or not width:
            raise InputError(f"The image has {width}x{height} px; this encoder needs multiples of {PATCH}.")
        grid = self.patch_embed(images)
        if self.pos_embed is not None:
            grid = grid + _resized_positions(self.pos_embed, grid.shape[1], grid.shape[2])
        for block in self.blocks:
            grid = block(grid)
        return self.neck(grid.permute(0, 3, 1, 2))


def _resized_positions(positions: Tensor, height: int, width: int) -> Tensor:
    """Absolute positions ``(1, h, w, C)`` interpolated to the grid of the image."""
    if positions.shape[1:3] == (height, width):
        return positions
    maps = positions.permute(0, 3, 1, 2)
    resized = functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1)


def _relative_table(positions: Tensor, cells: int) -> Tensor:
    """Vectors ``(cells, cells, C)`` for query i and key j: entry ``i - j + cells - 1`` of the (interpolated) table."""
    length = 2 * cells - 1
    if len(positions) != length:
        table = positions.T[None]
        positions = functional.interpolate(table, size=length, mode="linear", align_corners=False)[0].T
    index = torch.arange(cells, device=positions.device)
    return positions[index[:, None] - index + cells - 1]


def _attend(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Softmax attention ``(G, N, C)`` with the bias ``rows + columns``, made for a few of the G groups at a time."""
    groups, count, _ = query.shape
    rows, columns = rows.contiguous(), columns.contiguous()  # so that their sum, which is large, needs no copy
    step = max(1, _BIAS_ELEMENTS // (count * count))
    attended = []
    for start in range(0, groups, step):
        part = slice(start, start + step)
        bias = (rows[part, ..., None] + columns[part, ..., None, :]).reshape(-1, count, count)
        attended.append(
            functional.scaled_dot_product_attention(
                query[None, part], key[None, part], value[None, part], attn_mask=bias[None]
            )[0]
        )
    return attended[0] if len(attended) == 1 else torch.cat(attended)
