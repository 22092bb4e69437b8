"""Prompts as tokens and maps: points and boxes become vectors, a mask becomes a map over the image embedding.

Source: Kirillov et al., "Segment Anything", ICCV 2023 (section "Prompt encoder"); random Fourier features of
Tancik et al., NeurIPS 2020. Parameter names are those of the published files below ``prompt_encoder.``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from momentumseg.networks.backbones.tiny_vit import ChannelNorm

NO_POINT, NEGATIVE, POSITIVE = -1, 0, 1
_BOX_CORNERS = (2, 3)  # entries of point_embeddings for the first and the last corner
_PIXEL_CENTRE = 0.5


class FourierPositions(nn.Module):
    """Coordinates in 0..1 as sine and cosine of random projections (fixed, stored with the weights)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, coordinates: Tensor) -> Tensor:
        """``(..., 2)`` as (x, y) in 0..1 to ``(..., channels)``."""
        angles = 2 * math.pi * ((2 * coordinates - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


class PromptEncoder(nn.Module):
    """Sparse tokens for points and boxes, a dense map for a mask.

    Args:
        channels: of the image embedding.
        embedding_size: cells along a side of the image embedding, h = w.
        image_size: pixels along a side of the network's image; prompts are given in these pixels.
    """

    def __init__(self, channels: int, embedding_size: int, image_size: int) -> None:
        super().__init__()
        self.channels = channels
        self.embedding_size = embedding_size
        self.image_size = image_size
        self.pe_layer = FourierPositions(channels)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, 2),
            ChannelNorm(4),
            nn.GELU(),
            nn.Conv2d(4, 16, 2, 2),
            ChannelNorm(16),
            nn.GELU(),
            nn.Conv2d(16, channels, 1),
        )
        self.no_mask_embed = nn.Embedding(1, channels)

    def sparse(self, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None) -> Tensor | None:
        """Tokens ``(N, T, channels)``; None without points and boxes.

        Args:
            points: ``(N, P, 2)`` as (x, y) in network pixels, pixel centres at whole numbers.
            labels: ``(N, P)``: 1 on the object, 0 beside it, -1 no point (fills up rows of unequal length).
            boxes: ``(N, 4)`` as (x, y) of the first and the last corner.
        """
        tokens = []
        if points is not None and labels is not None:
            tokens.append(self._points(points, labels, padded=boxes is None))
        if boxes is not None:
            tokens.append(self._corners(boxes))
        return torch.cat(tokens, dim=1) if tokens else None

    def dense(self, masks: Tensor | None) -> Tensor:
        """Map ``(N, channels, h, w)`` of mask logits ``(N, 1, 4h, 4w)``; ``(1, channels, 1, 1)`` without masks."""
        if masks is None:
            return self.no_mask_embed.weight[..., None, None]
        return self.mask_downscaling(masks)

    def image_positions(self) -> Tensor:
        """Positions of the embedding's cells, ``(1, h * w, channels)``."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        centres = torch.arange(self.embedding_size, device=matrix.device, dtype=matrix.dtype) + _PIXEL_CENTRE
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        cells = torch.stack((columns, rows), dim=-1) / self.embedding_size
        return self.pe_layer(cells).view(1, -1, self.channels)

    def _points(self, points: Tensor, labels: Tensor, padded: bool) -> Tensor:
        """Without a box the network was trained with one token more that says "no further point"."""
        if padded:
            points = torch.cat((points, points.new_zeros(len(points), 1, 2)), dim=1)
            labels = torch.cat((labels, labels.new_full((len(labels), 1), NO_POINT)), dim=1)
        kinds = labels[..., None]
        tokens = self._positions(points) * (kinds != NO_POINT)
        tokens = tokens + self.not_a_point_embed.weight * (kinds == NO_POINT)
        for label in (NEGATIVE, POSITIVE):
            tokens = tokens + self._kind(label) * (kinds == label)
        return tokens

    def _corners(self, boxes: Tensor) -> Tensor:
        corners = torch.cat([self._kind(index) for index in _BOX_CORNERS])
        return self._positions(boxes.view(-1, 2, 2)) + corners

    def _kind(self, index: int) -> Tensor:
        """Vector ``(1, channels)`` of a kind of point."""
        return self.point_embeddings[index].get_parameter("weight")

    def _positions(self, points: Tensor) -> Tensor:
        return self.pe_layer((points + _PIXEL_CENTRE) / self.image_size)
