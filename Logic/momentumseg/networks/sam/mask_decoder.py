"""From image embedding and prompts to masks: a small two-way transformer, upscaling, and one hyper-network a mask.

Source: Kirillov et al., "Segment Anything", ICCV 2023 (appendix "Lightweight mask decoder"). Parameter names are those
of the published files below ``mask_decoder.``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from momentumseg.networks.backbones.tiny_vit import ChannelNorm

_MASKS_FOR_AMBIGUITY = 3
_MASK_CHANNELS_DIVISOR = 8  # the masks are read from maps with channels / 8


class Attention(nn.Module):
    """Multi-head attention from queries to keys in ``internal`` channels."""

    def __init__(self, channels: int, internal: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(channels, internal)
        self.k_proj = nn.Linear(channels, internal)
        self.v_proj = nn.Linear(channels, internal)
        self.out_proj = nn.Linear(internal, channels)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``(N, Q, channels)`` and twice ``(N, K, channels)`` to ``(N, Q, channels)``."""
        attended = functional.scaled_dot_product_attention(
            self._split(self.q_proj(query)), self._split(self.k_proj(key)), self._split(self.v_proj(value))
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _split(self, cells: Tensor) -> Tensor:
        return cells.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """Expand, ReLU, project."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(channels, hidden)
        self.lin2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.lin2(functional.relu(self.lin1(tokens)))


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to image, MLP, image to tokens; each with skip, then normalised."""

    def __init__(self, channels: int, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(channels, channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = Attention(channels, channels // 2, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, hidden)
        self.norm3 = nn.LayerNorm(channels)
        self.norm4 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = Attention(channels, channels // 2, heads)

    def forward(self, tokens: Tensor, image: Tensor, token_marks: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``(N, T, C)`` and image ``(N, h * w, C)``, each with what marks its place, to the same shapes."""
        if self.first:  # the tokens are nothing but marks yet: no marks are added and nothing is skipped
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            marked = tokens + token_marks
            tokens = tokens + self.self_attn(marked, marked, tokens)
        tokens = self.norm1(tokens)
        placed = image + positions
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_marks, placed, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(placed, tokens + token_marks, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Two-way blocks, then one last look of the tokens at the image."""

    def __init__(self, channels: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(channels, heads, hidden, first=index == 0) for index in range(depth))
        self.final_attn_token_to_image = Attention(channels, channels // 2, heads)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``(N, T, C)``, image ``(N, h * w, C)`` and positions ``(1, h * w, C)`` to tokens and image."""
        marks = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, marks, positions)
        looked = self.final_attn_token_to_image(tokens + marks, image + positions, image)
        return self.norm_final_attn(tokens + looked), image


class Perceptron(nn.Module):
    """Three linear layers with ReLU between."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            (nn.Linear(channels, channels), nn.Linear(channels, channels), nn.Linear(channels, outputs))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = functional.relu(self.layers[1](functional.relu(self.layers[0](tokens))))
        return self.layers[2](hidden)


class MaskDecoder(nn.Module):
    """Masks and how good the network thinks they are.

    Four masks exist: one for a prompt that is clear, three (whole, part, subpart) for an ambiguous one.

    Args:
        channels: of the image embedding and the tokens.
    """

    def __init__(self, channels: int = 256, *, depth: int = 2, heads: int = 8, hidden: int = 2048) -> None:
        super().__init__()
        masks = 1 + _MASKS_FOR_AMBIGUITY
        mask_channels = channels // _MASK_CHANNELS_DIVISOR
        self.transformer = TwoWayTransformer(channels, depth, heads, hidden)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(masks, channels)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 4, 2, 2),
            ChannelNorm(channels // 4),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 4, mask_channels, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Perceptron(channels, mask_channels) for _ in range(masks))
        self.iou_prediction_head = Perceptron(channels, masks)

    def forward(
        self, embedding: Tensor, positions: Tensor, sparse: Tensor | None, dense: Tensor, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Mask logits ``(N, M, 4h, 4w)`` and predicted IoU ``(N, M)``; M is 3 for ``multimask``, else 1.

        Args:
            embedding: of one image, ``(1, C, h, w)``, or of one image a prompt, ``(N, C, h, w)``.
            positions: of its cells, ``(1, h * w, C)``.
            sparse: prompt tokens ``(N, T, C)``, or None.
            dense: prompt map ``(N, C, h, w)``, or anything that broadcasts to it.
        """
        own = torch.cat((self.iou_token.weight, self.mask_tokens.weight))
        prompts = len(sparse) if sparse is not None else len(dense)
        tokens = own.expand(prompts, -1, -1)
        if sparse is not None:
            tokens = torch.cat((tokens, sparse), dim=1)
        image = (embedding + dense).flatten(2).transpose(1, 2).expand(prompts, -1, -1)
        tokens, image = self.transformer(tokens, image, positions)
        maps = self.output_upscaling(image.transpose(1, 2).unflatten(2, embedding.shape[-2:]))
        wanted = range(1, 1 + _MASKS_FOR_AMBIGUITY) if multimask else range(1)
        weights = [self.output_hypernetworks_mlps[index](tokens[:, 1 + index]) for index in wanted]
        logits = torch.einsum("nmc,nchw->nmhw", torch.stack(weights, dim=1), maps)
        return logits, self.iou_prediction_head(tokens[:, 0])[:, wanted.start : wanted.stop]
