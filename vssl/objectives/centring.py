"""What keeps a teacher's targets from collapsing: a running centre (DINO), or Sinkhorn-Knopp (SwAV, DINOv2)."""

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.distributed import average, largest, total


def sinkhorn_knopp(
    logits: Float[Tensor, "rows prototypes"], temperature: float, iterations: int = 3
) -> Float[Tensor, "rows prototypes"]:
    """Targets, each a distribution over the prototypes, that together use every prototype about equally.

    The matrix exp(logits / temperature) is scaled in turn so that all prototypes have the same sum over the rows of all
    ranks, and each row sums to one; rows come last and are exact. Three iterations are those of SwAV and DINOv2. Ranks
    may hold different numbers of rows. Differentiable in the logits.

    Source: Caron et al. 2020, arXiv 2006.09882, section 3.1; the code of DINOv2 (``sinkhorn_knopp_teacher``).

    Args:
        logits: fp32 or better.
        temperature: > 0.
    """
    scaled = logits / temperature
    top = largest(scaled.max() if len(scaled) else scaled.new_full((), -torch.inf))
    # Written as DINOv2's code does it, but with scales of rows and columns in place of scaled matrices. The largest
    # entry is e⁰; entries below e⁻⁸⁰ are set to that, so that no prototype's sum is zero in fp32.
    kernel = (scaled - top).clamp(min=-80.0).exp()
    of_row = kernel.new_ones(len(kernel))
    for _ in range(iterations):
        of_prototype = 1 / total(of_row @ kernel)
        of_row = 1 / (kernel @ of_prototype)
    return kernel * of_prototype * of_row.unsqueeze(1)


@torch.no_grad()
def move_centre(center: Float[Tensor, " prototypes"], sums: Tensor, count: Tensor, momentum: float) -> None:
    """center ← momentum·center + (1 − momentum)·mean, in place, over the rows of all ranks; stays where there are none.

    Args:
        sums: the sum over this rank's rows of logits.
        count: of these rows, a scalar.
    """
    sums, count = average([sums.clone(), count.to(sums.dtype)])
    mean = (sums / count.clamp(min=1e-6)).to(center.dtype)
    center.copy_(torch.where(count > 0, center.lerp(mean, 1.0 - momentum), center))
