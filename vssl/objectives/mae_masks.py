"""MAE's masks: which patches are seen and which are hidden, equally many in each image of a batch."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vssl.draws import Draws
from vssl.objectives.patch_masks import BlockMasks, check_scores

Scores = Float[Tensor, "batch patches"] | None
Indices = Int[Tensor, "batch some"]

KINDS = ("random", "block", "grid")


def mae_mask(
    kind: str, draws: Draws, batch: int, grid: tuple[int, int], mask_ratio: float, scores: Scores = None
) -> tuple[Indices, Indices]:
    """(keep, hidden): indices of the visible and of the hidden patches.

    Args:
        kind: one of `KINDS`: `random_mask`, `block_mask` or `grid_mask`.
        grid: (rows, columns) of patches.
        scores: logarithms of the patches' odds to be hidden; not for ``"grid"``.

    Raises:
        ValueError: no patch would be visible, or none hidden; or not one score for each patch.
    """
    if kind == "grid":
        return grid_mask(draws, batch, grid, mask_ratio)
    if kind == "block":
        return block_mask(draws, batch, grid, mask_ratio, scores)
    return random_mask(draws, batch, math.prod(grid), mask_ratio, scores)


def random_mask(
    draws: Draws, batch: int, patches: int, mask_ratio: float, scores: Scores = None
) -> tuple[Indices, Indices]:
    """Single patches, the paper's choice; ``int(patches·(1 − mask_ratio))`` are visible.

    With `scores`, the hidden patches are drawn one by one without replacement, each with odds exp(score): those with
    the largest u^(1/odds), u uniform (Efraimidis and Spirakis 2006), which is Gumbel top-k. Scores of 0 change nothing,
    to the last bit.

    Args:
        mask_ratio: share of hidden patches, in [0, 1].
        scores: (batch, patches), logarithms of the patches' odds to be hidden; None: all alike.

    Returns:
        The visible patches' indices and the hidden ones', (batch, visible) and (batch, hidden), in the order drawn.

    Raises:
        ValueError: no patch would be visible, or none hidden; or not one score for each patch.
    """
    kept = _visible(patches, mask_ratio)
    if scores is None:
        order = draws.permutation(batch, patches)
    else:
        check_scores(scores, patches)
        order = (draws.uniform(batch, patches) ** (-scores.detach()).exp()).argsort(dim=1)
    return order[:, :kept], order[:, kept:]


def block_mask(
    draws: Draws, batch: int, grid: tuple[int, int], mask_ratio: float, scores: Scores = None
) -> tuple[Indices, Indices]:
    """Rectangles, as `BlockMasks` draws them (BEiT's), filled up with single patches where they hide too few.

    Few rectangles cover a corner: at 75 %, on a grid of 8 × 8, the middle is hidden in nine of ten images, a corner in
    three.
    """
    hidden = math.prod(grid) - _visible(math.prod(grid), mask_ratio)
    masks = BlockMasks((mask_ratio, mask_ratio), probability=1.0, exact=True)
    if scores is not None:
        check_scores(scores, math.prod(grid))
        scores = scores.detach().unsqueeze(1).cpu()
    mask = masks.drawn(draws.on("cpu"), torch.full((batch, 1), hidden), grid, scores)
    return _indices(mask.squeeze(1).to(draws.device, non_blocking=True), hidden)


def grid_mask(draws: Draws, batch: int, grid: tuple[int, int], mask_ratio: float) -> tuple[Indices, Indices]:
    """One patch of each cell of side × side patches is visible, the same one in all cells of an image (the paper's
    figure 6). Which one is drawn for each image.

    Raises:
        ValueError: `mask_ratio` is not 1 − 1/side², or cells of that side do not fill the grid.
    """
    side = round((1 - mask_ratio) ** -0.5)
    if side < 2 or abs(1 - 1 / side**2 - mask_ratio) > 1e-6:
        raise ValueError(
            f"mask_ratio={mask_ratio:.4g}: mask='grid' shows one patch of a square cell, so it hides 1 - 1/side² of "
            "them; give 0.75 (side 2) or 8/9 (side 3), or mask='random'"
        )
    if grid[0] % side or grid[1] % side:
        raise ValueError(f"mask='grid': cells of {side}x{side} patches do not fill a grid of {grid[0]}x{grid[1]}")
    place = (draws.uniform(batch) * side**2).long()
    rows, columns = (torch.arange(n, device=place.device) % side for n in grid)
    shown = (rows[:, None] * side + columns).flatten() == place[:, None]
    return _indices(~shown, math.prod(grid) - math.prod(grid) // side**2)


def _visible(patches: int, mask_ratio: float) -> int:
    kept = int(patches * (1.0 - mask_ratio))
    if not 0 < kept < patches:
        raise ValueError(
            f"mask_ratio={mask_ratio:.4g} leaves {kept} of {patches} patches visible; change the ratio (or the "
            "bounds of the designer that moves it), or use larger images"
        )
    return kept


def _indices(mask: Bool[Tensor, "batch patches"], hidden: int) -> tuple[Indices, Indices]:
    order = mask.int().argsort(dim=1, stable=True)
    return order[:, : mask.shape[1] - hidden], order[:, mask.shape[1] - hidden :]
