"""DINOv3's objective: DINOv2's and Gram anchoring (Siméoni et al. 2025).

arXiv 2508.10104, section 4; defaults from the authors' ``ssl_default_config.yaml`` and, for the Gram loss, from
``train/dinov3_vit7b16_gram_anchor.yaml``. That recipe begins with the loss after a million steps of pretraining. Here
it is there from the first step, for continued pretraining, and the start is the first Gram teacher.
"""

from collections.abc import Iterable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.learner.weights import load_weights
from vssl.objectives.base import State
from vssl.objectives.dinov2 import DINOv2
from vssl.objectives.gram import enlarged_patches, gram
from vssl.views.crops import Views


class DINOv3(DINOv2):
    """DINOv2's loss + `gram_weight` times the mean squared difference between Gram matrices of patch features.

    A Gram matrix holds the cosine similarities between all patches of one global crop, after the final norm. The
    student's (from its masked crops) shall stay near the Gram teacher's: a backbone of some steps ago, whose patch
    features are still smooth. The Gram teacher is part of the objective's state: saved and resumed, never exported.

    Args:
        gram_weight: 0 or more.
        gram_start: the step at which the loss begins and the Gram teacher becomes the EMA teacher. 0: from the first
            step, with the backbone (or `gram_checkpoint`) as Gram teacher.
        gram_every: after so many further steps, and again, the Gram teacher becomes the EMA teacher; None for never.
        gram_updates: how often at most; None for no limit.
        gram_checkpoint: weights of the first Gram teacher (docs/checkpoints.md); only with ``gram_start=0``.
        gram_checkpoint_key: which of several networks in that file.
        gram_scale: the Gram teacher sees crops of so many times their size, and its features are resized to the
            student's grid, both bicubic; an integer ≥ 1. The authors cut larger crops from the image and leave colours
            as they are; here the crop's own pixels are enlarged, so that the views stay all that a designer makes.
        **dinov2: the other settings of `DINOv2`.

    Raises:
        ValueError: the backbone has no class token, a setting is out of range, or the checkpoint does not fit.
    """

    paper = "Siméoni et al. 2025, arXiv 2508.10104, and its code"
    works_on = "class token, hidden patches, Gram matrix of all patches"

    def __init__(
        self,
        backbone: TimmBackbone,
        n_local_crops: int = 8,
        gram_weight: float = 2.0,
        gram_start: int = 0,
        gram_every: int | None = 10_000,
        gram_updates: int | None = 3,
        gram_checkpoint: str | None = None,
        gram_checkpoint_key: str | None = None,
        gram_scale: int = 2,
        mask_exact: bool = True,
        **dinov2: Any,
    ):
        if not gram_weight >= 0 or gram_start < 0 or gram_scale < 1 or gram_scale != int(gram_scale):
            raise ValueError(
                f"DINOv3 gram_weight={gram_weight} and gram_start={gram_start} must be 0 or more, "
                f"gram_scale={gram_scale} a whole number of 1 or more"
            )
        if (gram_every is not None and gram_every < 1) or (gram_updates is not None and gram_updates < 0):
            raise ValueError(
                f"DINOv3 gram_every={gram_every} must be None or 1 or more, "
                f"gram_updates={gram_updates} None or 0 or more"
            )
        if gram_checkpoint and gram_start:
            raise ValueError(
                f"DINOv3 gram_checkpoint={gram_checkpoint!r} would be replaced at gram_start={gram_start}; "
                "give one only"
            )
        self.gram_weight, self.gram_start, self.gram_scale = gram_weight, gram_start, int(gram_scale)
        self.gram_every, self.gram_updates = gram_every, gram_updates
        super().__init__(backbone, n_local_crops, mask_exact=mask_exact, **dinov2)
        self.gram_teacher = EMATeacher(backbone)
        if gram_checkpoint:
            load_weights(self.gram_teacher.backbone.vit, gram_checkpoint, gram_checkpoint_key)

    def _begin_global(
        self,
        student: TimmBackbone,
        teacher: EMATeacher,
        views: Views,
        draws: Draws,
    ) -> State:
        state = super()._begin_global(student, teacher, views, draws)
        if self.gram_weight and self.step >= self.gram_start:
            with self._graph_of_teacher():
                rows = views.global_crops.flatten(0, 1)
                state["gram"] = gram(enlarged_patches(self.gram_teacher.backbone, rows, self.gram_scale))
        return state

    def component_names(self) -> tuple[str, ...]:
        return (*super().component_names(), "gram") if self.gram_weight else super().component_names()

    def terms(
        self, student: TimmBackbone, tokens: dict[str, Float[Tensor, "rows tokens dim"]], state: State
    ) -> dict[str, Float[Tensor, " batch"]]:
        terms = super().terms(student, tokens, state)
        if "global" in tokens and "gram" in state:
            difference = gram(student.patch_tokens(tokens["global"])) - state["gram"]
            of_crop = difference.square().mean((1, 2))
            terms["gram"] = self.gram_weight * of_crop.unflatten(0, (self.n_global_crops, -1)).mean(0)
        return terms

    def on_step(self, step: int, progress: float) -> None:
        super().on_step(step, progress)
        self.step = step

    def follow(self, teacher: EMATeacher) -> None:
        if self._renews(self.step + 1):
            self.gram_teacher.update(teacher.backbone, None, momentum=0.0)

    def _renews(self, step: int) -> bool:
        """Whether the Gram teacher becomes the EMA teacher before this step."""
        since = step - self.gram_start
        if since == 0:
            return True
        if since < 0 or self.gram_every is None or since % self.gram_every:
            return False
        return self.gram_updates is None or since // self.gram_every <= self.gram_updates

    def transformer_blocks(self) -> Iterable[nn.Module]:
        return self.gram_teacher.backbone.vit.blocks
