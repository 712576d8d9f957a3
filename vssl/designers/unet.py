"""`UNetMask`: the soft mask from a small convolutional U-Net."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.blur_mask import MaskDesigner, start_at
from vssl.views.recipes import Recipe


class UNetMask(MaskDesigner):
    """The mask designer that the paper selects most often; the defaults are its ViT-B, ADE20K row.

    Args:
        recipe: makes the base views.
        keep_ratio, sparsity, smoothness, blur_sigma: see `MaskDesigner`.
        width: channels at the finest level; each further level doubles them.
        levels: of resolution; each after the first halves it.
        stem: side of the squares of pixels that the first layer takes as one; a mask is made at 1 / stem of the
            resolution and enlarged. 4 halves the designer's time on small crops.
    """

    def __init__(
        self,
        recipe: Recipe,
        keep_ratio: float = 0.6,
        sparsity: float = 0.131,
        smoothness: float = 0.144,
        blur_sigma: float = 4.0,
        width: int = 16,
        levels: int = 3,
        stem: int = 2,
    ):
        if levels < 1 or stem < 1:
            raise ValueError(f"levels={levels} and stem={stem} must be at least 1")
        super().__init__(recipe, UNet(width, levels, stem), keep_ratio, sparsity, smoothness, blur_sigma)
        start_at(self.network.output, keep_ratio)


class UNet(nn.Module):
    """Images to one logit per pixel.

    The stem folds squares of pixels into channels (2×2 costs a quarter of a U-Net at full resolution); the logits are
    enlarged bilinearly at the end. Sides that stem·2^(levels − 1) does not divide are padded inside.
    """

    def __init__(self, width: int, levels: int, stem: int):
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.stem, self.multiple = stem, stem * 2 ** (levels - 1)
        self.down = nn.ModuleList(_block(into, out) for into, out in pairwise([3 * stem**2, *widths]))
        self.up = nn.ModuleList(_block(deep + fine, fine) for fine, deep in pairwise(widths))
        self.output = nn.Conv2d(width, 1, 1)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
        height, width = images.shape[-2:]
        x = F.pad((images - 0.5) / 0.25, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        x = F.pixel_unshuffle(x, self.stem)
        fine = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.avg_pool2d(x, 2))
            fine.append(x)
        for level in reversed(range(len(self.up))):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.up[level](torch.cat([x, fine[level]], dim=1))
        logits = F.interpolate(self.output(x), scale_factor=float(self.stem), mode="bilinear", align_corners=False)
        return logits[:, :, :height, :width]


def _block(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, padding=1),
        nn.GroupNorm(min(8, out), out),
        nn.GELU(),
        nn.Conv2d(out, out, 3, padding=1),
        nn.GroupNorm(min(8, out), out),
        nn.GELU(),
    )
