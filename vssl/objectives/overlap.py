"""Patch features of two crops where both show the same part of the image, on a common grid."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vssl.objectives.dino_head import full_precision

SAMPLES = 2
"""Bilinear samples along each side of a cell, whose mean is the cell's value; ``sampling_ratio`` of torchvision."""

Boxes = Float[Tensor, "rows 4"]
"""(left, top, right, bottom), as shares of the sides of an image or a crop; left > right: mirrored."""


def common_region(first: Boxes, second: Boxes) -> tuple[Boxes, Float[Tensor, " rows"]]:
    """(what both crops show, its share of the image's area), both in the image.

    Where they share nothing, the region is the gap between them, without area in at least one direction.
    """
    (left_a, top_a, right_a, bottom_a), (left_b, top_b, right_b, bottom_b) = (_upright(b) for b in (first, second))
    left, right = torch.maximum(left_a, left_b), torch.minimum(right_a, right_b)
    top, bottom = torch.maximum(top_a, top_b), torch.minimum(bottom_a, bottom_b)
    return torch.stack([left, top, right, bottom], dim=1), F.relu(right - left) * F.relu(bottom - top)


def inside(region: Boxes, crop: Boxes) -> Boxes:
    """A region of the image in the coordinates of a crop; mirrored (left > right) where the crop is."""
    origin, end = crop[:, :2].repeat(1, 2), crop[:, 2:].repeat(1, 2)
    return (region - origin) / (end - origin)


def roi_align(
    patches: Float[Tensor, "rows patches dim"], grid: tuple[int, int], region: Boxes, cells: int
) -> Float[Tensor, "rows cells_squared dim"]:
    """Features on a grid of `cells` × `cells` over a region of the crop; cells are in the order of the image, upright.

    torchvision's ``roi_align(aligned=True)`` with `SAMPLES`, which has neither a second derivative nor one in the
    region. This has both: each side is a matrix product. It also takes mirrored regions. fp32 or better.

    Args:
        grid: (rows, columns) of patches.
        region: in the crop's coordinates, see `inside`.
    """
    with torch.autocast(patches.device.type, enabled=False):
        patches = full_precision(patches)
        left, top, right, bottom = region.to(patches.dtype).unbind(1)
        down, across = _weights(top, bottom, cells, grid[0]), _weights(left, right, cells, grid[1])
        # named axes: r row of the batch, h/w patch, i/j cell, d value
        maps = patches.unflatten(1, grid)
        return torch.einsum("rih,rhwd,rjw->rijd", down, maps, across).flatten(1, 2)


def _weights(
    start: Float[Tensor, " rows"], end: Float[Tensor, " rows"], cells: int, side: int
) -> Float[Tensor, "rows cells side"]:
    """With which weights a cell takes the patches of a line."""
    place = (torch.arange(cells * SAMPLES, device=start.device, dtype=start.dtype) + 0.5) / (cells * SAMPLES)
    at = (start[:, None] + place * (end - start)[:, None]) * side - 0.5
    at = at.clamp(0, side - 1)
    patches = torch.arange(side, device=start.device, dtype=start.dtype)
    return F.relu(1 - (at.unsqueeze(2) - patches).abs()).unflatten(1, (cells, SAMPLES)).mean(2)


def _upright(boxes: Boxes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    left, top, right, bottom = boxes.unbind(1)
    return torch.minimum(left, right), top, torch.maximum(left, right), bottom
