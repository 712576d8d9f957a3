"""The step of lightly's modules that `learner-step --lightly` sets beside ours: same backbone, views, optimizer.

Heads have the sizes of ours. lightly has no Sinkhorn-Knopp for DINOv2: its targets are those of a running centre, which
is less work than ours. Its head of SimCLR has batch norms, which ours has not.
"""

import argparse
from abc import ABC, abstractmethod
from typing import Any

import timm
import torch
from torch import Tensor, nn

from vssl.objectives.base import Objective
from vssl.views.crops import Views

MOMENTUM = 0.996


def lightly_step(arguments: argparse.Namespace, sizes: dict[str, Any], views: Views, ours: Objective) -> "LightlyStep":
    """lightly's modules for the objective of `arguments`, put together as in lightly's examples.

    Args:
        arguments: of `learner-step`.
        sizes: of the timm backbone.
        views: the batch.
        ours: the objective whose head's or decoder's sizes are taken.

    Raises:
        SystemExit: lightly is not installed, or is not compared in this objective.
    """
    if arguments.objective not in STEPS:
        raise SystemExit(f"--lightly compares {', '.join(STEPS)}, not {arguments.objective}")
    try:
        return STEPS[arguments.objective](arguments, sizes, views, ours)
    except ImportError as error:
        raise SystemExit(f"--lightly needs lightly ({error}): pip install 'lightly>=1.6'") from error


class LightlyStep(ABC):
    """`student` and `optimizer`, and the loss of the batch."""

    student: nn.ModuleDict

    def __init__(self, arguments: argparse.Namespace, sizes: dict[str, Any], views: Views, ours: Any):
        self.name, self.views, self.device = arguments.objective, views, arguments.device
        self._build(arguments.model, sizes, ours)
        self.optimizer = torch.optim.AdamW([p for p in self.student.parameters() if p.requires_grad], lr=1e-4)

    @abstractmethod
    def _build(self, model: str, sizes: dict[str, Any], ours: Any) -> None:
        """Make `student` and what else the loss needs."""

    @abstractmethod
    def loss(self) -> Tensor:
        """Of the batch."""

    def update_teacher(self) -> None:  # noqa: B027  # objectives without a teacher have nothing to do
        pass

    def _backbone(self, model: str, sizes: dict[str, Any]) -> Any:
        from lightly.models.modules import MaskedVisionTransformerTIMM

        vit = timm.create_model(model, dynamic_img_size=True, num_classes=0, global_pool="", **sizes)
        return MaskedVisionTransformerTIMM(vit)


class LightlySimCLR(LightlyStep):
    """On the mean of the patch tokens, or the class token, as ours."""

    def _build(self, model: str, sizes: dict[str, Any], ours: Any) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead

        vit, (first, _, last) = self._backbone(model, sizes), ours.head
        head = SimCLRProjectionHead(first.in_features, first.out_features, last.out_features)
        self.student = nn.ModuleDict({"vit": vit, "head": head}).to(self.device).train()
        self.pool, self.contrast = ours.pool, NTXentLoss(ours.temperature)

    def loss(self) -> Tensor:
        tokens = self.student["vit"].encode(self.views.global_crops.flatten(0, 1))
        prefix = self.student["vit"].vit.num_prefix_tokens
        pooled = tokens[:, 0] if self.pool == "class" else tokens[:, prefix:].mean(1)
        return self.contrast(*self.student["head"](pooled).chunk(2))


class LightlyMAE(LightlyStep):
    def _build(self, model: str, sizes: dict[str, Any], ours: Any) -> None:
        from lightly.models.modules import MaskedVisionTransformerDecoderTIMM

        vit, decoder = self._backbone(model, sizes), ours.decoder
        patch, width = vit.vit.patch_embed.patch_size[0], decoder.mask_token.shape[-1]
        built = MaskedVisionTransformerDecoderTIMM(
            num_patches=(self.views.global_crops.shape[-1] // patch) ** 2,
            embed_dim=width,
            depth=len(decoder.blocks),
            num_heads=decoder.blocks[0].attn.num_heads,
            num_prefix_tokens=vit.vit.num_prefix_tokens,
        )
        ends = {"embed": nn.Linear(vit.vit.embed_dim, width), "predict": nn.Linear(width, 3 * patch**2)}
        self.student = nn.ModuleDict({"vit": vit, "decoder": built, **ends}).to(self.device).train()
        self.mask_ratio, self.patch = ours.mask_ratio, patch

    def loss(self) -> Tensor:
        from lightly.models import utils

        images, decoder = self.views.global_crops[0], self.student["decoder"]
        keep, hidden = self._mask(len(images))
        seen = self.student["embed"](self.student["vit"].encode(images, idx_keep=keep))
        tokens = utils.repeat_token(decoder.mask_token, (len(images), keep.shape[1] + hidden.shape[1]))
        tokens = utils.set_at_index(tokens, keep, seen.type_as(tokens))
        decoded = decoder.decode(decoder.add_pos_embed(tokens))
        predicted = self.student["predict"](utils.get_at_index(decoded, hidden))
        patches = utils.patchify(images, self.patch)  # the class token is no patch
        target = utils.get_at_index(patches, hidden - self.student["vit"].vit.num_prefix_tokens)
        return nn.functional.mse_loss(predicted, utils.normalize_mean_var(target))

    def _mask(self, batch: int) -> tuple[Tensor, Tensor]:
        """Indices of the tokens that are kept, the class token among them, and of those that are hidden."""
        from lightly.models.utils import random_token_mask

        size = (batch, self.student["decoder"].sequence_length)
        return random_token_mask(size, mask_ratio=self.mask_ratio, device=self.device)


class LightlyDINO(LightlyStep):
    """DINO, iBOT and DINOv2: student, teacher and losses."""

    def _build(self, model: str, sizes: dict[str, Any], ours: Any) -> None:
        from lightly.loss import DINOLoss, IBOTPatchLoss, KoLeoLoss
        from lightly.models.modules import DINOProjectionHead

        hidden, _, bottleneck = (layer.out_features for layer in ours.head.mlp[::2])
        prototypes = ours.head.last.out_features

        def build() -> nn.ModuleDict:
            backbone = self._backbone(model, sizes)
            heads = ["head", "patch_head"] if self.name == "dinov2" else ["head"]
            width = backbone.vit.embed_dim
            parts = {name: DINOProjectionHead(width, hidden, bottleneck, prototypes) for name in heads}
            return nn.ModuleDict({"vit": backbone, **parts}).to(self.device)

        self.student, self.teacher = build().train(), build().requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())
        self.class_loss = DINOLoss(prototypes).to(self.device)
        self.patch_loss = IBOTPatchLoss(prototypes).to(self.device)
        self.koleo = KoLeoLoss()

    def loss(self) -> Tensor:
        crops, local = self.views.global_crops, self.views.local_crops
        rows, mask = crops.flatten(0, 1), None if self.name == "dino" else self._mask(crops)
        with torch.no_grad():
            seen = self.teacher["vit"].encode(rows)
            targets = self.teacher["head"](seen[:, 0])
        tokens = self.student["vit"].encode(rows, mask=self._with_prefix(mask))
        logits = list(self.student["head"](tokens[:, 0]).chunk(2))
        if local is not None:
            small = self.student["vit"].encode(local.flatten(0, 1))
            logits += self.student["head"](small[:, 0]).chunk(len(local))
        loss = self.class_loss(targets.chunk(2), logits)
        if mask is not None:
            loss = loss + self._patches(seen, tokens, mask)
        if self.name == "dinov2":
            loss = loss + 0.1 * sum(self.koleo(crop) for crop in tokens[:, 0].chunk(2))
        return loss

    def update_teacher(self) -> None:
        from lightly.models.utils import update_momentum

        update_momentum(self.student, self.teacher, MOMENTUM)

    def _patches(self, seen: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        head, hidden = "patch_head" if "patch_head" in self.student else "head", self._with_prefix(mask)
        with torch.no_grad():
            targets = self.teacher[head](seen[hidden])
        return self.patch_loss(targets, self.student[head](tokens[hidden]), mask)

    def _mask(self, crops: Tensor) -> Tensor:
        from lightly.models.utils import random_block_mask

        vit = self.student["vit"].vit
        height, width = (side // vit.patch_embed.patch_size[0] for side in crops.shape[-2:])  # type: ignore[index]  # a timm ViT
        return random_block_mask((crops.shape[0] * crops.shape[1], height, width), device=self.device)

    def _with_prefix(self, mask: Tensor | None) -> Tensor | None:
        """(rows, tokens), with the prefix tokens left visible."""
        if mask is None:
            return None
        prefix = mask.new_zeros(len(mask), self.student["vit"].vit.num_prefix_tokens)
        return torch.cat([prefix, mask.flatten(1)], dim=1)


STEPS: dict[str, type[LightlyStep]] = {
    "simclr": LightlySimCLR,
    "mae": LightlyMAE,
    "dino": LightlyDINO,
    "ibot": LightlyDINO,
    "dinov2": LightlyDINO,
}
