"""RankMe: how many dimensions an embedding really uses (Garrido et al. 2023, arXiv 2210.02885)."""

import torch
from jaxtyping import Float
from torch import Tensor


def rankme(embeddings: Float[Tensor, "samples dim"], eps: float = 1e-7) -> float:
    """exp of the entropy of the normalised singular values, in [1, min(samples, dim)]; equation 1 of the paper.

    Example::

        >>> import torch
        >>> round(rankme(torch.eye(8)), 2), round(rankme(torch.ones(8, 8)), 2)  # eight directions, and one
        (8.0, 1.0)
    """
    values = torch.linalg.svdvals(embeddings.float())
    shares = values / values.sum().clamp_min(eps) + eps
    return torch.exp(-(shares * shares.log()).sum()).item()
