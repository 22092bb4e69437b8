"""The trainable half of a prompted network: the same answers for a batch, and only what a box trains is trained."""

from __future__ import annotations

import torch

from momentumseg.networks.sam.box_decoder import BoxDecoder
from momentumseg.networks.sam.sam import SamNetwork


def test_a_batch_of_images_gets_what_each_gets_alone(a_tiny_sam: SamNetwork) -> None:
    torch.manual_seed(1)
    embeddings, boxes = torch.randn(3, 32, 4, 4), torch.tensor([[4.0, 4, 30, 40], [0, 0, 63, 63], [10, 20, 25, 28]])
    together = BoxDecoder(a_tiny_sam)(embeddings, boxes)
    assert (together.logits.shape, together.iou.shape) == ((3, 1, 16, 16), (3, 1))
    for number in range(3):
        alone = a_tiny_sam.decode(embeddings[number : number + 1], boxes=boxes[number : number + 1])
        torch.testing.assert_close(together.logits[number], alone.logits[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together.iou[number], alone.iou[0], atol=1e-5, rtol=1e-4)


def test_gradient_reaches_every_tensor_that_is_to_be_trained_and_no_other(a_tiny_sam: SamNetwork) -> None:
    for trains_iou in (True, False):
        decoder = BoxDecoder(a_tiny_sam, trains_iou=trains_iou)
        decoder.zero_grad(set_to_none=True)
        answer = decoder(torch.randn(2, 32, 4, 4), torch.tensor([[4.0, 4, 30, 40], [0, 0, 63, 63]]))
        (answer.logits.square().sum() + (answer.iou.square().sum() if trains_iou else 0.0)).backward()
        trained = {name for name, value in decoder.named_parameters() if value.requires_grad}
        assert trained == {name for name, value in decoder.named_parameters() if value.grad is not None}
        assert all(name.startswith("mask_decoder.") for name in trained)
        assert any("iou_prediction_head" in name for name in trained) is trains_iou
        assert not any("hypernetworks_mlps.1" in name for name in trained)


def test_names_are_those_of_the_network(a_tiny_sam: SamNetwork) -> None:
    known = a_tiny_sam.state_dict()
    decoder = BoxDecoder(a_tiny_sam).state_dict()
    assert set(decoder) == {name for name in known if not name.startswith("image_encoder.")}
    assert all(decoder[name] is not None and torch.equal(decoder[name], known[name]) for name in decoder)
