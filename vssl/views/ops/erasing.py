"""Operations that hide parts of an image: a cutout box, and the blur that masks mix in."""

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.views.chunks import clamp
from vssl.views.ops import Op, register
from vssl.views.ops.filtering import blur, blur_radius

Images = Float[Tensor, "batch 3 height width"]

# Width / height of a cutout box lies between 1 / MAX_ASPECT and MAX_ASPECT.
MAX_ASPECT = 2.0


def cutout(images: Images, side: Float[Tensor, " batch"], place: Float[Tensor, "batch 3"]) -> Images:
    """Fills a box with the image's mean colour.

    A pixel at the box's edge is filled by the share of it that the box covers, so that the box grows smoothly.

    Args:
        side: of a square box of the same area, as a fraction of the image's sides; the box is cut at the border.
        place: centre x, centre y and logarithm of the aspect, each uniform in [0, 1].
    """
    height, width = images.shape[-2:]
    stretch = MAX_ASPECT ** (place[:, 2] - 0.5)
    across = _covered(width, place[:, 0] * width, side * stretch * width)
    down = _covered(height, place[:, 1] * height, side / stretch * height)
    box = (down.unsqueeze(2) * across.unsqueeze(1)).unsqueeze(1)
    return torch.lerp(images, images.mean(dim=(2, 3), keepdim=True).expand_as(images), box)


def mix_with_blur(images: Images, mask: Float[Tensor, "batch 1 height width"], sigma: float) -> Images:
    """μ⊙v + (1 − μ)⊙Blur(v): where the mask is 1 the pixel stays, where it is 0 it is blurred.

    Args:
        sigma: of the blur, in pixels.
    """
    blurred = blur(images, images.new_full((len(images),), sigma), blur_radius(sigma))
    return torch.lerp(blurred, images, mask)


def _covered(pixels: int, centre: Float[Tensor, " batch"], length: Float[Tensor, " batch"]) -> Float[Tensor, "batch n"]:
    """The share of each pixel of a line that the interval covers, all in pixels."""
    left = torch.arange(pixels, device=centre.device, dtype=centre.dtype)
    start, end = (centre - length / 2).unsqueeze(1), (centre + length / 2).unsqueeze(1)
    return clamp(torch.minimum(left + 1, end) - torch.maximum(left, start))


CUTOUT = register(
    Op(
        "cutout",
        function=cutout,
        low=0.0,
        high=0.9,
        identity=0.0,
        unit="fraction of the side",
        kornia="augmentation.RandomErasing, with soft edges and the mean colour",
        noise=lambda draws, batch, size: draws.uniform(batch, 3),
    )
)
