"""Operations that look at a pixel's neighbours: Gaussian blur and sharpness, with one strength per image."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from kornia.filters import gaussian_blur2d
from torch import Tensor

from vssl.views.chunks import chunked, clamp_gradient, dot
from vssl.views.ops import Op, per_image, register
from vssl.views.separable import separable

Images = Float[Tensor, "batch 3 height width"]

# Pixels. It fixes the taps of every blur in a recipe or policy, and with them its time.
MAX_SIGMA = 4.0
# Up to this side (pixels) a blur is two products with banded matrices; above, a convolution per image has less to do.
SMALL_SIDE = 256


def blur(images: Images, sigma: Float[Tensor, " batch"], radius: int | None = None) -> Images:
    """Gaussian blur, one σ (pixels) per image, borders reflected.

    Args:
        sigma: in [0, MAX_SIGMA]; 0 leaves the image as it is.
        radius: taps on each side, at most the image's side − 1; by default 3·MAX_SIGMA, or what fits. Give the radius
            that the largest σ needs (`blur_radius`) to save time.

    Equals ``kornia.filters.gaussian_blur2d(images, 2·radius + 1, sigma)``.
    """
    height, width = images.shape[-2:]
    radius = min(blur_radius(MAX_SIGMA) if radius is None else radius, height - 1, width - 1)
    if radius == 0:
        return images
    sigma = sigma.clamp(min=1e-2)  # below, exp(-1 / 2σ²) is 0 in float32 and 1 / σ² has no finite gradient
    if max(height, width) > SMALL_SIDE:
        return gaussian_blur2d(images, 2 * radius + 1, torch.stack([sigma, sigma], dim=1))
    taps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernels = torch.softmax(-(taps**2) / (2 * sigma.unsqueeze(1) ** 2), dim=1)
    horizontal, vertical = (_matrices(kernels, side) for side in (width, height))
    return separable(images, vertical, horizontal)


def blur_radius(sigma: float) -> int:
    """Taps on each side that hold 99.7 % of a Gaussian."""
    return max(1, math.ceil(3 * sigma))


def sharpness(images: Images, factor: Float[Tensor, " batch"]) -> Images:
    """Blends each image with a smoothed copy; 0 is the smoothed one, above 1 sharpens. The outermost pixels stay.

    Equals ``kornia.enhance.sharpness``: its 3×3 kernel (1, with 5 in the middle, over 13) is a box sum plus four times
    the middle, and the box sum is separable.
    """
    return torch.lerp(_framed(_smooth(images).clamp(0, 1), images), images, per_image(factor)).clamp(0, 1)


def sharpness_gradients(
    gradient: Images, images: Images, factor: Float[Tensor, " batch"]
) -> tuple[Images, Float[Tensor, " batch"]]:
    smooth = _smooth(images)
    framed = _framed(smooth.clamp(0, 1), images)
    gradient = clamp_gradient(gradient, torch.lerp(framed, images, per_image(factor)))
    to_smooth = clamp_gradient((gradient * per_image(1 - factor))[:, :, 1:-1, 1:-1], smooth) / 13
    to_images = _framed(gradient[:, :, 1:-1, 1:-1] * per_image(factor) + 4 * to_smooth, gradient)
    to_images += _box_sum(F.pad(to_smooth, (2, 2, 2, 2)))
    return to_images, dot(gradient, images) - dot(gradient, framed)


def _smooth(images: Images) -> Float[Tensor, "batch 3 inner_height inner_width"]:
    return (_box_sum(images) + 4 * images[:, :, 1:-1, 1:-1]) / 13


def _box_sum(images: Images) -> Float[Tensor, "batch 3 inner_height inner_width"]:
    """Sum of the 3×3 pixels around each inner pixel. Its adjoint is the same sum over the padded gradient."""
    columns = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    return columns[:, :, :, :-2] + columns[:, :, :, 1:-1] + columns[:, :, :, 2:]


def _framed(inner: Float[Tensor, "batch 3 inner_height inner_width"], frame: Images) -> Images:
    """The inner pixels within the outermost pixels of other images."""
    inner = torch.cat([frame[:, :, 1:-1, :1], inner, frame[:, :, 1:-1, -1:]], dim=3)
    return torch.cat([frame[:, :, :1], inner, frame[:, :, -1:]], dim=2)


def _matrices(kernels: Float[Tensor, "batch taps"], side: int) -> Float[Tensor, "batch side side"]:
    """Each kernel as the matrix that blurs a line of `side` pixels with reflected ends."""
    selector = _selector(kernels.shape[1], side).to(kernels)
    return (kernels @ selector).view(-1, side, side)


@lru_cache(maxsize=16)
def _selector(taps: int, side: int) -> Float[Tensor, "taps side_by_side"]:
    radius = taps // 2
    pixel = torch.arange(side).unsqueeze(1)
    source = (pixel + torch.arange(-radius, radius + 1)).abs()
    source = torch.where(source >= side, 2 * (side - 1) - source, source)
    selector = torch.zeros(taps, side, side)
    selector[torch.arange(taps).unsqueeze(0), pixel, source] = 1
    return selector.view(taps, -1)


BLUR = register(
    Op(
        "blur",
        function=blur,
        low=0.0,
        high=MAX_SIGMA,
        identity=0.0,
        unit="pixels (σ)",
        kornia="filters.gaussian_blur2d",
    )
)
SHARPNESS = register(
    Op(
        "sharpness",
        function=chunked(sharpness, sharpness_gradients),
        low=0.0,
        high=5.0,
        identity=1.0,
        unit="factor",
        kornia="enhance.sharpness",
    )
)
