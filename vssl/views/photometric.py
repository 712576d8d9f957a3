"""Operations on colour: each pixel changes by itself (contrast also looks at the image's mean).

The arithmetic is kornia's. Brightness, contrast and saturation are the PIL / torchvision versions, which blend with
black, with the mean luma and with the luma.
"""

import torch
from jaxtyping import Float
from kornia import enhance
from kornia.augmentation import RandomPlanckianJitter
from kornia.color import rgb_to_grayscale
from torch import Tensor

from vssl.views.ops import Op, per_image

Images = Float[Tensor, "batch 3 height width"]
Magnitude = Float[Tensor, " batch"]

# Half the step between 0 and 1/255, the darkest value above black in an 8-bit image.
DARKEST = 1e-3
# kornia's blackbody table has a row every 500 K.
COLDEST, ROW_KELVIN, DAYLIGHT = 3000.0, 500.0, 6500.0


def hue(images: Images, turns: Magnitude) -> Images:
    """Rotates the hue in HSV by a fraction of the colour circle.

    Equal to ``kornia.enhance.adjust_hue(images, 2π·turns)`` at about a third of its time: with the hue s in sextants, a
    channel is value − chroma·clamp(d, 0, 1), where d is 2 − |s − 3| for red, |s − 2| − 1 for green and |s − 4| − 1 for
    blue, so nothing has to be selected on the way back.
    """
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    sextant = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    )
    # Gray pixels have no hue: any divisor keeps them gray, and 1 keeps their gradient finite.
    sextant = sextant / torch.where(chroma == 0, 1.0, chroma) + 6 * turns.view(-1, 1, 1)
    sextant = torch.remainder(sextant, 6)
    distances = (2 - (sextant - 3).abs(), (sextant - 2).abs() - 1, (sextant - 4).abs() - 1)
    return torch.stack([value - chroma * distance.clamp(0, 1) for distance in distances], dim=1)


def gamma(images: Images, exponent: Magnitude) -> Images:
    """images ** exponent, and a straight line to 0 below `DARKEST`: the power has no finite slope at 0."""
    clamped = images.clamp(min=DARKEST)
    slope = per_image(DARKEST ** (exponent - 1))
    return enhance.adjust_gamma(clamped, exponent) - slope * (clamped - images)


def grayscale(images: Images, strength: Magnitude) -> Images:
    """Blends each image with its luma; strength 1 is exactly ``kornia.color.rgb_to_grayscale``."""
    return torch.lerp(images, rgb_to_grayscale(images).expand_as(images), per_image(strength))


def noise(images: Images, deviation: Magnitude, normal: Images) -> Images:
    """Adds Gaussian noise of a standard deviation and clamps to [0, 1]."""
    return (images + per_image(deviation) * normal).clamp(0, 1)


_PLANCKIAN: Tensor = RandomPlanckianJitter(mode="blackbody").pl  # (25, 2): red / green and blue / green


def planckian(images: Images, kelvin: Magnitude) -> Images:
    """Light of another colour temperature: red and blue are scaled along the blackbody curve, relative to 6500 K.

    The table is kornia's, interpolated linearly between its rows. kornia's own op has no row that leaves images as
    they are; dividing by the row of daylight makes 6500 K the identity.
    """
    table = _PLANCKIAN.to(images)
    row = ((kelvin - COLDEST) / ROW_KELVIN).clamp(0, len(table) - 1)
    below = row.detach().floor().long().clamp(max=len(table) - 2)
    coefficients = torch.lerp(table[below], table[below + 1], (row - below).unsqueeze(1))
    red_blue = coefficients / table[round((DAYLIGHT - COLDEST) / ROW_KELVIN)]
    scale = torch.stack([red_blue[:, 0], torch.ones_like(kelvin), red_blue[:, 1]], dim=1)
    return (images * scale[:, :, None, None]).clamp(0, 1)


BRIGHTNESS = Op(
    "brightness",
    function=enhance.adjust_brightness_accumulative,
    low=0.0,
    high=3.0,
    identity=1.0,
    unit="factor",
    kornia="enhance.adjust_brightness_accumulative",
)
CONTRAST = Op(
    "contrast",
    function=enhance.adjust_contrast_with_mean_subtraction,
    low=0.0,
    high=3.0,
    identity=1.0,
    unit="factor",
    kornia="enhance.adjust_contrast_with_mean_subtraction",
)
SATURATION = Op(
    "saturation",
    function=enhance.adjust_saturation_with_gray_subtraction,
    low=0.0,
    high=3.0,
    identity=1.0,
    unit="factor",
    kornia="enhance.adjust_saturation_with_gray_subtraction",
)
HUE = Op(
    "hue", function=hue, low=-0.5, high=0.5, identity=0.0, unit="turns", kornia="enhance.adjust_hue (2π radians a turn)"
)
GAMMA = Op("gamma", function=gamma, low=0.2, high=5.0, identity=1.0, unit="exponent", kornia="enhance.adjust_gamma")
GRAYSCALE = Op(
    "grayscale",
    function=grayscale,
    low=0.0,
    high=1.0,
    identity=0.0,
    unit="strength",
    kornia="color.rgb_to_grayscale (strength 1)",
)
NOISE = Op(
    "noise",
    function=noise,
    low=0.0,
    high=0.5,
    identity=0.0,
    unit="standard deviation",
    kornia="augmentation.RandomGaussianNoise, clamped",
    noise=lambda draws, batch, size: draws.normal(batch, 3, *size),
)
PLANCKIAN = Op(
    "planckian",
    function=planckian,
    low=3000.0,
    high=15000.0,
    identity=DAYLIGHT,
    unit="kelvin",
    kornia="augmentation.RandomPlanckianJitter (blackbody), relative to 6500 K and interpolated",
)
