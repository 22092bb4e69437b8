"""Momentum update transformer of LMS-Net (MUT, eq. 17-19)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from momentumseg.errors import InputError
from momentumseg.networks.blocks.precision import full_precision
from momentumseg.networks.blocks.zero_start import start_at_zero


class MomentumUpdateTransformer(nn.Module):
    """Moves the regional prototypes of the support towards the query's own prototype.

    ``p <- LN(w l + p)``, ``p <- LN(MSA(p) + p)``, ``p <- LN(MLP(p) + p)`` with w the softmax over the regions of their
    similarity to l; regions less similar than (min + mean)/2 are left out.

    Args:
        channels: feature channels C.
        heads: attention heads.
        hidden: width of the MLP.
        dropout: of the attention weights and within the MLP, in training.
        identity_start: zero the output layers of MSA and MLP, so that the block begins without their contribution.

    Raises:
        InputError: the channels cannot be shared among the heads.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        hidden: int | None = None,
        dropout: float = 0.1,
        identity_start: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise InputError(f"{channels} channels cannot be shared among {heads} attention heads; choose a divisor.")
        self.attention = nn.MultiheadAttention(channels, heads, dropout=dropout, batch_first=True)
        hidden = 2 * channels if hidden is None else hidden
        first, last = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.mlp = nn.Sequential(first, nn.GELU(), nn.Dropout(dropout), last)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        if identity_start:
            start_at_zero(self.attention.out_proj)
            start_at_zero(last)

    def forward(self, regional: Tensor, prototype: Tensor) -> Tensor:
        """Updated regional prototypes ``(B, N, C)`` of regional ``(B, N, C)`` and the query's prototype ``(B, C)``.

        Computed in float32 even under autocast: un-normalised dot products reach 10^3.
        """
        with full_precision(regional.device):
            regional, prototype = regional.float(), prototype.float()
            weights = region_weights(regional, prototype)
            update = weights.unsqueeze(2) * prototype.unsqueeze(1)
            regional = self.norms[0](update + regional)
            attended, _ = self.attention(regional, regional, regional, need_weights=False)
            regional = self.norms[1](attended + regional)
            return self.norms[2](self.mlp(regional) + regional)


def region_weights(regional: Tensor, prototype: Tensor) -> Tensor:
    """w = softmax over the N regions of M + s, ``(B, N)``, s = <p_n, l> (eq. 17, 19).

    Where no region passes ``s > (min + mean)/2`` (one region, or all equal) the mask M is dropped: a softmax over
    nothing but -inf would be NaN.
    """
    similarity = torch.einsum("bnc,bc->bn", regional, prototype)
    bound = (similarity.amin(dim=1, keepdim=True) + similarity.mean(dim=1, keepdim=True)) / 2
    keep = similarity > bound
    keep = keep | ~keep.any(dim=1, keepdim=True)
    return torch.softmax(similarity.masked_fill(~keep, float("-inf")), dim=1)
