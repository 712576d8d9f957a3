"""MAE: predict the pixels of hidden patches from the visible ones (He et al. 2022, arXiv 2111.06377).

Polarity: `keep` are the indices of patches that the backbone sees, `hidden` the indices of those it must predict.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.objectives.base import Objective, State, mean_over_images, pack, unpack
from vssl.objectives.masks import random_mask
from vssl.views.crops import Views


class MAE(Objective):
    """Masked autoencoder with a light transformer decoder.

    Args:
        backbone: read for its width, patch size and number of prefix tokens only.
        mask_ratio: share of the patches that is hidden, in (0, 1).
        decoder_dim, decoder_depth, decoder_heads: size of the decoder (the paper's by default); `decoder_dim` is a
            multiple of 4 and of `decoder_heads`.
        normalize_pixels: predict each patch's pixels after subtracting its mean and dividing by its deviation.
        target_graph: whether a gradient reaches the views through the target too. The target is made of the view, so
            leaving this path out makes the gradient to φ inexact; it does not change the learner's gradient.

    Raises:
        ValueError: `mask_ratio` outside (0, 1), or `decoder_dim` of a wrong size.
    """

    n_global_crops = 1
    paper = "He et al. 2022, arXiv 2111.06377, and its code"
    works_on = "visible patches"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {"decoder_dim": embed_dim // 2, "decoder_depth": 1, "decoder_heads": 2}

    def __init__(
        self,
        backbone: TimmBackbone,
        mask_ratio: float = 0.75,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        normalize_pixels: bool = True,
        target_graph: bool = True,
    ):
        super().__init__()
        if not 0.0 < mask_ratio < 1.0:
            raise ValueError(f"MAE mask_ratio={mask_ratio} must be in (0, 1), the share of hidden patches, e.g. 0.75")
        if decoder_dim % 4 or decoder_dim % decoder_heads:
            raise ValueError(
                f"MAE decoder_dim={decoder_dim} must be a multiple of 4 and of decoder_heads={decoder_heads}"
            )
        self.mask_ratio, self.normalize_pixels, self.target_graph = mask_ratio, normalize_pixels, target_graph
        self.patch_size, self.num_prefix_tokens, self.decoder_dim = (
            backbone.patch_size,
            backbone.num_prefix_tokens,
            decoder_dim,
        )
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.embed = nn.Linear(backbone.embed_dim, decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        self.blocks = nn.Sequential(
            *[Block(decoder_dim, decoder_heads, qkv_bias=True, norm_layer=norm) for _ in range(decoder_depth)]
        )
        self.norm = norm(decoder_dim)
        self.predict = nn.Linear(decoder_dim, 3 * self.patch_size**2)
        self.apply(_initialise)
        nn.init.normal_(self.mask_token, std=0.02)

    def transformer_blocks(self) -> Iterable[nn.Module]:
        return self.blocks

    def begin(self, student: TimmBackbone, teacher: None, views: Views, draws: Draws) -> State:
        images = self.crops_of(views)[0]
        rows, columns = student.grid(images)
        keep, hidden = random_mask(draws, len(images), rows * columns, self.mask_ratio)
        positions = build_sincos2d_pos_embed([rows, columns], self.decoder_dim, device=images.device).to(images.dtype)
        target = self.target(student, images).gather(1, _rows(hidden, 3 * self.patch_size**2))
        return {
            **pack(student.trunk(images, keep), "visible"),
            "keep": keep,
            "hidden": hidden,
            "positions": positions,
            "target": target if self.target_graph else target.detach(),
        }

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        predicted = self.decode(student.tail(unpack(state, "visible")), state)
        target = state["target"]
        losses = F.mse_loss(predicted.to(target.dtype), target, reduction="none").mean(dim=(1, 2))
        return mean_over_images(losses, state)

    def decode(self, tokens: Float[Tensor, "batch tokens dim"], state: State) -> Float[Tensor, "batch hidden pixels"]:
        """Predicted pixels of the hidden patches, in the order of ``state["hidden"]``.

        The tokens are not put back into image order: attention does not see the order, only the positions added here.
        """
        x = self.embed(tokens)
        prefix, visible = x[:, : self.num_prefix_tokens], x[:, self.num_prefix_tokens :]
        visible = visible + state["positions"][state["keep"]]
        hidden = self.mask_token + state["positions"][state["hidden"]]
        x = torch.cat([prefix, visible, hidden.to(visible.dtype)], dim=1)
        return self.predict(self.norm(self.blocks(x))[:, -hidden.shape[1] :])

    def target(
        self, student: TimmBackbone, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches pixels"]:
        """What is to be predicted at each patch; pixels in (row, column, channel) order.

        Made from the images as the backbone sees them (channels normalised), as in the authors' code.
        """
        pixels = patchify((images - student.mean) / student.std, self.patch_size)
        if not self.normalize_pixels:
            return pixels
        # The constant inside the root keeps the gradient finite at a flat patch.
        return (pixels - pixels.mean(-1, keepdim=True)) / (pixels.var(-1, keepdim=True) + 1e-6).sqrt()


def patchify(
    images: Float[Tensor, "batch channels height width"], patch_size: int
) -> Float[Tensor, "batch patches pixels"]:
    """Patches in row-major order, each flattened as (row, column, channel)."""
    # named axes: b batch, c channel, h/w patch row/column, p/q pixel row/column within the patch
    bchpwq = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))
    return bchpwq.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def _rows(index: Int[Tensor, "batch n"], width: int) -> Int[Tensor, "batch n width"]:
    return index.unsqueeze(-1).expand(-1, -1, width)


def _initialise(module: nn.Module) -> None:
    """As in the authors' code: Xavier-uniform weights, zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
