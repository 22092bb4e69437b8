from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.mask_denoiser import MaskDenoiser

NORMALIZATIONS = ("batch", "none")


@pytest.fixture
def some_logits() -> Tensor:
    return 3 * torch.randn(4, 9, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_an_untrained_denoiser_is_the_identity(normalization: str, some_logits: Tensor) -> None:
    u = some_logits.sigmoid()
    for mode in (True, False):
        denoiser = MaskDenoiser(8, normalization=normalization).train(mode)
        assert torch.equal(denoiser(u, some_logits), u)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_denoiser_is_five_convolutions_before_a_sigmoid(
    normalization: str,
    some_logits: Tensor,
    randomized: Callable[[nn.Module], nn.Module],
    naive_denoiser: Callable[[nn.Module, Tensor, Tensor], Tensor],
) -> None:
    denoiser = randomized(MaskDenoiser(6, normalization=normalization))
    assert sum(isinstance(layer, nn.Conv2d) for layer in denoiser.residual) == 5
    u = some_logits.sigmoid()
    expected = torch.stack([naive_denoiser(denoiser, *pair) for pair in zip(u, some_logits, strict=True)])
    torch.testing.assert_close(denoiser(u, some_logits), expected)
    assert not torch.allclose(expected, u, atol=0.01)


def test_gradients_are_finite_and_alive_where_the_mask_is_saturated() -> None:
    """A float32 sigmoid is exactly 0 or 1 at these logits; logit(sigmoid(x)) would be infinite."""
    denoiser = MaskDenoiser(4, normalization="none")
    logit = torch.tensor([[[-200.0, -40.0, 0.0, 40.0, 200.0]] * 5], requires_grad=True)
    denoiser(logit.sigmoid(), logit).sum().backward()
    gradients = [logit.grad, *(parameter.grad for parameter in denoiser.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert denoiser.residual[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("options", "words"), [({"normalization": "layer"}, "'layer'"), ({"depth": 1}, "at least 2")])
def test_impossible_denoisers_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        MaskDenoiser(4, **options)
