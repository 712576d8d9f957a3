"""Gram matrices of patch features: which patches of a view look alike to a backbone (DINOv3, arXiv 2508.10104)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vssl.learner.backbone import TimmBackbone
from vssl.objectives.dino_head import full_precision
from vssl.views.chunks import clamp


def gram(patches: Float[Tensor, "rows patches dim"]) -> Float[Tensor, "rows patches patches"]:
    """Cosine similarities between the patches of each row; fp32 or better, also under autocast."""
    with torch.autocast(patches.device.type, enabled=False):
        unit = F.normalize(full_precision(patches), dim=-1)
        return unit @ unit.transpose(1, 2)


def enlarged_patches(
    backbone: TimmBackbone, images: Float[Tensor, "rows 3 height width"], scale: int
) -> Float[Tensor, "rows patches dim"]:
    """Patch features of the images at `scale` times their size, brought back to the grid of the images' own size.

    Both resizings are bicubic without antialiasing, the second as in DINOv3's code.
    """
    if scale == 1:
        return backbone.patch_tokens(backbone(images))
    grid = backbone.grid(images)
    large = clamp(F.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False))
    patches = full_precision(backbone.patch_tokens(backbone(large)))
    maps = patches.transpose(1, 2).unflatten(2, backbone.grid(large))
    return F.interpolate(maps, size=grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
