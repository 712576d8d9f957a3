"""`DiTMask`: the soft mask from a small transformer over patches, in the manner of DiT (Peebles and Xie, 2023).

DiT modulates its blocks by the diffusion step; here the condition is a summary of the image, so that each patch is
judged with the whole view in mind.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn

from vssl.designers.blur_mask import MaskDesigner, start_at
from vssl.views.recipes import Recipe


class DiTMask(MaskDesigner):
    """The mask designer that the paper selects for NYUv2 on ViT-B.

    Args:
        recipe: makes the base views.
        keep_ratio, sparsity, smoothness, blur_sigma: see `MaskDesigner`. Defaults as for `UNetMask`; the paper's NYUv2
            row has 0.4, 0.111 and 0.0417.
        patch_size: side of the patches, pixels.
        dim, depth, heads: of the transformer.
    """

    def __init__(
        self,
        recipe: Recipe,
        keep_ratio: float = 0.6,
        sparsity: float = 0.131,
        smoothness: float = 0.144,
        blur_sigma: float = 4.0,
        patch_size: int = 8,
        dim: int = 96,
        depth: int = 3,
        heads: int = 3,
    ):
        if dim % (4 * heads):
            raise ValueError(f"dim={dim} must be a multiple of 4·heads={4 * heads}")
        super().__init__(recipe, DiT(patch_size, dim, depth, heads), keep_ratio, sparsity, smoothness, blur_sigma)
        start_at(self.network.output, keep_ratio)


class DiT(nn.Module):
    """Images to one logit per pixel. Sides that the patch does not divide are padded inside."""

    def __init__(self, patch_size: int, dim: int, depth: int, heads: int):
        super().__init__()
        self.patch_size = patch_size
        self.embed = nn.Conv2d(3, dim, patch_size, stride=patch_size)
        self.summary = nn.Sequential(nn.Linear(dim, dim), nn.SiLU())
        self.blocks = nn.ModuleList(DiTBlock(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, patch_size**2)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
        height, width = images.shape[-2:]
        pad = (0, -width % self.patch_size, 0, -height % self.patch_size)
        x = self.embed(F.pad((images - 0.5) / 0.25, pad, mode="replicate"))
        rows, columns = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        condition = self.summary(x.mean(dim=1))
        x = x + build_sincos2d_pos_embed([rows, columns], x.shape[-1], interleave_sin_cos=True, device=x.device)
        for block in self.blocks:
            x = block(x, condition)
        logits = self.output(self.norm(x)).transpose(1, 2).unflatten(2, (rows, columns))
        return F.pixel_shuffle(logits, self.patch_size)[:, :, :height, :width]


class DiTBlock(nn.Module):
    """Self-attention and MLP, each shifted, scaled and gated by the condition."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(dim, elementwise_affine=False) for _ in range(2))
        self.qkv, self.project = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.modulate = nn.Linear(dim, 6 * dim)
        # DiT starts its gates at 0 so that a block is the identity. Then nothing but the gates would get a gradient
        # at the first designer step; 0.1 starts close to the identity with every parameter alive.
        nn.init.normal_(self.modulate.weight, std=0.02)
        nn.init.zeros_(self.modulate.bias)
        with torch.no_grad():
            self.modulate.bias.unflatten(0, (6, dim))[[2, 5]] = 0.1

    def forward(
        self, x: Float[Tensor, "batch tokens dim"], condition: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulate(condition).unsqueeze(1).chunk(6, dim=-1)
        x = x + gate1 * self._attend(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)

    def _attend(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.project(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
