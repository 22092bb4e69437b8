"""A prompted network without its image encoder: what is left to train once slices are embedded."""

from __future__ import annotations

from torch import Tensor, nn

from momentumseg.networks.sam.sam import MaskPrediction, SamNetwork


class BoxDecoder(nn.Module):
    """Prompt encoder and mask decoder of a network, which answer one box for each of several embeddings.

    The modules are those of ``network``, not copies; their names are, too. Only what a box trains requires a gradient:
    the mask decoder without the masks that are offered for ambiguous clicks.

    Args:
        network: whose parts are used.
        trains_iou: whether the estimate of the overlap is trained, too.

    Source: Nguyen et al., "LVM-Med", NeurIPS 2023 (prompt setting: image and prompt encoder frozen).
    """

    def __init__(self, network: SamNetwork, *, trains_iou: bool = True) -> None:
        super().__init__()
        self.prompt_encoder = network.prompt_encoder
        self.mask_decoder = network.mask_decoder
        self.requires_grad_(False)
        self.mask_decoder.requires_grad_(True)
        self.mask_decoder.iou_prediction_head.requires_grad_(trains_iou)
        for of_ambiguous in list(self.mask_decoder.output_hypernetworks_mlps)[1:]:
            of_ambiguous.requires_grad_(False)

    def forward(self, embeddings: Tensor, boxes: Tensor) -> MaskPrediction:
        """Logits ``(N, 1, 4h, 4h)`` and predicted overlaps ``(N, 1)``.

        Args:
            embeddings: ``(N, C, h, h)`` of N images.
            boxes: ``(N, 4)`` as (x, y, x, y) in network pixels, one for each of them.
        """
        prompts = self.prompt_encoder
        sparse, dense = prompts.sparse(None, None, boxes), prompts.dense(None)
        return MaskPrediction(*self.mask_decoder(embeddings, prompts.image_positions(), sparse, dense, False))
