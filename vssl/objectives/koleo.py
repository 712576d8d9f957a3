"""KoLeo: class tokens of different images keep their distance (Sablayrolles et al. 2019, arXiv 1806.03198)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vssl.distributed import gather
from vssl.objectives.dino_head import full_precision

EPSILON = 1e-8


def koleo(rows: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    """−log of the distance from each row to its nearest neighbour, both on the unit sphere.

    The derivative takes the choice of neighbour as given. Computed in fp32 or better, also under autocast.

    With torch.distributed running, the rows of every rank are candidates, as with DINOv3's option
    ``koleo_loss_distributed``: ranks and the whole batch agree. In DINOv2 each GPU looks at its own rows only.

    Raises:
        ValueError: there is one row only, which has no neighbour.
    """
    with torch.autocast(rows.device.type, enabled=False):
        rows = F.normalize(full_precision(rows), dim=-1, eps=EPSILON)
        candidates, offset = gather(rows)
        if len(candidates) < 2:
            raise ValueError("KoLeo needs two images or more in a batch, got 1; raise batch_size or set koleo_weight=0")
        with torch.no_grad():
            own = torch.arange(len(rows), device=rows.device)
            likeness = rows @ candidates.T
            likeness[own, own + offset] = -2.0  # below every cosine
            nearest = likeness.argmax(1)
        distance = F.pairwise_distance(rows, candidates.index_select(0, nearest), eps=EPSILON)
        return -(distance + EPSILON).log()
