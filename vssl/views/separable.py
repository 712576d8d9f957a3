"""Separable resampling: every line and every column of an image goes through a matrix of its own image.

The matrices are banded: an output pixel looks at a few neighbouring pixels. Forward is two dense products. Of large
images the graph keeps the inputs only, and the gradient's five products are taken in blocks of rows, from the first to
the last column that is not zero.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.views.chunks import chunks

Images = Float[Tensor, "batch channels height width"]
Vertical = Float[Tensor, "batch out_height height"]
Horizontal = Float[Tensor, "batch out_width width"]

# Rows of a block. A shorter block has fewer zeros to multiply and makes less of a matrix product.
BLOCK = 56


class SeparableBlock(NamedTuple):
    """Rows [start, stop) of a matrix, which hold zeros outside columns [low, high)."""

    start: int
    stop: int
    low: int
    high: int


def separable(
    images: Images, vertical: Vertical, horizontal: Horizontal
) -> Float[Tensor, "batch channels out_height out_width"]:
    """vertical · image · horizontalᵀ, for each channel of each image, with matrices of its own for each image.

    Entries of the matrices that are 0 may get no gradient. Images larger than 112 pixels a side go by blocks of rows.
    """
    if max(images.shape[2:]) <= 2 * BLOCK:  # there is little to leave out
        return _products(images, vertical, horizontal)
    return _Separable.apply(images, vertical, horizontal)


def _products(images: Images, vertical: Vertical, horizontal: Horizontal) -> Images:
    lines = torch.bmm(images.flatten(1, 2), horizontal.transpose(1, 2))
    return vertical.unsqueeze(1) @ lines.view(*images.shape[:3], -1)


class _Separable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images, vertical, horizontal):
        ctx.save_for_backward(images, vertical, horizontal)
        out = images.new_empty(*images.shape[:2], vertical.shape[1], horizontal.shape[1])
        for rows in chunks(images):
            out[rows] = _products(images[rows], vertical[rows], horizontal[rows])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        tensors = ctx.saved_tensors
        results = [torch.zeros_like(t) if w else None for t, w in zip(tensors, ctx.needs_input_grad, strict=True)]
        for rows in chunks(tensors[0]):
            wanted = (None if result is None else result[rows] for result in results)
            _add_gradients(gradient[rows], *(t[rows] for t in tensors), *wanted)
        return tuple(results)


def _add_gradients(gradient, images, vertical, horizontal, to_images, to_vertical, to_horizontal) -> None:
    """Adds to the last three, of which any may be None."""
    down, across = _blocks(vertical), _blocks(horizontal)
    to_lines = gradient.new_zeros(*images.shape[:3], horizontal.shape[1])
    for start, stop, low, high in down:
        to_lines[:, :, low:high] += vertical[:, None, start:stop, low:high].transpose(2, 3) @ gradient[:, :, start:stop]
    for start, stop, low, high in across:
        part = to_lines[..., start:stop]
        if to_images is not None:
            to_images[..., low:high] += part @ horizontal[:, None, start:stop, low:high]
        if to_horizontal is not None:
            to_horizontal[:, start:stop, low:high] += (part.transpose(2, 3) @ images[..., low:high]).sum(1)
    if to_vertical is not None:
        lines = torch.zeros_like(to_lines)
        for start, stop, low, high in across:
            lines[..., start:stop] = images[..., low:high] @ horizontal[:, None, start:stop, low:high].transpose(2, 3)
        for start, stop, low, high in down:
            products = gradient[:, :, start:stop] @ lines[:, :, low:high].transpose(2, 3)
            to_vertical[:, start:stop, low:high] += products.sum(1)


def _blocks(matrices: Float[Tensor, "batch rows columns"]) -> list[SeparableBlock]:
    """Blocks of rows, with the columns that any of the matrices uses; one block where looking would wait."""
    count, columns = matrices.shape[1:]
    if matrices.device.type != "cpu":
        return [SeparableBlock(0, count, 0, columns)]
    blocks = []
    for start in range(0, count, BLOCK):
        used = matrices[:, start : start + BLOCK].count_nonzero(dim=(0, 1)).nonzero()
        if len(used):
            blocks.append(SeparableBlock(start, min(start + BLOCK, count), int(used[0]), int(used[-1]) + 1))
    return blocks
