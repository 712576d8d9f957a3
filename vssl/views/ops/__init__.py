"""What an operation of the differentiable space is.

An `Op` is a function of images and one magnitude per image. Everything else about it (range, identity, unit, which
gradient is exact) is declared here, so that recipes, learned policies, files and plots need no special cases.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from kornia.geometry.transform import warp_perspective
from torch import Tensor

from vssl.draws import Draws


@dataclass(frozen=True)
class Magnitude:
    """One number of an augmentation and where it may lie.

    Args:
        name: how policies and files call it.
        low, high: its range, in `unit`.
        identity: the value that leaves every image as it is.
        unit: "factor", "turns", "degrees", "pixels", ...
    """

    name: str
    low: float
    high: float
    identity: float
    unit: str

    def check(self, value: float, what: str = "magnitude") -> float:
        """The value; raises ValueError when it is not a finite number in the range."""
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise ValueError(
                f"{what} of {self.name} is {value:g}; it must be in [{self.low:g}, {self.high:g}] ({self.unit})"
            )
        return value


@dataclass(frozen=True)
class Op(Magnitude):
    """One augmentation operation, differentiable in the images and in the magnitude.

    Args:
        function: ``(images, magnitude)`` or, where the op needs random numbers, ``(images, magnitude, noise)``;
            images (B, 3, H, W) in [0, 1], magnitude (B,). Of a geometric op, ``(magnitude, size[, noise])`` to
            (B, 3, 3) homographies in pixels, source to destination; see vssl/views/ops/geometric.py.
        kornia: the kornia functional call that the op makes, or equals at fixed parameters.
        relaxation: what the gradient is of where it is not the exact one; empty where it is.
        geometric: the op moves pixels, so that masks and labels must move along.
        noise: draws the op's random numbers, ``(draws, batch, (height, width)) -> (B, ...)``; None when it needs none.
    """

    function: Callable[..., Tensor]
    kornia: str
    relaxation: str = ""
    geometric: bool = False
    noise: Callable[[Draws, int, tuple[int, int]], Tensor] | None = None

    def __call__(
        self,
        images: Float[Tensor, "batch 3 height width"],
        magnitude: Float[Tensor, " batch"],
        noise: Tensor | None = None,
    ) -> Float[Tensor, "batch 3 height width"]:
        """The op on every image, whatever kind of op it is."""
        random = () if noise is None else (noise,)
        if not self.geometric:
            return self.function(images, magnitude, *random)
        return warp(images, self.function(magnitude, images.shape[-2:], *random))

    def matrix(
        self, magnitude: Float[Tensor, " batch"], size: tuple[int, int], noise: Tensor | None = None
    ) -> Float[Tensor, "batch 3 3"]:
        """Where a geometric op sends pixels: source to destination, (x, y) in pixels; ``size`` is (height, width)."""
        if not self.geometric:
            raise TypeError(f"{self.name} does not move pixels, so it has no matrix")
        return self.function(magnitude, size) if noise is None else self.function(magnitude, size, noise)


_REGISTERED: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Adds an op to the space: files, policies, benchmarks and the docs then know it by its name. Returns the op.

    Raises:
        ValueError: another op has this name.
    """
    if _REGISTERED.get(op.name, op) is not op:
        raise ValueError(f"an op named {op.name!r} is in the space already; give the new one another name")
    _REGISTERED[op.name] = op
    return op


def registered() -> tuple[Op, ...]:
    """The ops of all modules that were imported; `vssl.views.space.SPACE` has imported them all."""
    return tuple(_REGISTERED.values())


def warp(
    images: Float[Tensor, "batch channels height width"], matrix: Float[Tensor, "batch 3 3"], mode: str = "bilinear"
) -> Float[Tensor, "batch channels height width"]:
    """Moves the pixels of images and masks (``mode="bilinear"``) or of labels (``mode="nearest"``).

    Borders are reflected: that leaves no black corners to learn from.
    """
    return warp_perspective(images, matrix, images.shape[-2:], mode=mode, padding_mode="reflection", align_corners=True)


def per_image(values: Float[Tensor, " batch"]) -> Float[Tensor, "batch 1 1 1"]:
    """One number per image, ready to be multiplied with images."""
    return values.view(-1, 1, 1, 1)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard`, to the last bit, with the gradient of `soft`.

    Written without the graph where none is wanted, since the learner's views are made that way.
    """
    if not (torch.is_grad_enabled() and soft.requires_grad):
        return hard.detach()
    return hard.detach() + (soft - soft.detach())
