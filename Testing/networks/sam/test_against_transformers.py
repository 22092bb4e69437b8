"""The same random weights in an independent implementation (Hugging Face transformers) give the same masks.

At 512 pixels they are compared in double precision, where every difference of the formulas would show.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.networks.sam.sam import SamNetwork

transformers = pytest.importorskip("transformers", reason="the development dependency transformers is not installed")

SMALL = {"width": 48, "depth": 3, "heads": 3, "global_blocks": (1,)}
FULL = {"width": 768, "depth": 12, "heads": 12, "global_blocks": (2, 5, 8, 11)}
SINGLE, DOUBLE = 1e-4, 1e-8  # tolerances; logits are about 1
RENAMED = [
    ("image_encoder.patch_embed.proj.", "vision_encoder.patch_embed.projection."),
    ("image_encoder.blocks.", "vision_encoder.layers."),
    ("image_encoder.neck.0.", "vision_encoder.neck.conv1."),
    ("image_encoder.neck.1.", "vision_encoder.neck.layer_norm1."),
    ("image_encoder.neck.2.", "vision_encoder.neck.conv2."),
    ("image_encoder.neck.3.", "vision_encoder.neck.layer_norm2."),
    ("image_encoder.", "vision_encoder."),
    ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    ("point_embeddings.", "point_embed."),
    ("mask_downscaling.0.", "mask_embed.conv1."),
    ("mask_downscaling.1.", "mask_embed.layer_norm1."),
    ("mask_downscaling.3.", "mask_embed.conv2."),
    ("mask_downscaling.4.", "mask_embed.layer_norm2."),
    ("mask_downscaling.6.", "mask_embed.conv3."),
    (".norm", ".layer_norm"),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
]
PERCEPTRONS = ("output_hypernetworks_mlps.", "iou_prediction_head.")
PERCEPTRON_LAYERS = {"layers.0.": "proj_in.", "layers.1.": "layers.0.", "layers.2.": "proj_out."}

Networks = tuple[SamNetwork, torch.nn.Module]


def their_name(name: str) -> str:
    for ours, theirs in RENAMED:
        name = name.replace(ours, theirs)
    if any(part in name for part in PERCEPTRONS):
        head, layer, tail = name.rpartition("layers.")[0], *name.rpartition("layers.")[1:]
        number, _, kind = tail.partition(".")
        return head + PERCEPTRON_LAYERS[f"{layer}{number}."] + kind
    return name


def their_network(ours: SamNetwork, image_size: int, sizes: dict[str, object]) -> torch.nn.Module:
    """transformers' SAM with our weights; it interpolates the tables of relative positions by itself."""
    vision = transformers.SamVisionConfig(
        image_size=image_size,
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["heads"],
        global_attn_indexes=list(sizes["global_blocks"]),
        mlp_dim=4 * sizes["width"],
        window_size=14,
    )
    configuration = transformers.SamConfig(
        vision_config=vision,
        prompt_encoder_config=transformers.SamPromptEncoderConfig(image_size=image_size),
        # The published decoder normalises with torch's own epsilon, transformers with 1e-6 by default.
        mask_decoder_config=transformers.SamMaskDecoderConfig(layer_norm_eps=1e-5),
    )
    theirs = transformers.SamModel(configuration).eval()
    state = {their_name(name): value.clone() for name, value in ours.state_dict().items()}
    state["shared_image_embedding.positional_embedding"] = state["prompt_encoder.shared_embedding.positional_embedding"]
    cells = image_size // 16
    positions = state["vision_encoder.pos_embed"].permute(0, 3, 1, 2)
    resized = functional.interpolate(positions, (cells, cells), mode="bilinear", align_corners=False)
    state["vision_encoder.pos_embed"] = resized.permute(0, 2, 3, 1)
    for name, parameter in theirs.named_parameters():
        if "rel_pos" in name:
            parameter.data = state[name].clone()
    theirs.load_state_dict(state, strict=True)
    return theirs


@pytest.fixture(scope="module", params=[(512, torch.float64), (1024, torch.float32)], ids=["512", "1024"])
def small_networks(request: pytest.FixtureRequest, a_sam_network: Callable[..., SamNetwork]) -> Networks:
    image_size, precision = request.param
    ours = a_sam_network(image_size, **SMALL)
    return ours.to(precision), their_network(ours, image_size, SMALL).to(precision)


@pytest.fixture(scope="module")
def small_embeddings(small_networks: Networks) -> tuple[Tensor, Tensor]:
    return embeddings_of(small_networks)


def embeddings_of(networks: Networks) -> tuple[Tensor, Tensor]:
    ours, theirs = networks
    shape = (1, 3, ours.image_size, ours.image_size)
    image = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(next(ours.parameters()))
    with torch.inference_mode():
        return ours.encode(image), theirs.vision_encoder(image).last_hidden_state


def tolerance_of(values: Tensor) -> float:
    return DOUBLE if values.dtype is torch.float64 else SINGLE


def prompts_for(kind: str, size: int, precision: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    points = torch.rand(2, 3, 2, generator=generator) * size
    labels = torch.tensor([[1, 0, 1], [1, 1, -1]])
    boxes = torch.tensor([[0.1, 0.2, 0.6, 0.7], [0.3, 0.0, 0.9, 0.5]]) * size
    masks = 4 * torch.randn(1, 1, size // 4, size // 4, generator=generator)
    points, boxes, masks = (values.to(precision) for values in (points, boxes, masks))
    return {
        "points": {"points": points, "labels": labels},
        "boxes": {"boxes": boxes},
        "points and boxes": {"points": points, "labels": labels, "boxes": boxes},
        "mask": {"masks": masks},
        "click and mask": {"points": points[:1, :1], "labels": labels[:1, :1], "masks": masks},
    }[kind]


def their_answer(theirs: torch.nn.Module, embedding: Tensor, prompts: dict[str, Tensor], multimask: bool) -> object:
    names = {"points": "input_points", "labels": "input_labels", "boxes": "input_boxes"}
    arguments = {names[name]: value[None] for name, value in prompts.items() if name in names}
    if "masks" in prompts:
        arguments["input_masks"] = prompts["masks"]
    return theirs(image_embeddings=embedding, multimask_output=multimask, **arguments)


def check_answers(networks: Networks, embeddings: tuple[Tensor, Tensor], kind: str, multimask: bool) -> None:
    ours, theirs = networks
    prompts, tolerance = prompts_for(kind, ours.image_size, embeddings[0].dtype), tolerance_of(embeddings[0])
    with torch.inference_mode():
        answer = ours.decode(embeddings[0], **prompts, multimask=multimask)
        expected = their_answer(theirs, embeddings[1], prompts, multimask)
    assert answer.logits.std() > 0.1  # the comparison means something
    torch.testing.assert_close(answer.logits, expected.pred_masks[0], atol=tolerance, rtol=0)
    torch.testing.assert_close(answer.iou, expected.iou_scores[0], atol=tolerance, rtol=0)


def test_embeddings_are_the_same(small_embeddings: tuple[Tensor, Tensor]) -> None:
    ours, theirs = small_embeddings
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, atol=tolerance_of(ours), rtol=0)


@pytest.mark.parametrize("multimask", [False, True], ids=["one mask", "three masks"])
@pytest.mark.parametrize("kind", ["points", "boxes", "points and boxes", "mask", "click and mask"])
def test_masks_and_scores_are_the_same(
    small_networks: Networks, small_embeddings: tuple[Tensor, Tensor], kind: str, multimask: bool
) -> None:
    check_answers(small_networks, small_embeddings, kind, multimask)


@pytest.mark.slow
def test_full_vit_b_is_the_same_at_512_pixels(a_sam_network: Callable[..., SamNetwork]) -> None:
    ours = a_sam_network(512)
    networks = ours, their_network(ours, 512, FULL)
    embeddings = embeddings_of(networks)
    torch.testing.assert_close(*embeddings, atol=SINGLE, rtol=0)
    check_answers(networks, embeddings, "points and boxes", multimask=True)
