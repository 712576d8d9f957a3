"""The projection head of DINO and its successors."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class DINOHead(nn.Module):
    """Three-layer MLP to a bottleneck on the unit sphere, then cosine similarities to `out_dim` prototypes.

    The last layer is weight-normalised with its gain fixed at 1 (the authors' ``norm_last_layer=True``), written out:
    the rows of the weight are normalised in every pass.
    """

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int = 2048, bottleneck_dim: int = 256):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(in_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        self.last = nn.Linear(bottleneck_dim, out_dim, bias=False)
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Float[Tensor, "batch dim"], temperature: float = 1.0) -> Float[Tensor, "batch prototypes"]:
        """Cosines, divided by the temperature: where that is another than 1, already at the narrow bottleneck."""
        weight, seen = self.last.weight, F.normalize(self.mlp(x), dim=-1)
        if temperature != 1:
            seen = seen / temperature
        # As F.normalize(weight), whose backward writes it several times over. torch's own weight norm would be faster
        # still, but has no forward derivative, and its second derivative is wrong (gradgradcheck, torch 2.15).
        scale = torch.linalg.vector_norm(weight, dim=-1).clamp_min(1e-12).reciprocal()
        if len(seen) < weight.shape[1]:
            return F.linear(seen, weight) * scale
        return F.linear(seen, weight * scale.unsqueeze(-1))


def through_head(
    head: DINOHead, rows: Mapping[str, Float[Tensor, "rows dim"]], temperature: float = 1.0
) -> dict[str, Float[Tensor, "rows prototypes"]]:
    """The logits of several kinds of rows, at least in fp32, by one pass: with few rows it takes longer to read the
    head's weights than to multiply by them."""
    logits = full_precision(head(torch.cat(list(rows.values())), temperature))
    return dict(zip(rows, logits.split([len(some) for some in rows.values()]), strict=True))


def full_precision(logits: Tensor) -> Tensor:
    """At least fp32: a softmax at temperature 0.04 over thousands of prototypes is not for half precision."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
