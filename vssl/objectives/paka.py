"""PaKA: patches of student and teacher are alike in the same way (Yeo et al. 2025, arXiv 2509.05606).

A post-training: it starts from a released backbone. We found no code of the authors; this follows their paper's loss.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vssl.learner.backbone import TimmBackbone
from vssl.objectives.base import State
from vssl.objectives.dense_pairs import Cells, _DensePairs
from vssl.objectives.dino_head import full_precision


class PaKA(_DensePairs):
    """Patch-level kernel alignment: 1 − CKA of the patch features where a teacher's and a student's crop overlap.

    CKA is the cosine between the centred matrices of inner products of all patches. It does not change with the scale
    or with a rotation of the features.

    Args:
        backbone: not read: there is no head.
        n_local_crops, cells, min_overlap, teacher_crops, teacher_momentum_start, teacher_momentum_end,
            flow_through_teacher: see `_DensePairs`. The paper's teacher sees views without colour changes: give the
            recipe probability 0 for crop 0 and leave `teacher_crops` at ``(0,)``.

    Raises:
        ValueError: a setting is out of range.
    """

    paper = "Yeo et al. 2025, arXiv 2509.05606"
    works_on = "patches where crops overlap"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {"cells": 3}

    def __init__(
        self,
        backbone: TimmBackbone,
        n_local_crops: int = 4,
        cells: int = 7,
        min_overlap: float = 0.01,
        teacher_crops: Sequence[int] = (0,),
        teacher_momentum_start: float = 0.9995,
        teacher_momentum_end: float = 1.0,
        flow_through_teacher: bool = False,
    ):
        momentum = (teacher_momentum_start, teacher_momentum_end)
        head = nn.Identity()
        super().__init__(head, n_local_crops, cells, min_overlap, teacher_crops, *momentum, flow_through_teacher)

    def pair_losses(self, student: Cells, targets: Cells, state: State, name: str) -> Float[Tensor, "pairs batch"]:
        return 1 - centred_kernel_alignment(student, targets)


def centred_kernel_alignment(
    first: Float[Tensor, "... patches dim"], second: Float[Tensor, "... patches other_dim"]
) -> Float[Tensor, "..."]:
    """CKA with linear kernels (Kornblith et al. 2019, arXiv 1905.00414), in [0, 1]; fp32 or better.

    lightly's ``PatchKernelAlignmentLoss`` is the mean of 1 − CKA over images; here each image has its own, in the
    precision that it is given. As there, a norm counts as 1e-3 at least: identical patches have no kernel.
    """
    with torch.autocast(first.device.type, enabled=False):
        kernels = []
        for features in (full_precision(first), full_precision(second)):
            centred = features - features.mean(-2, keepdim=True)
            kernels.append((centred @ centred.transpose(-1, -2)).flatten(-2))
        return F.cosine_similarity(kernels[0], kernels[1], dim=-1, eps=1e-3)
