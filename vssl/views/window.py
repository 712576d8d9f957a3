"""The crop window: random-resized-crop as one differentiable, antialiased resample.

A window is a rectangle of the image with real-valued edges. Each output pixel is a weighted mean of the image's
pixels under a triangle filter, as wide as one output pixel when the window is shrunk and one input pixel when it is
enlarged (the filter of PIL and of torchvision's ``antialias=True``), or under PIL's bicubic filter, twice as wide. The
filter is separable, so the resample is two matrix products whose weights are differentiable in the window's edges.

Differences to ``torchvision.transforms.RandomResizedCrop``: edges are not rounded to whole pixels; the filter may
look over the window's edge into the image (torchvision crops first), which changes the outermost output pixels; and
a window that does not fit is clipped to the image; `ViewPlan.redraw` draws it again, as torchvision does.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vssl.views.chunks import clamp
from vssl.views.separable import separable


class Window(NamedTuple):
    """Crop windows, one per image, as fractions of the image's sides.

    area: of the window, as a fraction of the image's; log_ratio: logarithm of width / height in pixels.
    x, y: where the window lies in the room that it leaves, 0 = left / top, 1 = right / bottom.
    """

    area: Float[Tensor, " batch"]
    log_ratio: Float[Tensor, " batch"]
    x: Float[Tensor, " batch"]
    y: Float[Tensor, " batch"]

    def edges(self, height: int, width: int) -> Float[Tensor, "batch 4"]:
        """(left, top, width, height) of each window in pixels."""
        across = clamp((self.area * height * width * self.log_ratio.exp()).sqrt(), 1, width)
        down = clamp((self.area * height * width * (-self.log_ratio).exp()).sqrt(), 1, height)
        return torch.stack([self.x * (width - across), self.y * (height - down), across, down], dim=1)


def resample(
    images: Float[Tensor, "batch channels height width"],
    window: Window,
    size: int,
    flip: Bool[Tensor, " batch"] | None = None,
    interpolation: str = "bilinear",
) -> Float[Tensor, "batch channels size size"]:
    """The window of each image at size×size pixels, mirrored left to right where `flip`.

    `interpolation`: "bilinear" or "bicubic"; bicubic overshoots at edges.
    """
    kernel = FILTERS[interpolation]
    height, width = images.shape[-2:]
    left, top, across, down = window.edges(height, width).unbind(1)
    horizontal = _weights(left, across, width, size, kernel)
    if flip is not None:
        horizontal = torch.where(flip.view(-1, 1, 1), horizontal.flip(1), horizontal)
    vertical = _weights(top, down, height, size, kernel)
    return separable(images, vertical, horizontal)


def _triangle(distance: Tensor) -> Tensor:
    return clamp(1 - distance, 0, math.inf)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic with a = −0.5, as in PIL."""
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0))


FILTERS = {"bilinear": _triangle, "bicubic": _cubic}


def _weights(
    start: Float[Tensor, " batch"], length: Float[Tensor, " batch"], side: int, size: int, kernel: Callable
) -> Float[Tensor, "batch size side"]:
    """Row i holds the weights with which output pixel i takes the `side` pixels of a line."""
    scale = (length / size).view(-1, 1, 1)
    pixels = torch.arange(side, device=start.device, dtype=start.dtype) + 0.5
    outputs = torch.arange(size, device=start.device, dtype=start.dtype).unsqueeze(1) + 0.5
    centres = start.view(-1, 1, 1) + outputs * scale
    weights = kernel((pixels - centres).abs() / clamp(scale, 1, math.inf))
    return weights / weights.sum(dim=2, keepdim=True)
