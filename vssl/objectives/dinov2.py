"""DINOv2's objective: iBOT with heads of their own, Sinkhorn-Knopp targets and KoLeo (Oquab et al. 2023).

arXiv 2304.07193, section 4; defaults from the authors' ``ssl_default_config.yaml``. Separate heads and Sinkhorn-Knopp
are those of ``train/vitl14.yaml``, where heads have 131072 prototypes and a bottleneck of 384, and momentum starts at
0.994.
"""

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from vssl.learner.backbone import TimmBackbone
from vssl.objectives.base import State
from vssl.objectives.centring import sinkhorn_knopp
from vssl.objectives.ibot import IBOT
from vssl.objectives.koleo import koleo


class DINOv2(IBOT):
    """Class loss + patch loss + `koleo_weight` times the sum of KoLeo over the global crops.

    KoLeo looks at the student's class tokens before the head, in each global crop apart, so that crops of one image do
    not repel each other.

    Images meet in two places. Sinkhorn-Knopp makes an image's targets from all images (and hidden patches from all
    hidden patches) of all ranks; KoLeo compares an image with its nearest neighbour. The weights of `mean_over_images`
    weigh the images' losses and change neither: an image of weight 0 still has its share of the prototypes and is still
    a neighbour.

    Args:
        koleo_weight: 0 or more; 0 needs no neighbours.
        centring: ``"sinkhorn_knopp"``, or ``"centre"`` for the running means of `DINO` and `IBOT`.
        iterations: of Sinkhorn-Knopp.
        **ibot: the other settings of `IBOT`, the authors' by default. Their code keeps the last layers for the first
            epoch (1250 steps); `freeze_last_layer_steps` is 0 here, since a budget may be shorter.

    Raises:
        ValueError: the backbone has no class token, or a setting is out of range.
    """

    paper = "Oquab et al. 2023, arXiv 2304.07193, and its code"
    works_on = "class token, hidden patches"
    couples_images = "shared prototypes (Sinkhorn-Knopp), nearest neighbours (KoLeo)"

    def __init__(
        self,
        backbone: TimmBackbone,
        n_local_crops: int = 8,
        out_dim: int = 65536,
        patch_out_dim: int | None = None,
        shared_head: bool = False,
        warmup_share: float = 30 / 100,
        teacher_momentum_start: float = 0.992,
        koleo_weight: float = 0.1,
        centring: Literal["sinkhorn_knopp", "centre"] = "sinkhorn_knopp",
        iterations: int = 3,
        mask_min_patches: int | None = 4,
        **ibot: Any,
    ):
        kind = type(self).__name__
        if centring not in ("sinkhorn_knopp", "centre"):
            raise ValueError(f"{kind} centring={centring!r}; give 'sinkhorn_knopp' or 'centre'")
        if not koleo_weight >= 0 or iterations < 1:
            raise ValueError(f"{kind} koleo_weight={koleo_weight} must be 0 or more, iterations={iterations} 1 or more")
        super().__init__(
            backbone,
            n_local_crops,
            out_dim,
            patch_out_dim=out_dim if patch_out_dim is None else patch_out_dim,
            shared_head=shared_head,
            warmup_share=warmup_share,
            teacher_momentum_start=teacher_momentum_start,
            mask_min_patches=mask_min_patches,
            **ibot,
        )
        self.koleo_weight, self.centring, self.iterations = koleo_weight, centring, iterations
        self.needs_other_images = koleo_weight > 0
        meetings = {"shared prototypes (Sinkhorn-Knopp)": centring == "sinkhorn_knopp"}
        meetings["nearest neighbours (KoLeo)"] = koleo_weight > 0
        self.couples_images = ", ".join(name for name, there in meetings.items() if there)

    def component_names(self) -> tuple[str, ...]:
        return (*super().component_names(), "koleo") if self.koleo_weight else super().component_names()

    def terms(
        self, student: TimmBackbone, tokens: dict[str, Float[Tensor, "rows tokens dim"]], state: State
    ) -> dict[str, Float[Tensor, " batch"]]:
        terms = super().terms(student, tokens, state)
        if "global" in tokens and self.koleo_weight:
            crops = student.class_token(tokens["global"]).chunk(self.n_global_crops)
            terms["koleo"] = self.koleo_weight * sum(map(koleo, crops[1:]), koleo(crops[0]))
        return terms

    def _targets(
        self, logits: Float[Tensor, "rows prototypes"], center: Float[Tensor, " prototypes"], temperature: float
    ) -> Float[Tensor, "rows prototypes"]:
        # The centres follow the teacher all the same: `answers` subtracts them.
        if self.centring == "centre":
            return super()._targets(logits, center, temperature)
        return sinkhorn_knopp(logits, temperature, self.iterations)
