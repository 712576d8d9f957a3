"""The step of lightly's modules that `learner-step --lightly` sets beside ours: same backbone, views, heads, optimizer.

lightly has no Sinkhorn-Knopp for DINOv2: its targets are those of a running centre, which is less work than ours.
"""

import argparse
from typing import Any

import timm
import torch
from torch import Tensor, nn

from vssl.objectives.dino import DINO
from vssl.views.crops import Views

OBJECTIVES = ("dino", "ibot", "dinov2")
MOMENTUM = 0.996


class LightlyStep:
    """Student, teacher and losses of one of `OBJECTIVES`, put together as in lightly's examples.

    Args:
        arguments: of `learner-step`.
        sizes: of the timm backbone.
        views: the batch.
        ours: the objective whose head's sizes are taken.

    Raises:
        SystemExit: lightly is not installed, or has no such objective.
    """

    def __init__(self, arguments: argparse.Namespace, sizes: dict[str, Any], views: Views, ours: DINO):
        if arguments.objective not in OBJECTIVES:
            raise SystemExit(f"--lightly compares {', '.join(OBJECTIVES)}, not {arguments.objective}")
        try:
            from lightly.loss import DINOLoss, IBOTPatchLoss, KoLeoLoss
            from lightly.models.modules import DINOProjectionHead, MaskedVisionTransformerTIMM
        except ImportError as error:
            raise SystemExit(f"--lightly needs lightly ({error}): pip install 'lightly>=1.6'") from error
        self.name, self.views, self.device = arguments.objective, views, arguments.device
        hidden, _, bottleneck = (layer.out_features for layer in ours.head.mlp[::2])
        prototypes = ours.head.last.out_features

        def build() -> nn.ModuleDict:
            vit = timm.create_model(arguments.model, dynamic_img_size=True, num_classes=0, global_pool="", **sizes)
            heads = ["head", "patch_head"] if self.name == "dinov2" else ["head"]
            parts = {name: DINOProjectionHead(vit.embed_dim, hidden, bottleneck, prototypes) for name in heads}
            return nn.ModuleDict({"vit": MaskedVisionTransformerTIMM(vit), **parts}).to(self.device)

        self.student, self.teacher = build().train(), build().requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())
        self.class_loss = DINOLoss(prototypes).to(self.device)
        self.patch_loss = IBOTPatchLoss(prototypes).to(self.device)
        self.koleo = KoLeoLoss()
        self.optimizer = torch.optim.AdamW([p for p in self.student.parameters() if p.requires_grad], lr=1e-4)

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
