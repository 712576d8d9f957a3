"""Operations that move pixels, as homographies, so that several in a row cost one resample and masks can follow.

Matrices map source to destination, (x, y) in pixels, about the image's centre; `vssl.views.ops.warp` applies them.
The gradient of a bilinear sample is exact, but noisy: it is that of the few pixels next to each sample.
"""

import math

import torch
from jaxtyping import Float
from kornia.geometry.transform import (
    get_perspective_transform,
    get_rotation_matrix2d,
    get_shear_matrix2d,
    get_translation_matrix2d,
)
from torch import Tensor

from vssl.views.ops import Op, register

Magnitude = Float[Tensor, " batch"]
Homography = Float[Tensor, "batch 3 3"]
Size = tuple[int, int]


def translate_x(fraction: Magnitude, size: Size) -> Homography:
    """To the right by a fraction of the width, negative: to the left. `size` is (height, width) in pixels."""
    pixels = fraction * size[1]
    return get_translation_matrix2d(torch.stack([pixels, torch.zeros_like(pixels)], dim=1))


def translate_y(fraction: Magnitude, size: Size) -> Homography:
    """Down by a fraction of the height, negative: up. `size` is (height, width) in pixels."""
    pixels = fraction * size[0]
    return get_translation_matrix2d(torch.stack([torch.zeros_like(pixels), pixels], dim=1))


def rotate(degrees: Magnitude, size: Size) -> Homography:
    """Anti-clockwise."""
    return _homography(get_rotation_matrix2d(_centre(degrees, size), degrees, torch.ones_like(degrees).expand(2, -1).T))


def scale(factor: Magnitude, size: Size) -> Homography:
    """Above 1 enlarges what is seen."""
    still = torch.zeros_like(factor)
    return _homography(get_rotation_matrix2d(_centre(factor, size), still, torch.stack([factor, factor], dim=1)))


def shear_x(degrees: Magnitude, size: Size) -> Homography:
    """Moves a row by −tan(degrees) × its distance below the centre."""
    return get_shear_matrix2d(_centre(degrees, size), sx=degrees * (math.pi / 180))


def shear_y(degrees: Magnitude, size: Size) -> Homography:
    """Moves a column by −tan(degrees) × its distance right of the centre."""
    return get_shear_matrix2d(_centre(degrees, size), sy=degrees * (math.pi / 180))


def perspective(distortion: Magnitude, size: Size, corners: Float[Tensor, "batch 4 2"]) -> Homography:
    """Moves each corner inwards by up to distortion × half a side.

    Args:
        corners: how far of that each corner goes in x and y, in [0, 1]; clockwise from the top left.
    """
    height, width = size
    source = distortion.new_tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    half_side = distortion.new_tensor([width / 2, height / 2])
    inwards = distortion.new_tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half_side
    moved = source + distortion.view(-1, 1, 1) * corners * inwards
    return get_perspective_transform(source.expand_as(moved), moved)


def _centre(magnitude: Magnitude, size: Size) -> Float[Tensor, "batch 2"]:
    return magnitude.new_tensor([(size[1] - 1) / 2, (size[0] - 1) / 2]).expand(len(magnitude), 2)


def _homography(affine: Float[Tensor, "batch 2 3"]) -> Homography:
    return torch.cat([affine, affine.new_tensor([0.0, 0.0, 1.0]).expand(len(affine), 1, 3)], dim=1)


def _op(function, low: float, high: float, identity: float, unit: str, kornia: str, noise=None) -> Op:
    return register(
        Op(
            function.__name__,
            function=function,
            low=low,
            high=high,
            identity=identity,
            unit=unit,
            kornia=f"geometry.transform.{kornia}",
            geometric=True,
            noise=noise,
        )
    )


TRANSLATE_X = _op(translate_x, -0.5, 0.5, 0.0, "fraction of the width", "translate")
TRANSLATE_Y = _op(translate_y, -0.5, 0.5, 0.0, "fraction of the height", "translate")
ROTATE = _op(rotate, -180.0, 180.0, 0.0, "degrees", "rotate")
SCALE = _op(scale, 0.5, 2.0, 1.0, "factor", "scale")
SHEAR_X = _op(shear_x, -45.0, 45.0, 0.0, "degrees", "get_shear_matrix2d")
SHEAR_Y = _op(shear_y, -45.0, 45.0, 0.0, "degrees", "get_shear_matrix2d")
PERSPECTIVE = _op(
    perspective,
    0.0,
    0.8,
    0.0,
    "fraction of half a side",
    "get_perspective_transform",
    noise=lambda draws, batch, size: draws.uniform(batch, 4, 2),
)
