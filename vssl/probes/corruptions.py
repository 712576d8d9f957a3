"""Corrupted images by the rules of ImageNet-C (Hendrycks & Dietterich 2019, arXiv 1903.12261).

Constants are those of its code (github.com/hendrycks/robustness, make_imagenet_c.py). Different here:

- Lengths in pixels (blurs) are constants for images of 224 px: they are scaled with the image's short side.
- A corrupted image is not saved as JPEG of quality 85 afterwards.
- Motion blur is ImageMagick's rule in numpy, and the fog's height map is as large as the image needs.
- Glass and zoom blur, elastic, snow and frost are left out: the first three move pixels away from their labels, snow
  needs ImageMagick's blur of a whole layer, and frost needs photographs that come with the original.
"""

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from vssl.datasets.threads import in_threads

Array = np.ndarray
Picture = UInt8[Array, "height width 3"]  # RGB
Pixels = Float[Array, "height width 3"]  # RGB in [0, 1]
Generator = np.random.Generator

PROTOCOL_SIDE = 224  # px, ImageNet-C's images


def gaussian_noise(image: Pixels, severity: int, rng: Generator) -> Pixels:
    return image + rng.normal(scale=(0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1], size=image.shape)


def shot_noise(image: Pixels, severity: int, rng: Generator) -> Pixels:
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return rng.poisson(image * photons) / photons


def impulse_noise(image: Pixels, severity: int, rng: Generator) -> Pixels:
    """Salt and pepper in equal parts."""
    hit = rng.random(image.shape) < (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    return np.where(hit, rng.random(image.shape) < 0.5, image)


def defocus_blur(image: Pixels, severity: int, rng: Generator) -> Pixels:
    radius, soften = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    scaled = radius * _scale(image)
    reach, window = (8, 3) if scaled <= 8 else (int(np.ceil(scaled)), 5)
    across = np.arange(-reach, reach + 1)
    disk = (across[:, None] ** 2 + across**2 <= scaled**2).astype(np.float64)
    kernel = cv2.GaussianBlur(disk / disk.sum(), ksize=(window, window), sigmaX=soften)
    return cv2.filter2D(image, -1, kernel)


def motion_blur(image: Pixels, severity: int, rng: Generator) -> Pixels:
    """Half a Gaussian along a line, as ImageMagick's: pixels of growing distance in one direction are added up."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    scale, angle = _scale(image), np.deg2rad(rng.uniform(-45, 45))
    steps = np.arange(2 * int(np.ceil(radius * scale)) + 1)
    weights = np.exp(-(steps**2) / (2 * (sigma * scale) ** 2))
    rows, columns = (np.ceil(steps * part - 0.5).astype(int) for part in (np.sin(angle), np.cos(angle)))
    height, width = image.shape[:2]
    margin = len(steps)
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    blurred = np.zeros_like(image)
    for weight, row, column in zip(weights / weights.sum(), rows + margin, columns + margin, strict=True):
        blurred += weight * padded[row : row + height, column : column + width]
    return blurred


def gaussian_blur(image: Pixels, severity: int, rng: Generator) -> Pixels:
    sigma = (1, 2, 3, 4, 6)[severity - 1] * _scale(image)
    return gaussian_filter(image, sigma=(sigma, sigma, 0), mode="nearest", truncate=4.0)


def fog(image: Pixels, severity: int, rng: Generator) -> Pixels:
    amount, decay = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[severity - 1]
    height, width = image.shape[:2]
    plasma = _plasma(1 << (max(height, width) - 1).bit_length(), decay, rng)[:height, :width, None]
    brightest = image.max()
    return (image + amount * plasma) * brightest / (brightest + amount)


def brightness(image: Pixels, severity: int, rng: Generator) -> Pixels:
    """The V of HSV is raised."""
    hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2] + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def contrast(image: Pixels, severity: int, rng: Generator) -> Pixels:
    """Distances from each channel's mean are shortened."""
    means = image.mean(axis=(0, 1), keepdims=True)
    return (image - means) * (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1] + means


def pixelate(image: Pixels, severity: int, rng: Generator) -> Pixels:
    share, small = (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1], _picture(image)
    size = small.size
    small = small.resize([max(int(side * share), 1) for side in size], Image.Resampling.BOX)
    return np.asarray(small.resize(size, Image.Resampling.BOX)) / 255


def jpeg(image: Pixels, severity: int, rng: Generator) -> Pixels:
    file = BytesIO()
    _picture(image).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
    return np.asarray(Image.open(file)) / 255


CORRUPTIONS: dict[str, Callable[[Pixels, int, Generator], Pixels]] = {
    function.__name__: function
    for function in (
        gaussian_noise, shot_noise, impulse_noise, defocus_blur, motion_blur, gaussian_blur, fog, brightness, contrast,
        pixelate, jpeg,
    )
}  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(image: Picture, name: str, severity: int, key: str) -> Picture:
    """The image under one of `CORRUPTIONS`.

    Args:
        severity: 1..5.
        key: the image's name. What is drawn depends on it, the corruption and the severity alone, so that every
            backbone sees the same pixels.
    """
    digest = hashlib.sha256(f"{key} {name} {severity}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    changed = CORRUPTIONS[name](image / 255, severity, rng)
    return (np.clip(changed, 0, 1) * 255).astype(np.uint8)


def corrupted_tensors(
    images: Sequence[UInt8[Tensor, "3 height width"]], paths: Sequence[str], corruption: tuple[str, int]
) -> list[UInt8[Tensor, "3 height width"]]:
    """The same for RGB tensors, in threads. A key is the last two parts of the path, wherever the data lies."""

    def changed(image_and_path: tuple[Tensor, str]) -> Tensor:
        image, path = image_and_path
        picture = corrupt(image.permute(1, 2, 0).numpy(), *corruption, "/".join(Path(path).parts[-2:]))
        return torch.from_numpy(picture).permute(2, 0, 1)

    return list(in_threads(changed, list(zip(images, paths, strict=True))))


def _scale(image: Pixels) -> float:
    return min(image.shape[:2]) / PROTOCOL_SIDE


def _picture(image: Pixels) -> Image.Image:
    return Image.fromarray(np.rint(image * 255).astype(np.uint8))


def _plasma(size: int, decay: float, rng: Generator) -> Float[Array, "size size"]:
    """A height map in [0, 1] by the diamond-square algorithm on a torus; `size` is a power of two."""
    heights, wibble, step = np.zeros((size, size)), 100.0, size
    while step >= 2:
        half = step // 2

        def wobbled(sums: Array, wibble: float = wibble) -> Array:
            return sums / 4 + wibble * rng.uniform(-wibble, wibble, sums.shape)

        corners = heights[::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=0)
        heights[half::step, half::step] = wobbled(pairs + np.roll(pairs, -1, axis=1))
        middles = heights[half::step, half::step]
        across, down = corners + np.roll(corners, -1, axis=1), corners + np.roll(corners, -1, axis=0)
        heights[::step, half::step] = wobbled(middles + np.roll(middles, 1, axis=0) + across)
        heights[half::step, ::step] = wobbled(middles + np.roll(middles, 1, axis=1) + down)
        step, wibble = half, wibble / decay
    heights -= heights.min()
    return heights / heights.max()
