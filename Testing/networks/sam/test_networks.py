from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from momentumseg.errors import InputError
from momentumseg.networks.sam import vit_encoder
from momentumseg.networks.sam.sam import SamNetwork, lite_medsam, mobile_sam, sam_vit_b
from momentumseg.networks.sam.vit_encoder import RelativeAttention, VitEncoder

POINTS = torch.tensor([[[10.0, 20.0], [40.0, 30.0]], [[5.0, 5.0], [60.0, 50.0]]])
LABELS = torch.tensor([[1, 0], [1, 1]])
BOXES = torch.tensor([[5.0, 10.0, 40.0, 50.0], [20.0, 0.0, 63.0, 30.0]])


@pytest.fixture
def an_embedding() -> Tensor:
    return torch.randn(1, 256, 4, 4, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def masks() -> Tensor:
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(4))


def naive_attention(block: RelativeAttention, grid: Tensor) -> Tensor:
    """One head, one query cell at a time; grid (H, W, C)."""
    height, width, channels = grid.shape
    query, key, value = block.qkv(grid).view(height, width, 3, block.heads, -1).unbind(2)
    size = query.shape[-1]
    output = torch.zeros(height, width, block.heads, size)
    for head in range(block.heads):
        for i in range(height):
            for j in range(width):
                q = query[i, j, head]
                logits = torch.zeros(height, width)
                for a in range(height):
                    for b in range(width):
                        rows = block.rel_pos_h[i - a + height - 1]
                        columns = block.rel_pos_w[j - b + width - 1]
                        logits[a, b] = q @ key[a, b, head] / size**0.5 + q @ rows + q @ columns
                weights = logits.flatten().softmax(0).view(height, width, 1)
                output[i, j, head] = (weights * value[:, :, head]).sum((0, 1))
    return block.proj(output.reshape(height, width, channels))


def test_relative_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    block = RelativeAttention(8, 2, 3)
    torch.nn.init.normal_(block.rel_pos_h)
    torch.nn.init.normal_(block.rel_pos_w)
    grid = torch.randn(2, 3, 3, 8)
    with torch.no_grad():
        expected = torch.stack([naive_attention(block, one) for one in grid])
        torch.testing.assert_close(block(grid), expected, atol=1e-5, rtol=0)


def test_attention_in_pieces_is_the_same(a_small_network: SamNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 3, 64, 64)
    whole = a_small_network.encode(image)
    monkeypatch.setattr(vit_encoder, "_BIAS_ELEMENTS", 1)
    torch.testing.assert_close(a_small_network.encode(image), whole, atol=1e-6, rtol=0)


def test_padding_of_windows_takes_part_as_zeros_after_the_normalisation() -> None:
    """A grid of 4 in windows of 3: the last window holds one row and column, the rest is zero padding."""
    torch.manual_seed(0)
    encoder = VitEncoder(width=8, depth=1, heads=2, global_blocks=(), window=3, trained_size=64)
    block = encoder.blocks[0]
    torch.nn.init.constant_(block.norm1.bias, 0.7)
    grid = torch.randn(1, 4, 4, 8)
    normalised = functional.pad(block.norm1(grid), (0, 0, 0, 2, 0, 2))
    corner = block.attn(normalised[:, 3:, 3:])[:, :1, :1]
    torch.testing.assert_close(block._attention(block.norm1(grid))[:, 3:, 3:], corner)


@pytest.mark.parametrize("shape", [(16, 16), (48, 80), (112, 96)])
@pytest.mark.parametrize("absolute_positions", [True, False])
def test_any_multiple_of_16_is_encoded(shape: tuple[int, int], absolute_positions: bool) -> None:
    encoder = VitEncoder(
        width=24, depth=2, heads=2, global_blocks=(1,), trained_size=64, absolute_positions=absolute_positions
    )
    with torch.no_grad():
        assert encoder(torch.rand(1, 3, *shape)).shape == (1, 256, shape[0] // 16, shape[1] // 16)


def test_images_do_not_see_each_other(a_small_network: SamNetwork) -> None:
    images = torch.rand(2, 3, 64, 64)
    together = a_small_network.encode(images)
    alone = torch.cat([a_small_network.encode(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["points", "boxes", "masks", "all"])
def test_prompts_do_not_see_each_other(
    a_small_network: SamNetwork, an_embedding: Tensor, masks: Tensor, kind: str
) -> None:
    every = {"points": POINTS, "labels": LABELS, "boxes": BOXES, "masks": masks}
    wanted = {"points": ("points", "labels"), "boxes": ("boxes",), "masks": ("masks",), "all": tuple(every)}[kind]
    prompts = {name: every[name] for name in wanted}
    together = a_small_network.decode(an_embedding, **prompts, multimask=True)
    assert together.logits.shape == (2, 3, 16, 16)
    for index in range(2):
        one = a_small_network.decode(
            an_embedding, **{name: value[index : index + 1] for name, value in prompts.items()}, multimask=True
        )
        torch.testing.assert_close(together.logits[index : index + 1], one.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(together.iou[index : index + 1], one.iou, atol=1e-4, rtol=0)


def test_each_part_of_a_prompt_matters(a_small_network: SamNetwork, an_embedding: Tensor, masks: Tensor) -> None:
    full = {"points": POINTS, "labels": LABELS, "boxes": BOXES, "masks": masks}
    changed = {
        "points": POINTS + 3,
        "labels": 1 - LABELS,
        "boxes": BOXES + 3,
        "masks": -masks,
    }
    logits = a_small_network.decode(an_embedding, **full).logits
    for name, value in changed.items():
        other = a_small_network.decode(an_embedding, **{**full, name: value}).logits
        assert (other - logits).abs().max() > 1e-4, name


def test_place_of_a_point_that_is_none_does_not_matter(a_small_network: SamNetwork, an_embedding: Tensor) -> None:
    labels = torch.tensor([[1, -1], [1, -1]])
    moved = POINTS + torch.tensor([[0.0, 0.0], [9.0, 9.0]])
    first = a_small_network.decode(an_embedding, points=POINTS, labels=labels).logits
    torch.testing.assert_close(a_small_network.decode(an_embedding, points=moved, labels=labels).logits, first)


def test_logits_come_back_as_the_next_prompt(a_small_network: SamNetwork, an_embedding: Tensor) -> None:
    first = a_small_network.decode(an_embedding, boxes=BOXES)
    again = a_small_network.decode(an_embedding, boxes=BOXES, masks=first.logits)
    assert again.logits.shape == (2, 1, 16, 16)
    assert a_small_network.mask_size == 16


def test_encoder_in_half_precision_gives_single_precision_embeddings(a_small_network: SamNetwork) -> None:
    image = torch.rand(1, 3, 64, 64)
    single = a_small_network.encode(image)
    a_small_network.image_encoder.bfloat16()
    half = a_small_network.encode(image)
    assert half.dtype is torch.float32
    assert 0 < (half - single).abs().max() < 0.1 * single.abs().max()


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        ({}, "no prompt"),
        ({"points": POINTS}, "label"),
        ({"labels": LABELS}, "label"),
        ({"points": POINTS, "labels": LABELS[:, :1]}, "label"),
        ({"points": POINTS, "labels": LABELS, "boxes": BOXES[:1]}, "same number"),
        ({"boxes": BOXES[:, :2]}, r"\(2, 2\).*\(N, 4\)"),
        ({"masks": torch.zeros(1, 1, 8, 8)}, r"\(1, 1, 8, 8\).*\(N, 1, 16, 16\)"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(
    a_small_network: SamNetwork, an_embedding: Tensor, prompts: dict[str, Tensor], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        a_small_network.decode(an_embedding, **prompts)


@pytest.mark.parametrize(("build", "size"), [(sam_vit_b, 100), (sam_vit_b, 0), (mobile_sam, 1000), (lite_medsam, 255)])
def test_sizes_that_do_not_fit_are_refused(build: Callable[[int], SamNetwork], size: int) -> None:
    with pytest.raises(InputError, match=f"{size} px"):
        build(size)


def test_images_of_another_size_are_refused(a_small_network: SamNetwork) -> None:
    with pytest.raises(InputError, match="64"):
        a_small_network.encode(torch.rand(1, 3, 32, 32))
    with pytest.raises(InputError, match="multiples of 16"):
        a_small_network.image_encoder(torch.rand(1, 3, 40, 64))


@pytest.mark.parametrize(("build", "stride"), [(mobile_sam, 16), (lite_medsam, 4)])
def test_tiny_vit_networks_answer(build: Callable[[int], SamNetwork], stride: int) -> None:
    network = build(64).eval()
    with torch.no_grad():
        answer = network.decode(network.encode(torch.rand(1, 3, 64, 64)), boxes=BOXES)
    assert answer.logits.shape == (2, 1, 4 * 64 // stride, 4 * 64 // stride)
