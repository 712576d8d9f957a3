"""SimCLR: two views of an image attract, views of other images repel (Chen et al. 2020, arXiv 2002.05709)."""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vssl.distributed import gather, rank_and_size
from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import Objective, State, mean_over_images, pack, unpack
from vssl.views.crops import Views


class SimCLR(Objective):
    """NT-Xent on the class token or on the mean of the patch tokens.

    Args:
        backbone: read for its width only.
        pool: ``"patch"`` means the mean of the normalised patch tokens, ``"class"`` the class token.
        hidden_dim, out_dim: widths of the projection head.
        temperature: > 0; divides the cosine similarities.

    Raises:
        ValueError: unknown `pool`, ``pool="class"`` for a backbone without a class token, temperature ≤ 0.
    """

    n_global_crops = 2
    needs_other_images = True
    paper = "Chen et al. 2020, arXiv 2002.05709"
    works_on = "mean of patch tokens, or class token"
    couples_images = "the other images are the negatives"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {"hidden_dim": 4 * embed_dim}

    def __init__(
        self,
        backbone: TimmBackbone,
        pool: Literal["class", "patch"] = "patch",
        hidden_dim: int = 2048,
        out_dim: int = 128,
        temperature: float = 0.2,
    ):
        super().__init__()
        if pool not in ("class", "patch"):
            raise ValueError(f"SimCLR pool={pool!r}; give 'class' (class token) or 'patch' (mean of patch tokens)")
        if pool == "class" and not backbone.has_class_token:
            raise ValueError(f"SimCLR pool='class': {backbone.name} has no class token; give pool='patch'")
        if not temperature > 0:
            raise ValueError(f"SimCLR temperature={temperature} must be positive, e.g. 0.2")
        self.pool, self.temperature = pool, temperature
        # Departure from the paper: no batch norm in the head. A sample's embedding then depends on that sample alone:
        # the loss is the only place where samples meet, and ranks need no synchronised statistics. And GELU for ReLU: a
        # unit that switches between θ_S ± εv makes the central difference miss the meta-gradient (docs/value.md).
        self.head = nn.Sequential(nn.Linear(backbone.embed_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, out_dim))

    def blind_loss(self, batch_size: int) -> float:
        return math.log(2 * batch_size * rank_and_size()[1] - 1)

    def begin(self, student: TimmBackbone, teacher: EMATeacher | None, views: Views, draws: Draws) -> State:
        return pack(student.trunk(self.crops_of(views).flatten(0, 1)), "global")

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        return mean_over_images(self.loss_components(student, state)["contrast"], state)

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, " batch"]]:
        tokens = student.tail(unpack(state, "global"))
        pooled = student.class_token(tokens) if self.pool == "class" else student.patch_tokens(tokens).mean(1)
        first, second = self.head(pooled).chunk(2)
        return {"contrast": nt_xent(first, second, self.temperature)}

    def component_weights(self) -> dict[str, float]:
        return {"contrast": 1.0}


def nt_xent(
    first: Float[Tensor, "batch dim"], second: Float[Tensor, "batch dim"], temperature: float
) -> Float[Tensor, " batch"]:
    """Normalised temperature-scaled cross-entropy of each image, the mean over its two views.

    Row i of one view must pick row i of the other among all rows.

    With torch.distributed running, the rows of every rank are candidates and gradients flow back to the rank that
    made them: the mean over ranks of this loss, and of its parameter gradients, is that of the whole batch.
    Computed in fp32 or better, also under autocast.
    """
    with torch.autocast(first.device.type, enabled=False):
        rows = torch.cat([first, second])
        rows = F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=1)
        candidates, offset = gather(rows)
        own = torch.arange(len(rows), device=rows.device)
        similarity = rows @ candidates.T / temperature
        is_self = F.one_hot(own + offset, len(candidates)).bool()
        similarity = similarity.masked_fill(is_self, -torch.inf)
        partner = own.roll(len(first)) + offset
        return F.cross_entropy(similarity, partner, reduction="none").unflatten(0, (2, -1)).mean(0)
