"""Differentiable sorting by a network of soft comparisons (Petersen et al. 2022, arXiv 2203.09630)."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor


def soft_permutation(values: Float[Tensor, "rows n"], steepness: float) -> Float[Tensor, "rows n n"]:
    """Entry (i, j): how much of value i lies at place j of the ascending order; rows and columns sum to 1.

    Each comparison of a bitonic network swaps softly: with α = ½ + arctan(steepness·(b − a))/π (Cauchy distribution)
    the lower place gets α·a + (1 − α)·b. The relaxation is that of the package diffsort, which NeCo's authors use; it
    multiplies by a dense matrix in each layer and had its last release in 2022, hence this one, which picks columns.
    Its network also sorts numbers that are not a power of two.

    Args:
        values: fp32 or better.
        steepness: > 0; the larger, the harder the sort.
    """
    rows, n = values.shape
    # (rows, place, value): places are picked along the slow axis.
    places = torch.eye(n, dtype=values.dtype, device=values.device).expand(rows, n, n)
    for low, high, back in bitonic_network(n):
        low, high, back = low.to(values.device), high.to(values.device), back.to(values.device)
        a, b = values[:, low], values[:, high]
        keep = 0.5 + torch.atan(steepness * (b - a)) / torch.pi
        values = torch.cat([values, b + keep * (a - b), a + keep * (b - a)], dim=1)[:, back]
        of_a, of_b, keep = places[:, low], places[:, high], keep.unsqueeze(2)
        places = torch.cat([places, of_b + keep * (of_a - of_b), of_a + keep * (of_b - of_a)], dim=1)[:, back]
    return places.transpose(1, 2)


@cache
def bitonic_network(n: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Layers of comparisons, each as indices of (lower places, higher places, where each place is taken from).

    The last are indices into (all places, new lower ones, new higher ones). All comparisons point the same way, so that
    places beyond n, which would hold infinities, are simply left out.
    """
    size = 1 << (n - 1).bit_length()
    layers, width = [], 2
    while width <= size:
        mirrored = [(s + j, s + width - 1 - j) for s in range(0, size, width) for j in range(width // 2)]
        layers.append(_layer(mirrored, n))
        step = width // 4
        while step:
            pairs = [(s + j, s + j + step) for s in range(0, size, 2 * step) for j in range(step)]
            layers.append(_layer(pairs, n))
            step //= 2
        width *= 2
    return layers


def _layer(pairs: list[tuple[int, int]], n: int) -> tuple[Tensor, Tensor, Tensor]:
    low, high = torch.tensor([pair for pair in pairs if pair[1] < n]).unbind(1)
    back = torch.arange(n)
    back[low], back[high] = n + torch.arange(len(low)), n + len(low) + torch.arange(len(high))
    return low, high, back
