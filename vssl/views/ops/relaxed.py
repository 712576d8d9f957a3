"""Operations with steps in them: exact forward, and backward the gradient of a smooth function beside it.

solarize: the pixel's choice at the threshold is replaced by a sigmoid.
posterize: the error that rounding makes is taken to halve with each further bit, and the image's gradient passes.
equalize: the histogram is taken as constant and the image's gradient passes.
"""

import torch
from jaxtyping import Float
from kornia import enhance
from torch import Tensor

from vssl.views.chunks import chunked
from vssl.views.ops import Op, per_image, register, straight_through

Images = Float[Tensor, "batch 3 height width"]

# Width of the sigmoid that replaces the step of solarize, in image values.
SOLARIZE_WIDTH = 0.05
# Above every image value: a threshold of 1 would still turn white pixels black.
NO_SOLARIZE = 1 + 1 / 255


def hard_solarize(images: Images, threshold: Float[Tensor, " batch"]) -> Images:
    """Inverts the values at or above the threshold.

    Equals ``kornia.enhance.solarize``; a mean with weights 0 and 1 is as exact as its ``where``, and several times as
    fast on a CPU.
    """
    return torch.lerp(images, 1 - images, (images >= per_image(threshold)).to(images.dtype))


def soft_solarize_gradients(
    gradient: Images, images: Images, threshold: Float[Tensor, " batch"]
) -> tuple[Images, Float[Tensor, " batch"]]:
    """Of images + inverted · (1 − 2 · images), with the sigmoid `inverted` where `hard_solarize` has a step."""
    inverted = torch.sigmoid((images - per_image(threshold)) / SOLARIZE_WIDTH)
    moving = gradient * (1 - 2 * images) * (inverted * (1 - inverted) / SOLARIZE_WIDTH)
    return gradient * (1 - 2 * inverted) + moving, -moving.sum((1, 2, 3))


# The hard values with the gradient of the relaxed function.
solarize = chunked(hard_solarize, soft_solarize_gradients)


def posterize(images: Images, bits: Float[Tensor, " batch"]) -> Images:
    """Keeps the highest bits of the 8-bit values; a fraction of a bit is rounded to the nearest.

    The gradient is that of the images plus the error made with these bits, times 2^(these bits − bits).
    """
    at = bits.detach().round()
    hard = enhance.posterize(images.detach(), at.to(torch.int64))
    if not _tracked(images, bits):
        return hard
    return straight_through(hard, images + (hard - images.detach()) * per_image(2.0 ** (at - bits)))


def equalize(images: Images, strength: Float[Tensor, " batch"]) -> Images:
    """Blends each channel with its histogram-equalised version."""
    flat = straight_through(enhance.equalize(images.detach().clamp(0, 1)), images)
    return torch.lerp(images, flat, per_image(strength))


def _tracked(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


SOLARIZE = register(
    Op(
        "solarize",
        function=solarize,
        low=0.0,
        high=NO_SOLARIZE,
        identity=NO_SOLARIZE,
        unit="threshold",
        kornia="enhance.solarize",
        relaxation=f"sigmoid of width {SOLARIZE_WIDTH} at the threshold",
    )
)
POSTERIZE = register(
    Op(
        "posterize",
        function=posterize,
        low=1.0,
        high=8.0,
        identity=8.0,
        unit="bits",
        kornia="enhance.posterize",
        relaxation="straight-through on the image; the rounding error halves per bit",
    )
)
EQUALIZE = register(
    Op(
        "equalize",
        function=equalize,
        low=0.0,
        high=1.0,
        identity=0.0,
        unit="strength",
        kornia="enhance.equalize (strength 1)",
        relaxation="straight-through on the image",
    )
)
