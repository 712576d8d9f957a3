"""I-JEPA's masks: a large context block, and smaller target blocks that are cut out of it (arXiv 2301.08243)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vssl.distributed import gather
from vssl.draws import Draws
from vssl.objectives.patch_masks import check_scores

TRIES = 20
"""At a context, before one target fewer is cut out of it; the authors'."""


class Blocks(NamedTuple):
    """Indices of patches, ascending, on the device of the draws."""

    context: Int[Tensor, "batch seen"]
    targets: Int[Tensor, "batch targets patches"]


class MultiBlockMasks:
    """Multi-block masking, section 3 of the paper and ``MaskCollator`` of its code.

    A batch has one size of target and one of context. Their places are drawn for each image. The context is what its
    block leaves outside all targets; where that is too little in 20 tries, the last target is no longer cut out, and so
    on. All contexts of a batch, on all ranks, are cut to as many patches as the smallest has: the last ones, in rows
    from the top, are dropped.

    Departure from the authors' code: a block may lie at the last row and column of the grid. Theirs never does
    (``randint`` leaves its bound out), so that those patches are neither seen nor predicted.

    Args:
        context_scale, target_scale: (lowest, highest) share of the grid that a block covers.
        target_aspect: (lowest, highest) height / width of a target; a context is as high as it is wide.
        n_targets: how many targets an image has; they may overlap.
        min_keep: targets and contexts have more patches than this.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(
        self,
        context_scale: tuple[float, float] = (0.85, 1.0),
        target_scale: tuple[float, float] = (0.15, 0.2),
        target_aspect: tuple[float, float] = (0.75, 1.5),
        n_targets: int = 4,
        min_keep: int = 10,
    ):
        for name, (low, high) in (("context_scale", context_scale), ("target_scale", target_scale)):
            if not 0 < low <= high <= 1:
                raise ValueError(f"{name}=({low}, {high}) must be (lowest, highest) share of the grid in (0, 1]")
        if not 0 < target_aspect[0] <= target_aspect[1]:
            raise ValueError(f"target_aspect={tuple(target_aspect)} must be (lowest, highest) height / width above 0")
        if n_targets < 1 or min_keep < 0:
            raise ValueError(f"n_targets={n_targets} must be 1 or more and min_keep={min_keep} 0 or more")
        self.context_scale, self.target_scale, self.target_aspect = context_scale, target_scale, target_aspect
        self.n_targets, self.min_keep = n_targets, min_keep

    def __call__(
        self, draws: Draws, batch: int, grid: tuple[int, int], scores: Float[Tensor, "batch patches"] | None = None
    ) -> Blocks:
        """Blocks for `batch` images with `grid` = (rows, columns) patches.

        With `scores`, a target's place has as odds the exponential of the mean score of its patches. Where an image's
        scores are equal, nothing changes, to the last bit. Several ranks exchange their scores.

        Raises:
            ValueError: targets or context can't have more than `min_keep` patches on so small a grid, or not one score
                for each patch.
        """
        # For the whole batch on every rank: the smallest context of all ranks must be known.
        numbers, images = draws.on("cpu").whole(), batch * draws.world_size
        for_target, for_context = numbers.uniform(2).tolist()
        self._check(grid)
        target = _size(for_target, self.target_scale, self.target_aspect, grid)
        context = _size(for_context, self.context_scale, (1.0, 1.0), grid)
        places = numbers.uniform(images, self.n_targets, 2)
        if scores is not None:
            check_scores(scores, grid[0] * grid[1])
            places = _by_odds(places, _of_all_ranks(scores, draws.world_size), target, grid)
        targets = _block(places, target, grid)
        seen = self._contexts(numbers.uniform(images, self.n_targets + 1, TRIES, 2), context, targets, grid)
        kept = int(seen.sum(1).min())
        indices = seen.int().argsort(dim=1, descending=True, stable=True)[:, :kept]
        return Blocks(draws.share(indices), draws.share(targets))

    def _check(self, grid: tuple[int, int]) -> None:
        """Refuse settings with which some step, not only this one, would have too small a block."""
        for what, scale, aspect in [
            ("target", self.target_scale, self.target_aspect),
            ("context", self.context_scale, (1.0, 1.0)),
        ]:
            sizes = [_size(i / 100, scale, aspect, grid) for i in range(101)]
            height, width = min(sizes, key=math.prod)
            if height * width <= self.min_keep:
                raise ValueError(
                    f"a {what} can have {height}x{width} patches on a grid of {grid[0]}x{grid[1]}, not more than "
                    f"min_keep={self.min_keep}; give a lower min_keep, a larger {what}_scale, or larger images"
                )

    def _contexts(
        self,
        places: Float[Tensor, "images levels tries 2"],
        size: tuple[int, int],
        targets: Int[Tensor, "images targets patches"],
        grid: tuple[int, int],
    ) -> Bool[Tensor, "images patches"]:
        """True where an image's context sees."""
        images, patches = len(places), grid[0] * grid[1]
        nothing = torch.zeros(images, patches, dtype=torch.bool)
        seen, pending = nothing.clone(), torch.arange(images)
        for level in range(places.shape[1]):
            cut = targets[:, : targets.shape[1] - level].flatten(1)
            hidden = nothing.scatter(1, cut, torch.ones_like(cut, dtype=torch.bool))
            for attempt in range(places.shape[2]):
                block = _block(places[pending, level, attempt], size, grid)
                found = nothing[pending].scatter(1, block, torch.ones_like(block, dtype=torch.bool))
                found &= ~hidden[pending]
                fits = found.sum(1) > self.min_keep
                seen[pending[fits]] = found[fits]
                pending = pending[~fits]
                if len(pending) == 0:
                    return seen
        raise AssertionError("a context from which nothing is cut is large enough")


def _size(
    number: float, scale: tuple[float, float], aspect: tuple[float, float], grid: tuple[int, int]
) -> tuple[int, int]:
    """(rows, columns) of a block. As in the authors' code, one number chooses both area and aspect."""
    area = int(grid[0] * grid[1] * (scale[0] + number * (scale[1] - scale[0])))
    ratio = aspect[0] + number * (aspect[1] - aspect[0])
    return min(round(math.sqrt(area * ratio)), grid[0] - 1), min(round(math.sqrt(area / ratio)), grid[1] - 1)


def _by_odds(
    places: Float[Tensor, "images targets 2"],
    scores: Float[Tensor, "images patches"],
    size: tuple[int, int],
    grid: tuple[int, int],
) -> Float[Tensor, "images targets 2"]:
    """The places moved so that uniform ones become draws by the odds: the row first, then the column in it."""
    odds = F.avg_pool2d(scores.double().unflatten(1, grid).unsqueeze(1), size, stride=1).squeeze(1).exp()
    row = _inverse(odds.sum(2), places[..., 0])
    in_row = odds.gather(1, row.unsqueeze(2).expand(-1, -1, odds.shape[2]))
    column = _inverse(in_row, places[..., 1:]).squeeze(2)
    moved = torch.stack([(row + 0.5) / odds.shape[1], (column + 0.5) / odds.shape[2]], dim=-1).to(places)
    lowest, highest = scores.aminmax(dim=1)
    return torch.where((lowest == highest)[:, None, None], places, moved)


def _inverse(odds: Float[Tensor, "... n"], numbers: Float[Tensor, "... k"]) -> Int[Tensor, "... k"]:
    """The choice that each number in [0, 1) stands for, where choices have these odds."""
    upto = odds.cumsum(-1) / odds.sum(-1, keepdim=True)
    return torch.searchsorted(upto, numbers.to(odds).contiguous(), right=True).clamp(max=odds.shape[-1] - 1)


def _of_all_ranks(scores: Float[Tensor, "batch patches"], world_size: int) -> Float[Tensor, "images patches"]:
    """On the CPU, in the order of the whole batch: row i of rank r is row i · world_size + r (`Draws`)."""
    if world_size == 1:
        return scores.detach().cpu()
    every, _ = gather(scores.detach())
    return every.unflatten(0, (world_size, -1)).transpose(0, 1).flatten(0, 1).cpu()


def _block(places: Float[Tensor, "... 2"], size: tuple[int, int], grid: tuple[int, int]) -> Int[Tensor, "... patches"]:
    """Indices of the patches of blocks, from where they lie in the room that they leave (0 = top or left, 1 = end)."""
    (rows, columns), (height, width) = grid, size
    top = (places[..., 0] * (rows - height + 1)).long()
    left = (places[..., 1] * (columns - width + 1)).long()
    row = top[..., None] + torch.arange(height)
    column = left[..., None] + torch.arange(width)
    return (row[..., :, None] * columns + column[..., None, :]).flatten(-2)
