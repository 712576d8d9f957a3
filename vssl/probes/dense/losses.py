"""Losses of depth heads: metres against metres, over the pixels that have a valid label.

0 marks an invalid pixel, and so does everything out of range: mmseg pads depth with 255, which must not count as
metres. A batch without a valid pixel costs nothing, and every gradient is finite at a perfect prediction (mmseg's
`SiLogLoss` gives NaN there).
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

SMALLEST = 1e-3  # metres, added before a logarithm, as in the code of DINOv2
DepthMaps = Float[Tensor, "batch height width"]


class DepthLoss(nn.Module, ABC):
    """Which pixels count, and how much the loss does.

    Args:
        min_depth, max_depth: valid range of labels, metres.
        weight: factor in the sum of a head's losses.
    """

    loss_name: str  # mmseg adds up what starts with "loss"

    def __init__(self, min_depth: float = 1e-3, max_depth: float = 10.0, weight: float = 1.0):
        super().__init__()
        self.min_depth, self.max_depth, self.weight = min_depth, max_depth, weight

    def valid(self, target: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
        return (target >= self.min_depth) & (target <= self.max_depth)

    def describe(self) -> str:
        """The loss in words, for protocol cards."""
        return f"{self.weight:g} × {self.words()}" if self.weight != 1 else self.words()

    @abstractmethod
    def words(self) -> str:
        """The loss in words, its weight left out."""


class ValidDepthLoss(DepthLoss):
    """Mean |error| (power 1) or error² (power 2) in metres."""

    loss_name = "loss_depth"

    def __init__(self, power: int = 1, **settings):
        super().__init__(**settings)
        if power not in (1, 2):
            raise ValueError(f"power={power}; 1 (L1) or 2 (L2) is needed")
        self.power = power

    def forward(self, depth: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        valid = self.valid(target)
        errors = torch.where(valid, depth - target, 0)
        errors = errors.abs() if self.power == 1 else errors.square()
        return self.weight * errors.sum() / valid.sum().clamp(min=1)

    def words(self) -> str:
        return f"L{self.power} over valid pixels"


class SigLoss(DepthLoss):
    """Scale-invariant: √(variance + 0.15·mean²) of the log ratio over all valid pixels of a batch.

    As in the depth probes of DINOv2 and DINOv3 (after AdaBins): the variance ignores a common factor, the small share
    of the mean does not.

    Args:
        warmup_steps: so many first training steps use the mean alone, until the scale is about right.
        images: take the loss of so many images at a time and average it; None: of the whole batch at once. The
            published heads trained with 2 images a GPU, whose losses are averaged.
    """

    loss_name = "loss_sig"

    def __init__(self, warmup_steps: int = 100, images: int | None = None, **settings):
        super().__init__(**settings)
        self.warmup_steps, self.images = warmup_steps, images
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))  # in the state: a resumed fit is past it

    def forward(self, depth: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        warming = self.training and bool(self.steps < self.warmup_steps)
        if self.training:
            self.steps += 1
        if self.images is None:
            return self._of(depth, target, warming)
        parts = zip(depth.split(self.images), target.split(self.images), strict=True)
        return torch.stack([self._of(*part, warming) for part in parts]).mean()

    def _of(self, depth: Tensor, target: Tensor, warming: bool) -> Tensor:
        valid = self.valid(target)
        if valid.sum() < 2:  # no variance
            return depth.sum() * 0
        ratio = (depth[valid] + SMALLEST).log() - (target[valid] + SMALLEST).log()
        inside = 0.15 * ratio.mean().square()
        if not warming:
            inside = inside + ratio.var()
        return self.weight * inside.clamp(min=1e-12).sqrt()  # √ has an infinite slope at 0

    def words(self) -> str:
        of = "" if self.images is None else f" of {self.images} images at a time"
        return f"SigLoss √(variance + 0.15·mean²){of}, {self.warmup_steps} steps of mean alone"


class GradientLoss(DepthLoss):
    """Differences of the log ratio between pixels two apart, on every 1st, 2nd, 4th and 6th pixel.

    After MegaDepth. DINOv2's depth probe names it beside `SigLoss`, but its code slices the batch and channel axes of
    a (batch, 1, height, width) tensor: with the 2 images a GPU of its configs it is 0, and the published heads trained
    on `SigLoss` alone. Here the differences are taken along height and width, as they are meant; no preset uses it.
    """

    loss_name = "loss_gradient"

    def forward(self, depth: DepthMaps, target: DepthMaps) -> Float[Tensor, ""]:
        valid = self.valid(target)
        # outside the valid pixels no logarithm is taken: its gradient would be NaN, and 0 · NaN is NaN
        safe = torch.where(valid, depth, 1.0), torch.where(valid, target, 1.0)
        ratio = (safe[0] + SMALLEST).log() - (safe[1] + SMALLEST).log()
        total = depth.sum() * 0
        for step in (1, 2, 4, 6):
            r, v = ratio[:, ::step, ::step], valid[:, ::step, ::step]
            down = (r[:, 2:] - r[:, :-2]).abs() * (v[:, 2:] & v[:, :-2])
            right = (r[..., 2:] - r[..., :-2]).abs() * (v[..., 2:] & v[..., :-2])
            total = total + (down.sum() + right.sum()) / v.sum().clamp(min=1)
        return self.weight * total

    def words(self) -> str:
        return "gradients of the log ratio at four scales"
