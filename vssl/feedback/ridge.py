"""A head in closed form: what the best linear head could make of the features, differentiable in the features.

A head that is fitted step by step lags behind a moving backbone, and g_down then asks of the backbone what a better
head would bring anyway. Ridge regression has its optimum in one solve (in meta-learning: Bertinetto et al.,
"Meta-learning with differentiable closed-form solvers", ICLR 2019), so that the loss depends on what features hold and
hardly on how they are scaled or mixed.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Rows = Float[Tensor, "rows dim"]

# Targets with less of the largest variance than this are not judged: a class of a few cells in the query is noise.
RARE = 0.004


def unexplained(
    support: tuple[Rows, Float[Tensor, "rows values"]], query: tuple[Rows, Float[Tensor, "rows values"]], l2: float
) -> Float[Tensor, ""]:
    """Share of a query target's variance that ridge regression on the support leaves unexplained; 1 is a constant.

    The mean over targets (scikit-learn's r2_score, "uniform_average", from 1): every class counts alike, as in mIoU.
    Weighted by variance, the few large classes would decide alone (docs/benchmark.md).

    Args:
        support: features and targets on which the head is solved; features are standardised by their own statistics.
        query: features and targets on which it is judged.
        l2: weight of the penalty on the head, relative to the mean squared error; the bias is free.

    Without two support rows, or query targets that differ, nothing can be said: 0 with a gradient of 0.
    """
    if len(support[0]) < 2 or len(query[0]) < 2:
        return (support[0].sum() + query[0].sum()) * 0.0
    with torch.autocast(query[0].device.type, enabled=False):
        (x, y), (query_x, query_y) = ((a.float(), b.float()) for a, b in (support, query))
        mean, scale = x.mean(0), x.std(0).clamp_min(1e-4)
        x, query_x = (x - mean) / scale, (query_x - mean) / scale
        bias = y.mean(0)
        gram = x.T @ x / len(x) + l2 * torch.eye(x.shape[1], device=x.device)
        head = torch.linalg.solve(gram, x.T @ (y - bias) / len(x))
        error = (query_x @ head + bias - query_y).square().mean(0)
        variance = query_y.var(0, correction=0)
        counted = ((variance > RARE * variance.max()) & (variance > 1e-12)).float()
        return (counted * error / variance.clamp_min(1e-12)).sum() / counted.sum().clamp_min(1)


def rows_of(
    features: Float[Tensor, "batch dim rows columns"],
    targets: Float[Tensor, "batch values rows columns"],
    valid: Bool[Tensor, "batch rows columns"],
) -> tuple[Rows, Float[Tensor, "rows values"]]:
    """Features and targets of the valid positions."""
    return features.movedim(1, -1)[valid], targets.movedim(1, -1)[valid]
