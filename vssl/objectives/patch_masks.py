"""Token masks: which patches an objective hides. They come from `Draws`, and are thus the same for any number of ranks.

Polarity: True is hidden, False is visible.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vssl.draws import Draws

BLOCKS, TRIES = 16, 10
"""The most blocks of one mask, and the tries at each; ten are the authors'. Their blocks have no limit."""


class Masks(NamedTuple):
    """Masks of all views of a batch, in the order of ``global_crops.flatten(0, 1)``, on the device of the draws.

    mask: True where a patch is hidden. hidden: indices of the hidden patches in ``mask.flatten()``, ascending. They are
    found on the CPU, so that a GPU need not be waited for.
    """

    mask: Bool[Tensor, "rows patches"]
    hidden: Int[Tensor, " hidden"]


class RandomMasks:
    """Hides single patches.

    Which views are masked and how much of each is stratified as in DINOv2's code: of all views of the whole batch, on
    all ranks, the share `probability` is masked, and their ratios are spread evenly over `ratio`.

    Args:
        ratio: (lowest, highest) share of a masked view's patches that is hidden, in [0, 1].
        probability: share of the views that is masked, in [0, 1]; the others are whole.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, ratio: tuple[float, float] = (0.1, 0.5), probability: float = 0.5):
        low, high = ratio
        if not 0 <= low <= high <= 1 or high == 0:
            raise ValueError(f"mask ratio={tuple(ratio)} must be (lowest, highest) in [0, 1], e.g. (0.1, 0.5)")
        if not 0 <= probability <= 1:
            raise ValueError(f"mask probability={probability} must be in [0, 1], the share of masked views, e.g. 0.5")
        self.ratio, self.probability = (low, high), probability

    def __call__(self, draws: Draws, batch: int, views: int, grid: tuple[int, int]) -> Masks:
        """Masks for `views` views of each of `batch` images, all with `grid` = (rows, columns) patches."""
        on_cpu = draws.on("cpu")
        wanted = self._wanted(on_cpu.stratified(batch, views), grid[0] * grid[1])
        mask = self._draw(on_cpu, wanted, grid)
        mask = mask.transpose(0, 1).flatten(0, 1)
        hidden = mask.flatten().nonzero().squeeze(1)
        return Masks(mask.to(draws.device, non_blocking=True), hidden.to(draws.device, non_blocking=True))

    def _wanted(self, place: Float[Tensor, "batch views"], patches: int) -> Int[Tensor, "batch views"]:
        """How many patches to hide."""
        low, high = self.ratio
        share = low + (high - low) * place / max(self.probability, 1e-12)
        return torch.where(place < self.probability, (patches * share).long(), 0)

    def _draw(
        self, draws: Draws, wanted: Int[Tensor, "batch views"], grid: tuple[int, int]
    ) -> Bool[Tensor, "batch views patches"]:
        return _lowest(draws.uniform(*wanted.shape, grid[0] * grid[1]), wanted)


class BlockMasks(RandomMasks):
    """Hides rectangles of patches: BEiT's block-wise masking (arXiv 2106.08254), as in the code of iBOT and DINOv2.

    Blocks are added until the number of hidden patches is reached or ten tries at a block have failed, so that a mask
    may hide less than it should. A block's area is uniform between `min_patches` and what is missing, the logarithm of
    its height / width is uniform; a try fails where the block does not fit into the grid or would hide too much.

    Args:
        ratio, probability: see `RandomMasks`.
        min_patches: area of the smallest block, in patches (4 in DINOv2's code); None for iBOT's, a ninth of the grid.
        min_aspect: the smallest height / width of a block, in (0, 1]; its inverse is the largest.
        exact: hide single patches too, until the number is reached (DINOv3's code).

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(
        self,
        ratio: tuple[float, float] = (0.1, 0.5),
        probability: float = 0.5,
        min_patches: int | None = 4,
        min_aspect: float = 0.3,
        exact: bool = False,
    ):
        super().__init__(ratio, probability)
        if not 0 < min_aspect <= 1:
            raise ValueError(f"mask min_aspect={min_aspect} must be in (0, 1], e.g. 0.3")
        if min_patches is not None and min_patches < 1:
            raise ValueError(f"mask min_patches={min_patches} must be 1 or more, e.g. 4")
        self.min_patches, self.log_aspect, self.exact = min_patches, -math.log(min_aspect), exact

    def _draw(
        self, draws: Draws, wanted: Int[Tensor, "batch views"], grid: tuple[int, int]
    ) -> Bool[Tensor, "batch views patches"]:
        # All numbers at once: what is drawn next must not depend on how many blocks this rank's masks have.
        numbers = draws.uniform(*wanted.shape, BLOCKS, TRIES, 4).flatten(0, 1)
        missing, mask = wanted.flatten().clone(), torch.zeros(wanted.numel(), *grid, dtype=torch.bool)
        for block in range(BLOCKS):
            open_masks = missing.nonzero().squeeze(1)
            if not len(open_masks):
                break
            added = self._block(numbers[open_masks, block], mask[open_masks], missing[open_masks])
            mask[open_masks] |= added
            # As in the authors' code, a mask whose ten tries have failed is done.
            left = wanted.flatten()[open_masks] - mask[open_masks].sum((1, 2))
            missing[open_masks] = torch.where(added.any(2).any(1), left, 0)
        mask = mask.flatten(1).unflatten(0, wanted.shape)
        if self.exact:
            order = draws.uniform(*mask.shape).masked_fill(mask, 2.0)
            mask = mask | _lowest(order, wanted - mask.sum(-1))
        return mask

    def _block(
        self, numbers: Float[Tensor, "masks tries 4"], mask: Bool[Tensor, "masks rows columns"], missing: Tensor
    ) -> Bool[Tensor, "masks rows columns"]:
        """The first try of each mask that fits; nothing where none does."""
        rows, columns = mask.shape[1:]
        smallest = (min(rows, columns) // 3) ** 2 if self.min_patches is None else self.min_patches
        area, aspect, top, left = numbers.unbind(-1)
        area = smallest + area * (missing.unsqueeze(1) - smallest)
        aspect = (self.log_aspect * (2 * aspect - 1)).exp()
        height, width = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        top, left = (top * (rows - height + 1)).floor(), (left * (columns - width + 1)).floor()
        new = height * width - _hidden_within(mask, top, left, height, width)
        fits = (height < rows) & (width < columns) & (new > 0) & (new <= missing.unsqueeze(1))
        first = fits.int().argmax(1, keepdim=True)
        top, left, height, width = (side.gather(1, first) for side in (top, left, height, width))
        inside = _between(rows, top, height).unsqueeze(2) & _between(columns, left, width).unsqueeze(1)
        return inside & fits.any(1)[:, None, None]


def random_mask(
    draws: Draws, batch: int, patches: int, mask_ratio: float, scores: Float[Tensor, "batch patches"] | None = None
) -> tuple[Int[Tensor, "batch kept"], Int[Tensor, "batch hidden"]]:
    """(keep, hidden): indices of the visible and of the hidden patches, ``int(patches·(1 − mask_ratio))`` visible.

    With `scores`, the hidden patches are drawn one by one without replacement, each with odds exp(score): those with
    the largest u^(1/odds), u uniform (Efraimidis and Spirakis 2006), which is Gumbel top-k. Scores of 0 change nothing,
    to the last bit.

    Raises:
        ValueError: no patch would be visible, or none hidden; or not one score for each patch.
    """
    kept = int(patches * (1.0 - mask_ratio))
    if not 0 < kept < patches:
        raise ValueError(
            f"mask_ratio={mask_ratio:.4g} leaves {kept} of {patches} patches visible; change the ratio (or the "
            "bounds of the designer that moves it), or use larger images"
        )
    if scores is None:
        order = draws.permutation(batch, patches)
    elif scores.shape == (batch, patches):
        order = (draws.uniform(batch, patches) ** (-scores.detach()).exp()).argsort(dim=1)
    else:
        raise ValueError(
            f"the designer scores {scores.shape[1]} patches of a view, the backbone has {patches}; "
            "set designer.patch_size to the backbone's patch size"
        )
    return order[:, :kept], order[:, kept:]


def _hidden_within(
    mask: Bool[Tensor, "masks rows columns"], top: Tensor, left: Tensor, height: Tensor, width: Tensor
) -> Int[Tensor, "masks tries"]:
    """How many hidden patches each mask has in each rectangle; meaningless where that leaves the grid."""
    sums = F.pad(mask.int().cumsum(1).cumsum(2), (1, 0, 1, 0))  # of all patches above and to the left

    def corner(row: Tensor, column: Tensor) -> Tensor:
        row, column = row.clamp(0, mask.shape[1]), column.clamp(0, mask.shape[2])
        return sums.flatten(1).gather(1, (row * sums.shape[2] + column).long())

    bottom, right = top + height, left + width
    return corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)


def _between(
    length: int, start: Float[Tensor, "masks 1"], extent: Float[Tensor, "masks 1"]
) -> Bool[Tensor, "masks length"]:
    place = torch.arange(length)
    return (place >= start) & (place < start + extent)


def _lowest(numbers: Float[Tensor, "... n"], count: Int[Tensor, "..."]) -> Bool[Tensor, "... n"]:
    """True at the `count` lowest numbers of each row."""
    return numbers.argsort(-1).argsort(-1) < count.unsqueeze(-1)
