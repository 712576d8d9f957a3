"""iBOT: DINO, and the student predicts what the teacher says of the patches it does not see (Zhou et al. 2022).

arXiv 2111.07832, section 3; defaults from the command for ViT-S/16 in the README of the authors' code and from its
``main_ibot.py``. The 30 of 800 epochs in which temperatures rise are a share of the budget here.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.schedules import linear, warmup
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import State, pack, unpack
from vssl.objectives.centring import move_centre
from vssl.objectives.dino import DINO
from vssl.objectives.dino_head import DINOHead, through_head
from vssl.objectives.patch_masks import BlockMasks, RandomMasks
from vssl.objectives.patch_weights import relative_weights
from vssl.views.crops import Views


class IBOT(DINO):
    """DINO's loss on the class token plus the cross-entropy between teacher and student at hidden patches.

    Of the student's global crops some are masked: hidden patches are replaced by a learned token. The teacher sees all
    patches. The patch loss of a crop is the mean over its hidden patches, 0 without any; that of an image is the mean
    over its global crops. Class tokens come from the masked crops, as in the authors' code. Local crops are whole.

    Args:
        backbone, n_local_crops, out_dim, hidden_dim, bottleneck_dim, teacher_temperature, warmup_temperature,
            warmup_share: see `DINO`.
        shared_head: class and patch tokens have one head, the authors' choice; otherwise patches have one of their own.
            The two centres are always apart.
        patch_out_dim: prototypes of a patch head of its own.
        patch_temperature: of the teacher at patches; its warm-up is that of `teacher_temperature`.
        patch_weight: of the patch loss; the class loss has weight 1.
        mask: ``"block"`` or ``"random"``, see `BlockMasks` and `RandomMasks`.
        mask_ratio, mask_probability, mask_min_patches, mask_exact: their settings; the last two are of blocks alone.
        **dino: the other settings of `DINO`.

    Raises:
        ValueError: the backbone has no class token, or a setting is out of range.
    """

    takes_patch_scores = True
    reads_patches = True
    paper = "Zhou et al. 2022, arXiv 2111.07832, and its code"
    works_on = "class token, hidden patches"

    def __init__(
        self,
        backbone: TimmBackbone,
        n_local_crops: int = 10,
        out_dim: int = 8192,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        teacher_temperature: float = 0.07,
        warmup_temperature: float = 0.04,
        warmup_share: float = 30 / 800,
        shared_head: bool = True,
        patch_out_dim: int = 8192,
        patch_temperature: float = 0.07,
        patch_weight: float = 1.0,
        mask: Literal["block", "random"] = "block",
        mask_ratio: tuple[float, float] = (0.1, 0.5),
        mask_probability: float = 0.5,
        mask_min_patches: int | None = None,
        mask_exact: bool = False,
        **dino: Any,
    ):
        kind = type(self).__name__
        if not patch_temperature > 0 or not patch_weight >= 0:
            raise ValueError(
                f"{kind} patch_temperature={patch_temperature} must be positive (e.g. 0.07) and "
                f"patch_weight={patch_weight} 0 or more"
            )
        if mask not in ("block", "random"):
            raise ValueError(f"{kind} mask={mask!r}; give 'block' or 'random'")
        self.patch_temperature_end = patch_temperature
        super().__init__(
            backbone,
            n_local_crops,
            out_dim,
            hidden_dim,
            bottleneck_dim,
            teacher_temperature=teacher_temperature,
            warmup_temperature=warmup_temperature,
            warmup_share=warmup_share,
            **dino,
        )
        self.masks = (
            RandomMasks(mask_ratio, mask_probability)
            if mask == "random"
            else BlockMasks(mask_ratio, mask_probability, mask_min_patches, exact=mask_exact)
        )
        self._mask_range, self.patch_weight = self.masks.ratio, patch_weight
        self.mask_token = nn.Parameter(torch.zeros(backbone.embed_dim))
        # Departure from the authors' code, where heads that are not shared still have one MLP: these are two heads, as
        # in DINOv2.
        self.own_patch_head = (
            None if shared_head else DINOHead(backbone.embed_dim, patch_out_dim, hidden_dim, bottleneck_dim)
        )
        self.register_buffer("patch_center", torch.zeros(out_dim if shared_head else patch_out_dim))

    @property
    def patch_head(self) -> DINOHead:
        """The head of the patch tokens: that of the class token with ``shared_head=True``."""
        return self.head if self.own_patch_head is None else self.own_patch_head

    def _begin_global(
        self,
        student: TimmBackbone,
        teacher: EMATeacher,
        views: Views,
        draws: Draws,
    ) -> State:
        crops = self.crops_of(views)
        rows = crops.flatten(0, 1)
        mask, hidden = self.masks(draws, crops.shape[1], len(crops), student.grid(rows), views.patch_scores)
        with self._graph_of_teacher():
            tokens = teacher.backbone(rows)
            # Departure from iBOT's code, which applies the head to all patches and centres by all of them: as in
            # DINOv2's code, only hidden ones count, since nobody reads the other targets.
            found = self._through_heads(
                teacher.heads["head"],
                None if self.own_patch_head is None else teacher.heads["patch_head"],
                {"global": teacher.backbone.class_token(tokens)},
                _at(teacher.backbone.patch_tokens(tokens), hidden),
            )
            logits, patch_logits = found["global"], found["patch"]
            targets = self._targets(logits, self.center, self.teacher_temperature).unflatten(0, crops.shape[:2])
            patch_targets = self._targets(patch_logits, self.patch_center, self.patch_temperature)
        state = {
            **pack(student.trunk(rows, mask=mask, mask_token=self.mask_token), "global"),
            "targets": targets,
            "patch_targets": patch_targets,
            "mask": mask,
            "hidden": hidden,
            "observed.mean": logits.detach().mean(0),
            "observed.patch_sum": patch_logits.detach().sum(0),
            "observed.patch_count": patch_logits.new_tensor(float(len(hidden))),
        }
        if views.patch_weights is not None:
            state["patch_weights"] = relative_weights(views.patch_weights.flatten(0, 1), hidden, mask.shape[1])
        return state

    def hide(self, mask_ratio: float | None) -> None:
        """The mean of a masked view. Both ends of the constructor's range are multiplied by one factor; where the upper
        one would exceed 1, the range ends at 1 and has this mean."""
        if mask_ratio is not None and not 0.0 < mask_ratio < 1.0:
            raise ValueError(f"{type(self).__name__} mask_ratio={mask_ratio} must be in (0, 1), e.g. 0.3")
        factor = 1.0 if mask_ratio is None else mask_ratio / self.own_mask_ratio()
        low, high = (factor * end for end in self._mask_range)
        self.masks.ratio = (low, high) if high <= 1 else (2 * mask_ratio - 1, 1.0)

    def own_mask_ratio(self) -> float:
        """The mean of a masked view."""
        return sum(self._mask_range) / 2

    def component_names(self) -> tuple[str, ...]:
        return (*super().component_names(), "patch")

    def _logits(
        self, student: TimmBackbone, tokens: dict[str, Float[Tensor, "rows tokens dim"]], state: State
    ) -> dict[str, Float[Tensor, "rows prototypes"]]:
        if "global" not in tokens:
            return super()._logits(student, tokens, state)
        rows = {kind: student.class_token(crops) for kind, crops in tokens.items()}
        patches = _at(student.patch_tokens(tokens["global"]), state["hidden"])
        return self._through_heads(self.head, self.own_patch_head, rows, patches, self.student_temperature)

    def _through_heads(
        self,
        head: DINOHead,
        own_patch_head: DINOHead | None,
        rows: dict[str, Float[Tensor, "rows dim"]],
        patches: Float[Tensor, "hidden dim"],
        temperature: float = 1.0,
    ) -> dict[str, Float[Tensor, "rows prototypes"]]:
        if own_patch_head is None:
            return through_head(head, {**rows, "patch": patches}, temperature)
        return through_head(head, rows, temperature) | through_head(own_patch_head, {"patch": patches}, temperature)

    def _terms_of(self, logits: dict[str, Float[Tensor, "rows prototypes"]], state: State) -> dict[str, Tensor]:
        terms = super()._terms_of(logits, state)
        if "patch" in logits:
            terms["patch"] = self.patch_weight * self._patch_losses(logits["patch"], state)
        return terms

    def patch_losses(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, " predictions"]]:
        patches = student.patch_tokens(student.tail(unpack(state, "global")))
        weight = self.patch_weight * self.component_weights()["patch"]
        logits = through_head(self.patch_head, {"patch": _at(patches, state["hidden"])}, self.student_temperature)
        return {"patches": weight * self._losses_of_hidden(logits["patch"], state)}

    def predicted_patches(self, state: State) -> dict[str, Int[Tensor, " predictions"]]:
        return {"patches": state["hidden"]}

    def _patch_losses(self, logits: Float[Tensor, "hidden prototypes"], state: State) -> Float[Tensor, " batch"]:
        mask, hidden = state["mask"], state["hidden"]
        losses = self._losses_of_hidden(logits, state)
        of_patch = losses.new_zeros(mask.numel()).index_copy(0, hidden, losses).view_as(mask)
        of_crop = of_patch.sum(1) / mask.sum(1).clamp(min=1)
        return of_crop.unflatten(0, (self.n_global_crops, -1)).mean(0)

    def _losses_of_hidden(
        self, logits: Float[Tensor, "hidden prototypes"], state: State
    ) -> Float[Tensor, " predictions"]:
        entropy = -(state["patch_targets"] * logits.log_softmax(-1)).sum(-1)
        return state["patch_weights"] * entropy if "patch_weights" in state else entropy

    def teacher_modules(self) -> dict[str, nn.Module]:
        own = {} if self.own_patch_head is None else {"patch_head": self.own_patch_head}
        return super().teacher_modules() | own

    def on_step(self, step: int, progress: float) -> None:
        super().on_step(step, progress)
        self.patch_temperature = linear(
            self.temperature_start, self.patch_temperature_end, warmup(progress, self.warmup_share)
        )

    def before_optimizer_step(self) -> None:
        super().before_optimizer_step()
        if self.last_layer_frozen:
            self.patch_head.last.weight.grad = None

    @torch.no_grad()
    def update(self, state: State) -> None:
        """Move both centres towards this step's mean teacher logits, over all ranks; see `DINO.update`."""
        super().update(state)
        sums, count = state["observed.patch_sum"], state["observed.patch_count"]
        move_centre(self.patch_center, sums, count, self.center_momentum)


def _at(patches: Float[Tensor, "rows patches dim"], hidden: Int[Tensor, " hidden"]) -> Float[Tensor, "hidden dim"]:
    return patches.flatten(0, 1).index_select(0, hidden)
