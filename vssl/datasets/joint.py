"""Augments an image and its annotation (labels or depth) jointly, on the CPU, with albumentations."""

import os
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vssl.compat import check_cv2

check_cv2()
import cv2  # noqa: E402

# Albumentations asks a server for its newest version on import; a training run should not.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A  # noqa: E402


class JointTransform:
    """An albumentations pipeline whose every draw depends on (seed, position) alone.

    Annotations are resized to the nearest pixel: classes do not mix, and no depth is invented between a near and a far
    surface. Depth values stay what they are when an image is scaled: the scene is as far as it was, seen by a camera
    with a longer focal length.

    Args:
        transforms: albumentations transforms, applied in order.
        seed: ≥ 0.
    """

    def __init__(self, transforms: Sequence[A.BasicTransform], seed: int = 0):
        self.seed = seed
        self._compose = A.Compose(list(transforms), additional_targets={"pixels": "mask"})

    def __call__(
        self,
        image: np.ndarray,
        annotation: np.ndarray | None,
        position: int,
        mirrored: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Image and annotation, both transformed alike.

        Args:
            image: (H, W, 3) uint8.
            annotation: (H, W) or (H, W, C) of any type; None for a label of the whole image, which stays None.
            position: chooses the randomness.
            mirrored: what a left-right flip does to the annotation's values beside moving its pixels: a direction in
                the image's frame turns around.

        Raises:
            ValueError: with `mirrored`, a transform turns the image otherwise than left-right.
        """
        # Not set_random_seed: that hands every transform the same numbers, so that, say, flip and crop would agree.
        generator = np.random.default_rng((self.seed, position))
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        if annotation is None:
            return self._compose(image=image)["image"], None
        if mirrored is None:
            out = self._compose(image=image, mask=annotation)
            return out["image"], out["mask"]
        pixels = np.stack([*np.mgrid[: image.shape[0], : image.shape[1]]], -1).astype(np.float32)
        out = self._compose(image=image, mask=annotation, pixels=pixels)
        return out["image"], mirrored(out["mask"]) if _is_flipped(out["pixels"]) else out["mask"]


def _is_flipped(pixels: np.ndarray) -> bool:
    """Whether an image was flipped left-right, from the (row, column) that each pixel shows: (H, W, 2)."""
    rows, columns = pixels[..., 0], pixels[..., 1]
    if (columns != columns[:1]).any() or (rows != rows[:, :1]).any() or rows[0, 0] > rows[-1, 0]:
        raise ValueError("labels that hold directions take crops, resizing and left-right flips only; leave out others")
    return bool(columns[0, 0] > columns[0, -1])


def joint_transform(
    size: int,
    flip: bool = True,
    scale: tuple[float, float] | None = (0.5, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    colour: Sequence[A.ImageOnlyTransform | dict[str, Any]] = (),
    seed: int = 0,
) -> JointTransform:
    """Crop to size × size, flip, and whatever is given for the colours.

    Args:
        size: pixels.
        flip: flip left-right with probability 1/2.
        scale: the crop's share of the image's area is drawn from here. None: no draw; the short side is resized to
            `size` and the middle cropped.
        ratio: the crop's aspect ratio (width / height) is drawn from here; it is then resized to a square.
        colour: transforms of the image alone, or ``dict(type=A.ColorJitter, …)``.
        seed: see `JointTransform`.

    Raises:
        ValueError: a range that is none, a transform that would move pixels (it would need a fill for labels), or an
            argument that albumentations does not know or accept (by itself it would only warn).
    """
    if size < 1:
        raise ValueError(f"size {size}: expected at least 1 pixel")
    if scale is not None and not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale {scale}: expected 0 < low <= high <= 1, shares of the image's area")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"ratio {ratio}: expected 0 < low <= high")
    # INTER_AREA averages where the image shrinks, as antialiasing does, and is bilinear where it grows.
    ways = dict(interpolation=cv2.INTER_AREA, mask_interpolation=cv2.INTER_NEAREST)
    if scale is None:
        specifications = [dict(type=A.SmallestMaxSize, max_size=size, **ways)]
        specifications += [dict(type=A.CenterCrop, height=size, width=size)]
    else:
        specifications = [dict(type=A.RandomResizedCrop, size=(size, size), scale=scale, ratio=ratio, **ways)]
    if flip:
        specifications.append(dict(type=A.HorizontalFlip, p=0.5))
    for transform in colour:
        kind = transform["type"] if isinstance(transform, dict) else type(transform)
        if not issubclass(kind, A.ImageOnlyTransform):
            raise ValueError(f"colour: {kind.__name__} moves pixels; only transforms of colours are taken here")
    return JointTransform([_built(s) for s in (*specifications, *colour)], seed)


def _built(specification: A.BasicTransform | dict[str, Any]) -> A.BasicTransform:
    """The transform, strictly: albumentations warns of unknown arguments and then runs without them."""
    if isinstance(specification, A.BasicTransform):
        if unknown := getattr(specification, "invalid_args", None):
            raise ValueError(f"{type(specification).__name__}: unknown arguments {', '.join(unknown)}")
        return specification
    settings = dict(specification)
    kind = settings.pop("type")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return kind(**settings)
        except (UserWarning, ValueError) as error:
            raise ValueError(f"{kind.__name__}: {' '.join(str(error).split())}") from error
