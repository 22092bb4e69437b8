"""Momentum update transformer of LMS-Net (MUT, eq. 17-19)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MomentumUpdateTransformer(nn.Module):
    """Moves the regional prototypes of the support towards the query's own prototype.

    ``p <- LN(w l + p)``, ``p <- LN(MSA(p) + p)``, ``p <- LN(MLP(p) + p)`` with w the softmax over the regions of their
    similarity to l; regions less similar than (min + mean)/2 are left out.

    Args:
        channels: feature channels C.
        heads: attention heads.
        hidden: width of the MLP.
        dropout: of the attention and the MLP, in training.
        identity_start: zero the output layers of MSA and MLP, so that the block begins without their contribution.
        momentum: keep ``+ p`` in the first line (LMS-Net); without it the block is in the manner of RPT.
    """

    def __init__(self, channels: int, heads: int = 8, hidden: int | None = None, dropout: float = 0.1,
                 identity_start: bool = True, momentum: bool = True) -> None:
        super().__init__()
        self.momentum = momentum
        self.attention = nn.MultiheadAttention(channels, heads, dropout=dropout, batch_first=True)
        hidden = 2 * channels if hidden is None else hidden
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, channels))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        if identity_start:
            for layer in (self.attention.out_proj, self.mlp[-1]):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, regional: Tensor, prototype: Tensor) -> Tensor:
        """Updated regional prototypes ``(B, N, C)`` of regional ``(B, N, C)`` and the query's prototype ``(B, C)``.

        Computed in float32 even under autocast: un-normalised dot products reach 10^3.
        """
        with torch.autocast(regional.device.type, enabled=False):
            regional, prototype = regional.float(), prototype.float()
            weights = region_weights(regional, prototype)
            update = weights.unsqueeze(2) * prototype.unsqueeze(1)
            regional = self.norms[0](update + regional if self.momentum else update)
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
