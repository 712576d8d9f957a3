"""I-JEPA: predict the EMA teacher's features of target blocks from a context block (Assran et al. 2023).

arXiv 2301.08243, section 3; defaults from the authors' ``in1k_vith14_ep300.yaml``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.schedules import linear
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import Objective, State, mean_over_images, pack, unpack
from vssl.objectives.component_shares import component_shares
from vssl.objectives.decoder import TokenDecoder
from vssl.objectives.dino_head import full_precision
from vssl.objectives.multiblock import MultiBlockMasks
from vssl.objectives.patch_weights import relative_weights
from vssl.views.crops import Views


class IJEPA(Objective):
    """The student sees the context block alone; a predictor is asked for each target block, position by position.

    The targets are the teacher's patch features of the whole image, each normalised over its values (a layer norm
    without weights). The loss is smooth-L1 (bound at 1), a mean over targets, patches and values.

    The authors' ViTs have no class token. Where there are prefix tokens, they enter the predictor without a position.

    Args:
        backbone: read for its width and number of prefix tokens only.
        predictor_dim, predictor_depth, predictor_heads: size of the predictor, the authors' for ViT-H/14;
            `predictor_dim` is a multiple of 4 and of `predictor_heads`.
        context_scale, target_scale, target_aspect, n_targets, min_keep: see `MultiBlockMasks`. `min_keep` is the
            authors' for a grid of 16×16; on 8×8 targets have 9 to 12 patches, and 4 is a good choice.
        teacher_momentum_start, teacher_momentum_end: the EMA momentum follows a line between the two.
        flow_through_teacher: let the gradient to the views flow through the teacher's targets too. It does not change
            the learner's gradient.
        target_layers: the teacher's blocks, counted from 1, after which its features are targets; None for the last
            block alone, as the authors have it. The predictor predicts all of them together. Each is a component of
            the loss, ``layer4``, and normalised like the last one's; the loss is their mean, weighted by `weigh`. The
            last block's features have the final norm, as ever; the others' come as the block leaves them.

    Raises:
        ValueError: a setting is out of range.
    """

    n_global_crops = 1
    uses_teacher = True
    takes_patch_scores = True
    masks_meet = True  # all contexts are as small as the smallest one
    paper = "Assran et al. 2023, arXiv 2301.08243, and its code"
    works_on = "patches of the context block"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {"predictor_dim": embed_dim // 2, "predictor_depth": 1, "predictor_heads": 2, "min_keep": 0}

    def __init__(
        self,
        backbone: TimmBackbone,
        predictor_dim: int = 384,
        predictor_depth: int = 12,
        predictor_heads: int = 16,
        context_scale: tuple[float, float] = (0.85, 1.0),
        target_scale: tuple[float, float] = (0.15, 0.2),
        target_aspect: tuple[float, float] = (0.75, 1.5),
        n_targets: int = 4,
        min_keep: int = 10,
        teacher_momentum_start: float = 0.996,
        teacher_momentum_end: float = 1.0,
        flow_through_teacher: bool = False,
        target_layers: Sequence[int] | None = None,
    ):
        super().__init__()
        dim = backbone.embed_dim
        self.target_layers = (backbone.depth,) if target_layers is None else tuple(target_layers)
        known = set(range(1, backbone.depth + 1))
        if not self.target_layers or len({*self.target_layers} & known) < len(self.target_layers):
            raise ValueError(
                f"IJEPA target_layers={target_layers}: give one or more of the {backbone.depth} blocks of "
                f"{backbone.name}, counted from 1, each once"
            )
        self.components = tuple(f"layer{n}" for n in self.target_layers) if target_layers else ("features",)
        self.weigh(None)
        self.masks = MultiBlockMasks(context_scale, target_scale, target_aspect, n_targets, min_keep)
        self.momentum_start, self.momentum_end = teacher_momentum_start, teacher_momentum_end
        self.flow_through_teacher = flow_through_teacher
        size = (predictor_dim, predictor_depth, predictor_heads)
        values = dim * len(self.target_layers)
        self.predictor = TokenDecoder(dim, backbone.num_prefix_tokens, *size, values, "IJEPA predictor")
        _initialise(self.predictor)

    def transformer_blocks(self) -> Iterable[nn.Module]:
        return self.predictor.blocks

    def begin(  # type: ignore[override]  # `uses_teacher`: it gets one
        self, student: TimmBackbone, teacher: EMATeacher, views: Views, draws: Draws
    ) -> State:
        images = self.crops_of(views)[0]
        grid = student.grid(images)
        scores = None if views.patch_scores is None else views.patch_scores[0]
        context, targets = self.masks(draws, len(images), grid, scores)
        with nullcontext() if self.flow_through_teacher else torch.no_grad():
            layers = teacher.backbone.after_blocks(images, self.target_layers)
            of_layers = [full_precision(teacher.backbone.patch_tokens(tokens)) for tokens in layers]
            patches = torch.cat([F.layer_norm(of, of.shape[-1:]) for of in of_layers], dim=-1)
            of_targets = patches.gather(1, targets.flatten(1).unsqueeze(-1).expand(-1, -1, patches.shape[-1]))
        state = {
            **pack(student.trunk(images, context), "context"),
            "context": context,
            "targets": targets,
            "positions": self.predictor.positions(grid, images),
            "features": of_targets.unflatten(1, targets.shape[1:]),
        }
        if views.patch_weights is not None:
            weights = relative_weights(
                views.patch_weights[0], self.predicted_patches(state)["patches"], grid[0] * grid[1]
            )
            state["patch_weights"] = weights.view_as(targets)
        return state

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        return mean_over_images(self.losses(student, state).mean(dim=(1, 2)), state)

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch targets patches"]]:
        tokens = student.tail(unpack(state, "context"))
        predicted = self.predictor(tokens, state["context"], state["targets"], state["positions"])
        losses = F.smooth_l1_loss(full_precision(predicted), state["features"], reduction="none")
        of_layers = [of.mean(-1) for of in losses.chunk(len(self.components), dim=-1)]
        if "patch_weights" in state:
            of_layers = [state["patch_weights"] * of for of in of_layers]
        return dict(zip(self.components, of_layers, strict=True))

    def component_weights(self) -> dict[str, float]:
        return dict(self.weights)

    def weigh(self, weights: Mapping[str, float] | None) -> None:
        own = dict.fromkeys(self.components, 1.0)
        self.weights = component_shares(own if weights is None else weights, self.components, "IJEPA")

    def losses(self, student: TimmBackbone, state: State) -> Float[Tensor, "batch targets patches"]:
        """The loss of each patch of each target, of all layers together."""
        of_layers = [self.weights[name] * of for name, of in self.loss_components(student, state).items()]
        return sum(of_layers[1:], of_layers[0])

    def patch_losses(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, " predictions"]]:
        return {"patches": self.losses(student, state).flatten()}

    def predicted_patches(self, state: State) -> dict[str, Int[Tensor, " predictions"]]:
        targets, patches = state["targets"].flatten(1), len(state["positions"])
        rows = torch.arange(len(targets), device=targets.device).unsqueeze(1)
        return {"patches": (targets + patches * rows).flatten()}

    def teacher_momentum(self, progress: float) -> float:
        return linear(self.momentum_start, self.momentum_end, progress)


def _initialise(predictor: TokenDecoder) -> None:
    """As in the authors' code: normal weights of deviation 0.02, smaller in what later blocks add to the stream."""
    for module in predictor.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    nn.init.trunc_normal_(predictor.mask_token, std=0.02)
    with torch.no_grad():
        for number, block in enumerate(predictor.blocks, start=1):
            block.attn.proj.weight.div_(math.sqrt(2.0 * number))
            block.mlp.fc2.weight.div_(math.sqrt(2.0 * number))
