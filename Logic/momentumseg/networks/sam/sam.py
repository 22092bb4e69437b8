"""The prompted segmentation network: one image is embedded once, then any number of prompts are answered from it.

Source: Kirillov et al., "Segment Anything", ICCV 2023; Zhang et al., "Faster Segment Anything" (MobileSAM), 2023;
Ma et al., "Segment anything in medical images" (MedSAM, LiteMedSAM), Nature Communications 2024; Nguyen et al.,
"LVM-Med", NeurIPS 2023 (the ViT-B encoder without absolute positions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.backbones.tiny_vit import TinyVitEncoder
from momentumseg.networks.sam.mask_decoder import MaskDecoder
from momentumseg.networks.sam.prompt_encoder import PromptEncoder
from momentumseg.networks.sam.vit_encoder import PATCH, VitEncoder

_MASK_CELLS = 4  # mask pixels along a cell of the embedding


@dataclass(frozen=True)
class MaskPrediction:
    """Answer to N prompts.

    Attributes:
        logits: ``(N, M, 4h, 4w)``; above 0 is the object. They may come back as the ``masks`` of the next prompt.
        iou: ``(N, M)``, the network's own estimate of the overlap with the object, about 0 to 1.
    """

    logits: Tensor
    iou: Tensor


class SamNetwork(nn.Module):
    """Image encoder, prompt encoder and mask decoder of one member of the SAM family.

    Args:
        image_encoder: ``(B, 3, S, S) -> (B, 256, h, h)`` with the attributes ``stride`` and ``out_channels``.
        image_size: S in pixels; prompts are given in these pixels.

    Attributes:
        image_size: S.
        embedding_size: h, cells along a side of the embedding.
        mask_size: 4h, pixels along a side of the logits.
    """

    def __init__(self, image_encoder: nn.Module, image_size: int) -> None:
        super().__init__()
        channels = int(image_encoder.out_channels)  # type: ignore[arg-type]
        self.image_size = image_size
        self.embedding_size = image_size // int(image_encoder.stride)  # type: ignore[arg-type]
        self.mask_size = _MASK_CELLS * self.embedding_size
        self.image_encoder = image_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.prompt_encoder = PromptEncoder(channels, self.embedding_size, image_size)
        self.mask_decoder = MaskDecoder(channels)

    def encode(self, images: Tensor) -> Tensor:
        """Embedding ``(B, 256, h, h)`` of preprocessed images ``(B, 3, S, S)``, in the images' own precision.

        Raises:
            InputError: images of another size.
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.image_size, self.image_size):
            raise InputError(
                f"The images have the shape {tuple(images.shape)}; this network needs (B, 3, {self.image_size}, "
                f"{self.image_size})."
            )
        parameter = next(self.image_encoder.parameters())
        channels_last = images.to(parameter.dtype, memory_format=torch.channels_last)  # a third quicker on a CPU
        return self.image_encoder(channels_last).to(images.dtype, memory_format=torch.contiguous_format)

    def decode(
        self,
        embedding: Tensor,
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        multimask: bool = False,
    ) -> MaskPrediction:
        """Answer N prompts on one image.

        Args:
            embedding: ``(1, 256, h, h)`` from :meth:`encode`.
            points: ``(N, P, 2)`` as (x, y) in network pixels, pixel centres at whole numbers.
            labels: ``(N, P)`` for the points: 1 on the object, 0 beside it, -1 no point.
            boxes: ``(N, 4)`` as (x, y, x, y) in network pixels.
            masks: ``(N, 1, 4h, 4h)`` logits of an earlier answer.
            multimask: three masks for an ambiguous prompt instead of one.

        Raises:
            InputError: no prompt at all, or shapes that do not belong together.
        """
        self._check(embedding, points, labels, boxes, masks)
        encoder = self.prompt_encoder
        sparse, dense = encoder.sparse(points, labels, boxes), encoder.dense(masks)
        return MaskPrediction(*self.mask_decoder(embedding, encoder.image_positions(), sparse, dense, multimask))

    def _check(
        self,
        embedding: Tensor,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> None:
        cells, size = self.embedding_size, self.mask_size
        expected = {
            "embedding": (embedding, (1, self.mask_decoder.iou_token.embedding_dim, cells, cells)),
            "points": (points, (None, None, 2)),
            "labels": (labels, (None, None)),
            "boxes": (boxes, (None, 4)),
            "masks": (masks, (None, 1, size, size)),
        }
        for name, (tensor, shape) in expected.items():
            _check_shape(name, tensor, shape)
        if (points is None) != (labels is None) or (labels is not None and labels.shape != points.shape[:2]):  # type: ignore[union-attr]
            raise InputError("Every prompt point needs one label and every label a point.")
        counts = {len(tensor) for tensor in (points, boxes, masks) if tensor is not None}
        if len(counts) != 1:
            raise InputError(
                f"Points, boxes and masks are for {sorted(counts)} objects; give the same number of each."
                if counts
                else "There is no prompt; give a point, a box or a mask."
            )


def sam_vit_b(image_size: int = 1024, *, absolute_positions: bool = True, **encoder: int | Sequence[int]) -> SamNetwork:
    """SAM and MedSAM ViT-B, or (without absolute positions) the encoder of LVM-Med with SAM's decoder.

    Args:
        image_size: any multiple of 16; the published weights were trained at 1024.
        absolute_positions: False for LVM-Med.
        encoder: sizes of :class:`VitEncoder` other than ViT-B's, for tests.

    Raises:
        InputError: a size that is no multiple of 16.
    """
    if image_size < PATCH or image_size % PATCH:
        raise InputError(f"SAM's ViT cannot take images of {image_size} px; choose a multiple of {PATCH}.")
    return SamNetwork(VitEncoder(absolute_positions=absolute_positions, **encoder), image_size)  # type: ignore[arg-type]


def mobile_sam(image_size: int = 1024) -> SamNetwork:
    """MobileSAM: TinyViT with patch stride 2; the published weights were trained at 1024 px."""
    return SamNetwork(TinyVitEncoder(image_size, patch_stride=2), image_size)


def lite_medsam(image_size: int = 256) -> SamNetwork:
    """LiteMedSAM: TinyViT with patch stride 1; the published weights were trained at 256 px."""
    return SamNetwork(TinyVitEncoder(image_size, patch_stride=1), image_size)


def _check_shape(name: str, tensor: Tensor | None, shape: tuple[int | None, ...]) -> None:
    if tensor is None:
        return
    fits = tensor.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, tensor.shape, strict=True))
    if not fits:
        wanted = ", ".join("N" if length is None else str(length) for length in shape)
        raise InputError(f"The {name} of a prompt have the shape {tuple(tensor.shape)}; they need ({wanted}).")
