"""The paper's image designer: a soft mask that decides where a view is blurred.

v~ = μ⊙v + (1 − μ)⊙Blur(v) with μ = μ_φ(v) in [0, 1], one mask per global crop. Local crops stay as the recipe made
them. A keep-ratio penalty holds the mean of each mask near κ, a total-variation penalty makes masks smooth.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer
from vssl.draws import Draws
from vssl.views.crops import Views
from vssl.views.ops.erasing import mix_with_blur
from vssl.views.recipes import Recipe

Mask = Float[Tensor, "batch 1 height width"]


class MaskDesigner(Designer):
    """A mask network over a recipe, or over another designer's views (`masked`).

    Args:
        recipe: makes the base views.
        network: images (B, 3, H, W) in [0, 1] to mask logits (B, 1, H, W).
        keep_ratio: κ, in (0, 1): where the penalty pulls the mean of each mask.
        sparsity: λ_spars, weight of (mean(μ) − κ)², averaged over crops.
        smoothness: λ_tv, weight of the total variation.
        blur_sigma: of Blur, in pixels of the crop. The paper does not state it.

    Raises:
        ValueError: κ outside (0, 1), a blur that is not positive, or a negative weight.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        keep_ratio: float,
        sparsity: float,
        smoothness: float,
        blur_sigma: float,
    ):
        super().__init__(recipe)
        if not 0 < keep_ratio < 1:
            raise ValueError(f"keep_ratio={keep_ratio} (κ) must lie strictly between 0 and 1")
        if not 0 < blur_sigma < math.inf:
            raise ValueError(f"blur_sigma={blur_sigma} must be a positive number of pixels")
        if sparsity < 0 or smoothness < 0:
            raise ValueError(f"sparsity={sparsity} and smoothness={smoothness} are weights of penalties, 0 or more")
        self.network = network
        self.keep_ratio, self.blur_sigma = keep_ratio, blur_sigma
        self.sparsity, self.smoothness = sparsity, smoothness

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        return self.masked(self.recipe(images, draws))

    def masked(self, views: Views) -> Construction:
        """Masks the global crops of any views; fp32 also under autocast."""
        crops = views.global_crops.flatten(0, 1)
        with torch.autocast(crops.device.type, enabled=False):
            mask = torch.sigmoid(self.network(crops.float()))
            mixed = mix_with_blur(crops.float(), mask, self.blur_sigma)
            penalty = self.sparsity * keep_penalty(mask, self.keep_ratio) + self.smoothness * total_variation(mask)
        shape = views.global_crops.shape[:2]
        views = replace(views, global_crops=mixed.unflatten(0, shape))
        return Construction(views, penalty, mask_statistics(mask), mask.unflatten(0, shape))


def keep_penalty(mask: Mask, keep_ratio: float) -> Float[Tensor, ""]:
    """(mean of a mask − κ)², averaged over masks."""
    return (mask.mean(dim=(1, 2, 3)) - keep_ratio).square().mean()


def total_variation(mask: Mask) -> Float[Tensor, ""]:
    """Mean absolute difference of neighbours, down plus across."""
    down = (mask[:, :, 1:] - mask[:, :, :-1]).abs().mean()
    across = (mask[:, :, :, 1:] - mask[:, :, :, :-1]).abs().mean()
    return down + across


def mask_statistics(mask: Mask) -> dict[str, Tensor]:
    """What the log shows: mean, spread over pixels, and spread of the masks' means over images."""
    mask = mask.detach()
    means = mask.mean(dim=(1, 2, 3))
    return {
        "mask/mean": means.mean(),
        "mask/std": mask.std(dim=(1, 2, 3)).mean(),
        "mask/between_image_std": means.std(correction=0),
    }


def start_at(layer: nn.Linear | nn.Conv2d, keep_ratio: float) -> None:
    """Makes a network's last layer answer logit(κ) almost everywhere.

    The weights are small but not 0, so that the layers before get a gradient from the first step on.
    """
    nn.init.normal_(layer.weight, std=0.02 / math.sqrt(layer.weight[0].numel()))
    nn.init.constant_(layer.bias, math.log(keep_ratio / (1 - keep_ratio)))
