"""The learner's backbone: any timm ViT, split into a trunk and a tail at block L − K.

The tail (last K blocks and the final norm) holds the aligned parameters S. Only the tail depends on θ_S, so that the
meta-gradient runs the trunk once (see vssl/value/metagradient.py).
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from huggingface_hub.constants import ENDPOINT
from jaxtyping import Bool, Float, Int
from timm.layers import Format, PatchEmbed
from timm.models import Eva, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from vssl.learner.hub import cache_alone_if_unreachable
from vssl.learner.last_block import block_at
from vssl.learner.lora import add_lora
from vssl.learner.weights import ViT, load_weights


class Tokens(NamedTuple):
    """Tokens between two blocks. `rope` is the rotary embedding that the next blocks need (DINOv3), or None."""

    x: Float[Tensor, "batch tokens dim"]
    rope: Tensor | None = None


class TimmBackbone(nn.Module):
    """A timm ViT (`VisionTransformer` or `Eva`, the class of DINOv3), images in [0, 1] in, normalised tokens out.

    Args:
        name: timm model name, e.g. ``"vit_base_patch16_dinov3"``.
        pretrained: load timm's released weights (needs the network or timm's cache).
        checkpoint: a local checkpoint to start from, instead of `pretrained`: of this project, of timm or of the
            authors of a method (docs/checkpoints.md).
        checkpoint_key: which of several networks in that file, e.g. ``"teacher"``.
        aligned_blocks: K, how many of the last blocks belong to S; 1..depth.
        grad_checkpointing: recompute blocks in the backward pass to save memory.
        lora: train low-rank additions alone, with these settings of `vssl.learner.lora.add_lora`; None: all weights. S
            is then what is trained in the last K blocks, and exports have the additions merged in.
        **model_args: anything `timm.create_model` takes, e.g. ``embed_dim=96, depth=4`` for a small model.

    Raises:
        ValueError: timm has no such model or it does not take these arguments, the model is not a ViT that can be
            split, K is not in 1..depth, or the checkpoint is of another architecture.
    """

    reads = "images"

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        checkpoint: str | None = None,
        checkpoint_key: str | None = None,
        aligned_blocks: int = 2,
        grad_checkpointing: bool = False,
        lora: Mapping[str, Any] | None = None,
        **model_args,
    ):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        if pretrained and checkpoint:
            raise ValueError(f"backbone {name}: give pretrained=True or checkpoint={checkpoint!r}, not both")
        self.name, self.model_args = name, dict(model_args)
        self.vit = vit = _as_vit(name, _create(name, pretrained, model_args))
        _check_patches(name, vit)
        if checkpoint:
            load_weights(vit, checkpoint, checkpoint_key)
        elif checkpoint_key:
            raise ValueError(f"backbone {name}: checkpoint_key={checkpoint_key!r} needs a checkpoint beside it")
        if lora is not None:
            add_lora(vit, **lora)
        self.depth, self.embed_dim = len(self.vit.blocks), self.vit.embed_dim
        self.patch_size = self.vit.patch_embed.patch_size[0]
        self.num_prefix_tokens = self.vit.num_prefix_tokens
        self.has_class_token = self.vit.cls_token is not None
        self.grad_checkpointing = grad_checkpointing
        if not 1 <= aligned_blocks <= self.depth:
            raise ValueError(f"aligned_blocks={aligned_blocks} (K) must be in 1..{self.depth}, the depth of {name}")
        self.aligned_blocks = aligned_blocks
        self.sharded_trunk: Callable[..., Tokens] | None = None  # of tokens and `run`, by vssl.learner.sharded_trunks
        data = timm.data.resolve_model_data_config(self.vit)
        self.register_buffer("mean", torch.tensor(data["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(data["std"]).view(3, 1, 1), persistent=False)

    @property
    def trunk_blocks(self) -> nn.Sequential | nn.ModuleList:
        """The first L − K blocks."""
        return self.vit.blocks[: self.depth - self.aligned_blocks]

    def aligned_parameters(self) -> dict[str, nn.Parameter]:
        """S by name: the last K blocks and the final norm."""
        prefixes = [f"vit.blocks.{i}." for i in range(self.depth - self.aligned_blocks, self.depth)] + ["vit.norm."]
        return {n: p for n, p in self.named_parameters() if n.startswith(tuple(prefixes)) and p.requires_grad}

    def grid(self, images: Float[Tensor, "batch 3 height width"]) -> tuple[int, int]:
        """(rows, columns) of patches; raises ValueError when a side is not a multiple of the patch."""
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            nearest = [max(round(side / self.patch_size), 1) * self.patch_size for side in (height, width)]
            raise ValueError(
                f"images of {height}x{width} px are not a multiple of the patch of {self.name} ({self.patch_size} px); "
                f"use e.g. {nearest[0]}x{nearest[1]}"
            )
        return height // self.patch_size, width // self.patch_size

    def embed(
        self,
        images: Float[Tensor, "batch 3 height width"],
        mask: Bool[Tensor, "batch patches"] | None = None,
        mask_token: Float[Tensor, " dim"] | None = None,
    ) -> Tokens:
        """Patch and position embedding, prefix tokens first; `mask` and `mask_token` are those of `trunk`."""
        self.grid(images)
        x = self._embed_patches((images - self.mean).div_(self.std))
        if mask is not None:
            x = torch.where(mask.view(*x.shape[:-1], 1), mask_token.to(x.dtype), x)
        if isinstance(self.vit, Eva):
            x, rope = self.vit._pos_embed(x)
            return Tokens(self.vit.norm_pre(x), rope)
        return Tokens(self.vit.norm_pre(self.vit._pos_embed(x)))

    def _embed_patches(self, images: Float[Tensor, "batch 3 height width"]) -> Tensor:
        """`vit.patch_embed`, to rounding. Its convolution, whose windows do not overlap, is a product of matrices, and
        that has the faster backward pass on a CPU."""
        embed = self.vit.patch_embed
        if embed.output_fmt != Format.NHWC:  # with dynamic_img_size=False
            return embed(images)
        # named axes: b batch, c channel, h/w patch row/column, p/q pixel row/column within the patch
        bchpwq = images.unflatten(3, (-1, self.patch_size)).unflatten(2, (-1, self.patch_size))
        pixels = bchpwq.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return embed.norm(F.linear(pixels, embed.proj.weight.flatten(1), embed.proj.bias))

    def trunk(
        self,
        images: Float[Tensor, "batch 3 height width"],
        keep: Int[Tensor, "batch kept"] | None = None,
        mask: Bool[Tensor, "batch patches"] | None = None,
        mask_token: Float[Tensor, " dim"] | None = None,
    ) -> Tokens:
        """Everything that does not depend on S: embedding and the first L − K blocks.

        Args:
            keep: indices of the patches that enter the blocks (MAE's visible ones); prefix tokens always do.
            mask: True where a patch is hidden behind `mask_token` (iBOT): the token takes the place of the patch's
                embedding and is then given the patch's position, absolute or rotary, as in the code of iBOT and DINOv2.
            mask_token: the objective's, so that it is not exported with the backbone.

        Raises:
            ValueError: `mask` without `mask_token`, or for another number of patches.
        """
        if mask is not None:
            rows, columns = self.grid(images)
            if mask_token is None or mask.shape != (len(images), rows * columns):
                raise ValueError(
                    f"trunk: mask {tuple(mask.shape)} needs a mask_token and the shape (batch, patches) = "
                    f"({len(images)}, {rows * columns})"
                )
        tokens = self.embed(images, mask, mask_token)
        if keep is not None:
            tokens = self._keep(tokens, keep)
        return (
            self.run(tokens, self.trunk_blocks) if self.sharded_trunk is None else self.sharded_trunk(tokens, self.run)
        )

    def tail(self, tokens: Tokens, first: int | None = None) -> Float[Tensor, "batch tokens dim"]:
        """The last K blocks and the final norm.

        Args:
            first: give the first so many tokens alone (the class token is the first of all), which saves the last
                block's MLP for the others. None: all of them.
        """
        blocks = [*self.vit.blocks[self.depth - self.aligned_blocks :]]
        if first is not None:
            blocks[-1] = partial(block_at, blocks[-1], slice(first))
        return self.vit.norm(self.run(tokens, blocks).x)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens dim"]:
        return self.tail(self.trunk(images))

    def after_blocks(
        self, images: Float[Tensor, "batch 3 height width"], numbers: Iterable[int]
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        """The tokens after each of these blocks, counted from 1; those after the last one with the final norm."""
        wanted = [self.vit.blocks[number - 1] for number in numbers]
        after = dict.fromkeys(wanted, images)  # a tensor to replace
        run, last = partial(self.run, after=after), self.vit.blocks[self.depth - self.aligned_blocks :]
        tokens = self.embed(images)
        run(run(tokens, self.trunk_blocks) if self.sharded_trunk is None else self.sharded_trunk(tokens, run), last)
        return [self.vit.norm(after[block]) if block is last[-1] else after[block] for block in wanted]

    def export(self, path: str | Path, card: dict | None = None) -> None:
        """See `vssl.learner.export_backbone`."""
        from vssl.learner.backbone_file import export_backbone  # which imports this file

        export_backbone(self, path, card)

    def class_tokens(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """The class tokens of images; raises ValueError where the model has none."""
        return self.class_token(self.tail(self.trunk(images), first=1))

    def class_token(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch dim"]:
        """The class token of normalised tokens.

        Raises:
            ValueError: the model has none.
        """
        if not self.has_class_token:
            raise ValueError(f"{self.name} has no class token; use pooled patch tokens instead")
        return tokens[:, 0]

    def whole_patches(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 h w"]:
        """The upper left of the images, as much as makes whole patches; smaller ones than a patch as they are."""
        height, width = (side - side % self.patch_size or side for side in images.shape[-2:])
        return images[..., :height, :width]

    def patch_tokens(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch patches dim"]:
        """The tokens of the patches, row by row of the grid: without class token and registers."""
        return tokens[:, self.num_prefix_tokens :]

    def _keep(self, tokens: Tokens, keep: Int[Tensor, "batch kept"]) -> Tokens:
        prefix, patches = tokens.x[:, : self.num_prefix_tokens], self.patch_tokens(tokens.x)
        kept = patches.gather(1, keep.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
        rope = tokens.rope
        if rope is not None:  # (patches, dim) -> (batch, 1, kept, dim), one rotary table per sample
            rope = rope[keep].unsqueeze(1)
        return Tokens(torch.cat([prefix, kept], dim=1), rope)

    def run(self, tokens: Tokens, blocks: Iterable[Callable], after: dict[nn.Module, Tensor] | None = None) -> Tokens:
        """Tokens through blocks, which are recomputed in the backward pass where `grad_checkpointing` is set.

        Args:
            after: gets the tokens after each block that is among its keys.
        """
        x, extra = tokens.x, {} if tokens.rope is None else {"rope": tokens.rope}
        for block in blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                x = recompute(block, x, use_reentrant=False, **extra)  # type: ignore[call-overload]  # its flags, too
            else:
                x = block(x, **extra)
            if after is not None and block in after:
                after[block] = x
        return Tokens(x, tokens.rope)


def check_name(name: str) -> None:
    """Raises ValueError, with the nearest names, where timm has no such model."""
    if ":" not in name and not timm.is_model(name):  # "hf-hub:…" and "local-dir:…" are timm's to resolve
        near = get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        raise ValueError(f"backbone {name} is not a model of timm {timm.__version__}; close to it: {', '.join(near)}")


def patch_size_of(name: str) -> int:
    """Side of the patches of a model that can be continued, in pixels; nothing of the model is loaded.

    Raises:
        ValueError: timm has no such model, or it is not a ViT that can be split.
    """
    check_name(name)
    with torch.device("meta"):
        vit = _as_vit(name, timm.create_model(name, num_classes=0))
    _check_patches(name, vit)
    return vit.patch_embed.patch_size[0]


def _create(name: str, pretrained: bool, model_args: dict) -> nn.Module:
    check_name(name)
    arguments = {"dynamic_img_size": True, **model_args}
    answers = True
    try:
        with cache_alone_if_unreachable() if pretrained else nullcontext(True) as answers:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="", **arguments)
    except TypeError as error:  # an argument that the model's class does not have
        raise ValueError(
            f"backbone {name} cannot be built with {arguments}: {error}. "
            "A timm VisionTransformer or Eva is needed, with arguments of that class"
        ) from error
    except Exception as error:  # the hub, the network and the file each raise their own
        if not pretrained:
            raise
        why = error if answers else f"{ENDPOINT} does not answer, and its cache on this machine does not have them"
        raise ValueError(
            f"backbone {name}: its released weights could not be loaded ({why}). pretrained=True needs the network or "
            "that cache; otherwise give checkpoint=FILE with pretrained=False (docs/checkpoints.md)"
        ) from error


def _as_vit(name: str, model: nn.Module) -> ViT:
    """Refuse what has no blocks that all take the tokens of the one before."""
    if not isinstance(model, (VisionTransformer, Eva)) or getattr(model, "rope_mixed", False):
        raise ValueError(
            f"backbone {name} is a {type(model).__name__}; a timm VisionTransformer or Eva (without mixed rotary "
            "embeddings) is needed, e.g. vit_small_patch16_dinov3, vit_base_patch14_dinov2 or vit_base_patch16_224"
        )
    return model


def _check_patches(name: str, vit: ViT) -> None:
    """Refuse what `embed` does not do: convolutional stems, oblong patches, patch dropout."""
    size = vit.patch_embed.patch_size
    # A hybrid's stem reports the patch on its feature map, not in pixels.
    if type(vit.patch_embed) is not PatchEmbed or size[0] != size[1]:
        raise ValueError(
            f"backbone {name} embeds patches with {type(vit.patch_embed).__name__} {size}; "
            "a model with plain square patches is needed, e.g. vit_small_patch16_224"
        )
    if not isinstance(getattr(vit, "patch_drop", None), (nn.Identity, type(None))):
        raise ValueError(f"backbone {name}: patch_drop_rate must be 0; MAE chooses visible patches by itself")
