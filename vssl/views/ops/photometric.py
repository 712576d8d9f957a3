"""Operations on colour: each pixel changes by itself (contrast also looks at the image's mean).

The arithmetic is kornia's. Brightness, contrast and saturation are the PIL / torchvision versions, which blend with
black, with the mean luma and with the luma. Each of them clamps to [0, 1], so that a row of them is no affine map of
the colours and cannot be fused into one; what they cost is kept down by `vssl.views.chunks`.

`OP_gradients`, below an op, turns the gradient of the op's values, (B, 3, H, W), into that of its images, (B, 3, H, W),
and that of each image's magnitude, (B,). A value that reaches a bound of a clamp passes no gradient
(`vssl.views.chunks.clamp`).
"""

import math

import torch
from jaxtyping import Float
from kornia import enhance
from kornia.augmentation import RandomPlanckianJitter
from kornia.color import rgb_to_grayscale
from torch import Tensor

from vssl.views.chunks import chunked, clamp, clamp_gradient, dot
from vssl.views.ops import Op, per_image, register

Images = Float[Tensor, "batch 3 height width"]
Magnitude = Float[Tensor, " batch"]
Gradients = tuple[Images, Magnitude]

# Half the step between 0 and 1/255, the darkest value above black in an 8-bit image.
DARKEST = 1e-3
# kornia's blackbody table has a row every 500 K.
COLDEST, ROW_KELVIN, DAYLIGHT = 3000.0, 500.0, 6500.0


def brightness_gradients(gradient: Images, images: Images, factor: Magnitude) -> Gradients:
    gradient = clamp_gradient(gradient, images * per_image(factor))
    return gradient * per_image(factor), dot(gradient, images)


def contrast_gradients(gradient: Images, images: Images, factor: Magnitude) -> Gradients:
    mean = rgb_to_grayscale(images).mean((2, 3), keepdim=True)
    factor = per_image(factor)
    gradient = clamp_gradient(gradient, torch.lerp(mean, images, factor))
    total = gradient.sum((1, 2, 3))
    to_mean = (1 - factor) * per_image(total) / images[0, 0].numel()
    return gradient * factor + to_mean * _luma(images), dot(gradient, images) - total * mean.flatten()


def saturation_gradients(gradient: Images, images: Images, factor: Magnitude) -> Gradients:
    blended = torch.lerp(rgb_to_grayscale(images), images, per_image(factor))
    to_images, to_strength = grayscale_gradients(clamp_gradient(gradient, blended), images, 1 - factor)
    return to_images, -to_strength


def grayscale(images: Images, strength: Magnitude) -> Images:
    """Blends each image with its luma; strength 1 is exactly ``kornia.color.rgb_to_grayscale``."""
    return torch.lerp(images, rgb_to_grayscale(images).expand_as(images), per_image(strength))


def grayscale_gradients(gradient: Images, images: Images, strength: Magnitude) -> Gradients:
    total = gradient.sum(1, keepdim=True)
    to_images = gradient * per_image(1 - strength) + total * _luma(images) * per_image(strength)
    return to_images, dot(total, rgb_to_grayscale(images)) - dot(gradient, images)


def hue(images: Images, turns: Magnitude) -> Images:
    """Rotates the hue in HSV by a fraction of the colour circle.

    Equal to ``kornia.enhance.adjust_hue(images, 2π·turns)`` at about a third of its time: with the hue s in sextants, a
    channel is value − chroma·clamp(d, 0, 1), where d is 2 − |s − 3| for red, |s − 2| − 1 for green and |s − 4| − 1 for
    blue, so nothing has to be selected on the way back.
    """
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    is_red, is_green = ((value == channel).to(images.dtype) for channel in (red, green))
    # A mean with weights 0 and 1 is as exact as `where`, and ten times as fast on a CPU.
    sextant = torch.lerp(red - green + 4 * chroma, blue - red + 2 * chroma, is_green)
    sextant = torch.lerp(sextant, green - blue, is_red)
    distances = _hue_distances(sextant / _divisor(chroma), turns)[1]
    return torch.stack([value - chroma * distance.clamp(0, 1) for distance in distances], dim=1)


def hue_gradients(gradient: Images, images: Images, turns: Magnitude) -> Gradients:
    """For `hue`, in turns. The hue is offset + difference / chroma, by which of the channels is the largest."""
    red, green, blue = images.unbind(1)
    value, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    largest, smallest = ((images == extreme).to(images.dtype) for extreme in (value, low))
    chroma = (value - low).squeeze(1)
    divisor = _divisor(chroma)
    is_red = largest[:, 0]
    is_green = largest[:, 1] * (1 - is_red)
    is_blue = 1 - is_red - is_green
    quotient = (is_red * (green - blue) + is_green * (blue - red) + is_blue * (red - green)) / divisor
    sextant, distances = _hue_distances(quotient + 2 * is_green + 4 * is_blue, turns)
    gradients = gradient.unbind(1)
    to_chroma = -sum(g * d.clamp(0, 1) for g, d in zip(gradients, distances, strict=True))
    to_distances = [clamp_gradient(-g * chroma, d) for g, d in zip(gradients, distances, strict=True)]
    to_sextant = sum(g * sign * (sextant - middle).sgn() for g, (sign, middle) in zip(to_distances, HUES, strict=True))
    to_difference = to_sextant / divisor
    to_chroma = (to_chroma - to_difference * quotient).unsqueeze(1)
    to_images = largest * ((gradient.sum(1, keepdim=True) + to_chroma) / largest.sum(1, keepdim=True))
    to_images -= smallest * (to_chroma / smallest.sum(1, keepdim=True))
    shares = torch.stack([is_blue - is_green, is_red - is_blue, is_green - is_red], dim=1)
    return to_images + to_difference.unsqueeze(1) * shares, 6 * to_sextant.sum((1, 2))


# Of red, green and blue: the distance to full colour is ±|s − middle| and a constant, s being the hue in sextants.
HUES = ((-1, 3), (1, 2), (1, 4))


def _hue_distances(sextant: Tensor, turns: Magnitude) -> tuple[Tensor, list[Tensor]]:
    """The turned hue in [0, 6), and each channel's d of `hue`."""
    sextant = torch.remainder(sextant + 6 * turns.view(-1, 1, 1), 6)
    red, green, blue = ((sextant - middle).abs() for _, middle in HUES)
    return sextant, [2 - red, green - 1, blue - 1]


def _divisor(chroma: Tensor) -> Tensor:
    """Gray pixels have no hue: any divisor keeps them gray, and 1 keeps their gradient finite."""
    return chroma + (chroma == 0)


def gamma(images: Images, exponent: Magnitude) -> Images:
    """images ** exponent, and a straight line to 0 below `DARKEST`: the power has no finite slope at 0."""
    clamped = images.clamp(min=DARKEST)
    slope = per_image(DARKEST ** (exponent - 1))
    return enhance.adjust_gamma(clamped, exponent) - slope * (clamped - images)


def gamma_gradients(gradient: Images, images: Images, exponent: Magnitude) -> Gradients:
    clamped = images.clamp(min=DARKEST)
    power = clamped ** per_image(exponent)
    slope = DARKEST ** (exponent - 1)
    to_power = clamp_gradient(gradient, power) * power
    to_clamped = to_power / clamped * per_image(exponent) - gradient * per_image(slope)
    to_images = gradient * per_image(slope) + clamp_gradient(to_clamped, images, low=DARKEST, high=math.inf)
    line = slope * math.log(DARKEST) * dot(gradient, clamped - images)
    return to_images, dot(to_power, clamped.log()) - line


def noise(images: Images, deviation: Magnitude, normal: Images) -> Images:
    """Adds Gaussian noise of a standard deviation and clamps to [0, 1]."""
    return (images + per_image(deviation) * normal).clamp(0, 1)


def noise_gradients(gradient: Images, images: Images, deviation: Magnitude, normal: Images) -> Gradients:
    gradient = clamp_gradient(gradient, images + per_image(deviation) * normal)
    return gradient, dot(gradient, normal)


def _luma(images: Images) -> Float[Tensor, "1 3 1 1"]:
    """The weights of red, green and blue in `rgb_to_grayscale`."""
    return images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


_PLANCKIAN: Tensor = RandomPlanckianJitter(mode="blackbody").pl  # (25, 2): red / green and blue / green


def planckian(images: Images, kelvin: Magnitude) -> Images:
    """Light of another colour temperature: red and blue are scaled along the blackbody curve, relative to 6500 K.

    The table is kornia's, interpolated linearly between its rows. kornia's own op has no row that leaves images as
    they are; dividing by the row of daylight makes 6500 K the identity.
    """
    table = _PLANCKIAN.to(images)
    row = clamp((kelvin - COLDEST) / ROW_KELVIN, 0, len(table) - 1)
    below = row.detach().floor().long().clamp(max=len(table) - 2)
    coefficients = torch.lerp(table[below], table[below + 1], (row - below).unsqueeze(1))
    red_blue = coefficients / table[round((DAYLIGHT - COLDEST) / ROW_KELVIN)]
    scale = torch.stack([red_blue[:, 0], torch.ones_like(kelvin), red_blue[:, 1]], dim=1)
    return clamp(images * scale[:, :, None, None])


BRIGHTNESS = register(
    Op(
        "brightness",
        function=chunked(enhance.adjust_brightness_accumulative, brightness_gradients),
        low=0.0,
        high=3.0,
        identity=1.0,
        unit="factor",
        kornia="enhance.adjust_brightness_accumulative",
    )
)
CONTRAST = register(
    Op(
        "contrast",
        function=chunked(enhance.adjust_contrast_with_mean_subtraction, contrast_gradients),
        low=0.0,
        high=3.0,
        identity=1.0,
        unit="factor",
        kornia="enhance.adjust_contrast_with_mean_subtraction",
    )
)
SATURATION = register(
    Op(
        "saturation",
        function=chunked(enhance.adjust_saturation_with_gray_subtraction, saturation_gradients),
        low=0.0,
        high=3.0,
        identity=1.0,
        unit="factor",
        kornia="enhance.adjust_saturation_with_gray_subtraction",
    )
)
HUE = register(
    Op(
        "hue",
        function=chunked(hue, hue_gradients),
        low=-0.5,
        high=0.5,
        identity=0.0,
        unit="turns",
        kornia="enhance.adjust_hue (2π radians a turn)",
    )
)
GAMMA = register(
    Op(
        "gamma",
        function=chunked(gamma, gamma_gradients),
        low=0.2,
        high=5.0,
        identity=1.0,
        unit="exponent",
        kornia="enhance.adjust_gamma",
    )
)
GRAYSCALE = register(
    Op(
        "grayscale",
        function=chunked(grayscale, grayscale_gradients),
        low=0.0,
        high=1.0,
        identity=0.0,
        unit="strength",
        kornia="color.rgb_to_grayscale (strength 1)",
    )
)
NOISE = register(
    Op(
        "noise",
        function=chunked(noise, noise_gradients),
        low=0.0,
        high=0.5,
        identity=0.0,
        unit="standard deviation",
        kornia="augmentation.RandomGaussianNoise, clamped",
        noise=lambda draws, batch, size: draws.normal(batch, 3, *size),
    )
)
PLANCKIAN = register(
    Op(
        "planckian",
        function=planckian,
        low=3000.0,
        high=15000.0,
        identity=DAYLIGHT,
        unit="kelvin",
        kornia="augmentation.RandomPlanckianJitter (blackbody), relative to 6500 K and interpolated",
    )
)
