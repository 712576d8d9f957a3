"""In-context labels: patches that look alike lend each other their labels (Balažević et al. 2023, arXiv 2306.01667).

The rules follow the paper and its open reproduction, github.com/vpariza/open-hummingbird-eval. Different here: pixels
without a label count for nothing, where the reproduction takes them for class 0; the search is exact.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def cells(size: tuple[int, ...], grid: tuple[int, int]) -> Int[Tensor, "height width"]:
    """The number of the patch that each pixel lies in, row by row, where `grid` (rows, columns) covers the image."""
    rows, columns = (torch.arange(side) * count // side for side, count in zip(size, grid, strict=True))
    return rows[:, None] * grid[1] + columns


def class_shares(
    labels: Int[Tensor, "height width"], classes: int, grid: tuple[int, int]
) -> Float[Tensor, "patches classes"]:
    """The classes' shares of each patch's labeled pixels (labels 0..classes−1, others unlabeled); NaN without any."""
    labeled = (labels >= 0) & (labels < classes)
    places = cells(labels.shape, grid)[labeled] * classes + labels[labeled].long()
    counts = torch.bincount(places, minlength=grid[0] * grid[1] * classes).view(-1, classes).float()
    return counts / counts.sum(dim=1, keepdim=True)


def mean_values(
    values: Float[Tensor, "height width"], valid: Bool[Tensor, "height width"], grid: tuple[int, int]
) -> Float[Tensor, "patches 1"]:
    """The mean of each patch's valid pixels; NaN without any."""
    places, count = cells(values.shape, grid)[valid], grid[0] * grid[1]
    sums = torch.bincount(places, weights=values[valid].double(), minlength=count)
    return (sums / torch.bincount(places, minlength=count)).float()[:, None]


def choose_patches(
    labels: Float[Tensor, "patches values"], count: int, by_class: bool, generator: torch.Generator
) -> Int[Tensor, " count"]:
    """Numbers of `count` labeled patches of one image in ascending order, with −1 for those that are missing.

    Args:
        labels: of `class_shares` or `mean_values`; NaN where a patch has none.
        by_class: rare classes first, as in the paper: a patch's score is in how many patches of the image each of its
            classes appears, summed over its classes, times a draw from U(0, 1); the lowest are taken. Otherwise all
            labeled patches are equally likely.
    """
    score = torch.rand(len(labels), generator=generator)
    if by_class:
        present = (labels > 0).float()
        score = score * (present @ present.sum(dim=0))
    score = score.masked_fill(labels[:, 0].isnan(), torch.inf)
    order = score.argsort()[:count]
    chosen = torch.full((count,), -1)
    chosen[: len(order)] = order.masked_fill(score[order].isinf(), -1)
    return chosen.sort().values


def attend(
    queries: Float[Tensor, "queries dim"],
    keys: Float[Tensor, "keys dim"],
    values: Float[Tensor, "keys values"],
    k: int,
    temperature: float,
    query_block: int = 1024,
    key_block: int = 65536,
) -> Float[Tensor, "queries values"]:
    """Values of the k keys of largest cosine similarity, weighted with softmax(similarity / temperature) over them.

    Exact: every query meets every key, in blocks that bound the memory.

    Args:
        keys: of length 1.
    """
    found = []
    for part in F.normalize(queries, dim=1).split(query_block):
        best = part.new_empty(len(part), 0)
        where = torch.empty(len(part), 0, dtype=torch.long, device=part.device)
        for first in range(0, len(keys), key_block):
            similarity = part @ keys[first : first + key_block].T
            near, index = similarity.topk(min(k, similarity.shape[1]), dim=1)
            best, where = torch.cat([best, near], dim=1), torch.cat([where, index + first], dim=1)
            best, kept = best.topk(min(k, best.shape[1]), dim=1)
            where = where.gather(1, kept)
        weights = torch.softmax(best / temperature, dim=1)
        found.append(torch.einsum("qk,qkv->qv", weights, values[where]))
    return torch.cat(found)
