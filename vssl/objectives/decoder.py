"""The light transformer that predicts what the backbone did not see: MAE's decoder, I-JEPA's predictor."""

from functools import partial

import torch
from jaxtyping import Float, Int
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vssl.learner.last_block import block_at


class TokenDecoder(nn.Module):
    """Predicts `out_dim` values at hidden patches from the tokens of visible ones.

    Tokens are not put back into image order: attention does not see the order, only the sine-cosine positions that are
    added here. Prefix tokens get none.

    Args:
        in_dim: width of the backbone.
        num_prefix_tokens: how many class and register tokens come before the patches.
        dim, depth, heads: size; `dim` is a multiple of 4 and of `heads`.
        out_dim: values to predict for each patch.
        name: of the objective and the argument, for the error.

    Raises:
        ValueError: `dim` is not such a multiple.
    """

    def __init__(self, in_dim: int, num_prefix_tokens: int, dim: int, depth: int, heads: int, out_dim: int, name: str):
        super().__init__()
        if dim % 4 or dim % heads:
            raise ValueError(f"{name}_dim={dim} must be a multiple of 4 and of {name.split()[-1]}_heads={heads}")
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.num_prefix_tokens, self.dim = num_prefix_tokens, dim
        self.embed = nn.Linear(in_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)])
        self.norm = norm(dim)
        self.predict = nn.Linear(dim, out_dim)

    def positions(self, grid: tuple[int, int], like: Tensor) -> Float[Tensor, "patches dim"]:
        """Sine-cosine positions of all patches, with the dtype and on the device of `like`."""
        return build_sincos2d_pos_embed(list(grid), self.dim, device=like.device).to(like.dtype)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens in_dim"],
        visible: Int[Tensor, "batch visible"],
        hidden: Int[Tensor, "batch blocks hidden"],
        positions: Float[Tensor, "patches dim"],
    ) -> Float[Tensor, "batch blocks hidden out_dim"]:
        """Each block of hidden patches is predicted by itself, from all visible tokens.

        Args:
            tokens: prefix tokens, then one for each of `visible`.
            visible, hidden: indices of patches.
        """
        x = self.embed(tokens)
        prefix, seen = x[:, : self.num_prefix_tokens], x[:, self.num_prefix_tokens :]
        seen = torch.cat([prefix, seen + positions[visible]], dim=1)
        seen = seen.unsqueeze(1).expand(-1, hidden.shape[1], -1, -1).flatten(0, 1)
        asked = (self.mask_token + positions[hidden].flatten(0, 1)).to(seen.dtype)
        *blocks, last = self.blocks
        x = torch.cat([seen, asked], dim=1)
        for block in blocks:
            x = block(x)
        x = block_at(last, slice(seen.shape[1], None), x)
        return self.predict(self.norm(x)).unflatten(0, hidden.shape[:2])
