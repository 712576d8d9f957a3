"""The frozen backbone that every probe looks through."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.learner import TimmBackbone, open_backbone


class FrozenBackbone(nn.Module):
    """Patch features of a frozen ViT as mmseg's segmentors want them: one map per layer.

    It stays in eval mode, without gradients and with its weights, whatever a segmentor or a Runner calls (`train()`,
    `init_weights()`, `requires_grad_()`). Sides that are not a multiple of the patch are padded (last row and column
    repeated) and the feature maps cut back, so that they cover the image and nothing else.

    Args:
        backbone: a file or a backbone in memory; None with a timm `model` for its released weights. See
            `open_backbone`: further keyword arguments (`model`, `random_seed`, `checkpoint_key`, …) go there.
        layers: ``"last"``, ``"last4"``, ``"spread4"`` (four over the depth as in DINOv2's lin4: [2, 5, 8, 11] of a
            ViT-B, [4, 11, 17, 23] of a ViT-L), or block indices from 0.
        final_norm: pass the features of every layer through the backbone's final norm, as its own last layer is.
        class_token: concatenate the class token to every patch token (2·dim channels).
        precision: ``"fp32"``, or ``"bf16"`` for the backbone under autocast; what it gives is float32 in both.
    """

    def __init__(
        self,
        backbone: str | Path | TimmBackbone | None = None,
        layers: str | Sequence[int] = "last",
        final_norm: bool = True,
        class_token: bool = False,
        precision: str = "fp32",
        **source,
    ):
        super().__init__()
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision={precision!r}; 'fp32' or 'bf16' is needed")
        learner = open_backbone(backbone, **source)
        if learner is backbone:  # a live learner must not be frozen along
            learner = copy.deepcopy(learner)
        self.vit, self.patch_size, self.name = learner.vit, learner.patch_size, learner.name
        self.source = backbone if isinstance(backbone, str | Path) else learner.name
        self.register_buffer("mean", learner.mean.clone(), persistent=False)
        self.register_buffer("std", learner.std.clone(), persistent=False)
        self.layers = block_indices(layers, learner.depth, self.name)
        if class_token and not learner.has_class_token:
            raise ValueError(f"{self.name} has no class token; set class_token=False")
        self.final_norm, self.class_token, self.precision = final_norm, class_token, precision
        self.out_channels = learner.embed_dim * (2 if class_token else 1)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FrozenBackbone":
        return super().train(False)

    def init_weights(self) -> None:
        """mmengine calls this on every module of a segmentor; the weights are the point, so nothing happens."""

    @torch.no_grad()
    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch dim rows columns"], ...]:
        """Feature maps of `layers`, ⌈height/patch⌉ × ⌈width/patch⌉ each, from images in [0, 1]."""
        return tuple(patches for patches, _ in self._look(images, self.class_token))

    @torch.no_grad()
    def pooled(self, images: Float[Tensor, "batch 3 height width"], pool: str) -> Float[Tensor, "batch dim"]:
        """One vector per image from the last of `layers`: ``"avg"`` of the patch tokens, ``"class"``, or both."""
        class_tokens, mean = self.summaries(images)
        if pool != "avg" and not class_tokens:
            raise ValueError(f"{self.name} has no class token; set pool='avg'")
        parts = {"avg": mean} | ({"class": class_tokens[-1]} if class_tokens else {})
        return torch.cat([parts[name] for name in pool.split("+")], dim=1)

    @torch.no_grad()
    def summaries(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[list[Float[Tensor, "batch dim"]], Float[Tensor, "batch dim"]]:
        """The class token of each of `layers` ([] without one), and the mean patch token of the last."""
        maps = self._look(images, False)
        class_tokens = [] if self.vit.cls_token is None else [prefix[:, 0] for _, prefix in maps if prefix is not None]
        return class_tokens, maps[-1][0].mean(dim=(2, 3))

    def _look(self, images: Tensor, class_token: bool) -> list[tuple[Tensor, Tensor | None]]:
        height, width = images.shape[-2:]
        pad = (-width % self.patch_size, -height % self.patch_size)
        if any(pad):
            images = F.pad(images, (0, pad[0], 0, pad[1]), mode="replicate")
        # mmengine's AmpOptimWrapper would assert a GPU; torch's own autocast runs on both
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            found = self.vit.forward_intermediates(
                (images - self.mean) / self.std,
                indices=self.layers,
                return_prefix_tokens=self.vit.num_prefix_tokens > 0,
                norm=self.final_norm,
                intermediates_only=True,
            )
        pairs = [entry if isinstance(entry, tuple) else (entry, None) for entry in found]
        maps: list[tuple[Tensor, Tensor | None]] = [
            (patches.float(), None if prefix is None else prefix.float()) for patches, prefix in pairs
        ]
        if not all(torch.isfinite(tokens).all() for pair in maps for tokens in pair if tokens is not None):
            raise ValueError(
                f"the features of backbone {self.source} are not finite: its training diverged, or precision="
                f"{self.precision!r} is too coarse for it; there is nothing to score"
            )
        if any(pad):
            size = (height / self.patch_size, width / self.patch_size)
            maps = [(cover(patches, size), prefix) for patches, prefix in maps]
        if class_token:
            classes = [t[:, 0, :, None, None] for _, t in maps if t is not None]  # each: `__init__` refuses others
            maps = [(torch.cat([p, c.expand_as(p)], dim=1), t) for (p, t), c in zip(maps, classes, strict=True)]
        return maps


def block_indices(layers: str | Sequence[int], depth: int, name: str) -> list[int]:
    """Block indices that `layers` of `FrozenBackbone` means for a backbone of this depth, in ascending order."""
    named = {"last": [depth - 1], "last4": list(range(depth - 4, depth))}
    named["spread4"] = [4, 11, 17, 23] if depth == 24 else [depth * (i + 1) // 4 - 1 for i in range(4)]
    found = named.get(layers, []) if isinstance(layers, str) else list(layers)
    # timm gives the maps in ascending order whatever the order asked for
    if not found or sorted(set(found)) != found or not all(isinstance(i, int) and 0 <= i < depth for i in found):
        raise ValueError(
            f"layers={layers!r} must be 'last', 'last4', 'spread4' or ascending indices in 0..{depth - 1} for {name}"
        )
    return found


def cover(
    grid: Float[Tensor, "batch dim rows columns"], size: tuple[float, float]
) -> Float[Tensor, "batch dim rows columns"]:
    """Resample a map so that it covers its first `size` cells only (a fraction of a cell allowed), exactly.

    mmseg stretches a head's output over the image; a map that also covers the padding would be stretched wrongly.
    Bilinear in the cells' centres, which is the identity when `size` is the whole map.
    """
    axes = []
    for cells, used in zip(grid.shape[-2:], size, strict=True):
        centres = (torch.arange(cells, device=grid.device, dtype=grid.dtype) + 0.5) * (used / cells)
        axes.append(centres * (2 / cells) - 1)  # grid_sample's [-1, 1] without aligned corners
    y, x = torch.meshgrid(*axes, indexing="ij")
    where = torch.stack([x, y], dim=-1).expand(len(grid), -1, -1, -1)
    return F.grid_sample(grid, where, mode="bilinear", padding_mode="border", align_corners=False)
