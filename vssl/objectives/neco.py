"""NeCo: patches of student and teacher have the same nearest neighbours, in the same order (Pariza et al. 2025).

arXiv 2408.11054; defaults from the configs of the authors' code. A post-training: it starts from a released backbone.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.distributed import gather
from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.objectives.base import State
from vssl.objectives.dense_pairs import Cells, _DensePairs
from vssl.objectives.sorting import soft_permutation


class NeCo(_DensePairs):
    """Patch neighbour consistency.

    Where a teacher's and a student's crop overlap, both patches of a cell are compared with reference patches of the
    teacher, taken from all images of the batch. The cosine similarities are sorted softly, and the loss is the
    cross-entropy between the two soft permutations: a mean over cells and references.

    Departures from the authors' code: crops that hardly overlap are left out, where theirs are drawn again; each
    image's references are some of the batch's cells, where they are as many as an image has cells; the network of
    comparisons is another one (`soft_permutation`).

    Args:
        backbone: read for its width only.
        n_local_crops, cells, min_overlap, teacher_crops, teacher_momentum_start, teacher_momentum_end,
            flow_through_teacher: see `_DensePairs`. The soft sort keeps (images × cells² × references²) numbers for
            each of its layers (21 for 49 references) and each pair.
        references: how many reference patches an image gets; None for cells², the authors' number. At most cells².
        hidden_dim, out_dim: widths of the head, a three-layer MLP on each patch.
        student_steepness, teacher_steepness: of the comparisons, > 0.

    Raises:
        ValueError: a setting is out of range.
    """

    paper = "Pariza et al. 2025, arXiv 2408.11054, and its code"
    works_on = "patches where crops overlap"
    couples_images = "reference patches come from all images"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {
            "cells": 3,
            "references": 6,
            "hidden_dim": 2 * embed_dim,
            "out_dim": embed_dim,
            "student_steepness": 20.0,
        }

    def __init__(
        self,
        backbone: TimmBackbone,
        n_local_crops: int = 4,
        cells: int = 7,
        references: int | None = None,
        hidden_dim: int = 2048,
        out_dim: int = 256,
        student_steepness: float = 100.0,
        teacher_steepness: float = 100.0,
        min_overlap: float = 0.01,
        teacher_crops: Sequence[int] = (0, 1),
        teacher_momentum_start: float = 0.9995,
        teacher_momentum_end: float = 1.0,
        flow_through_teacher: bool = False,
    ):
        head = nn.Sequential(
            nn.Linear(backbone.embed_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, out_dim),
        )
        momentum = (teacher_momentum_start, teacher_momentum_end)
        super().__init__(head, n_local_crops, cells, min_overlap, teacher_crops, *momentum, flow_through_teacher)
        references = cells**2 if references is None else references
        if not 2 <= references <= cells**2:
            raise ValueError(f"NeCo references={references} must be 2 to cells²={cells**2}")
        if not (student_steepness > 0 and teacher_steepness > 0):
            raise ValueError(
                f"NeCo student_steepness={student_steepness} and teacher_steepness={teacher_steepness} must be "
                "positive, e.g. 100"
            )
        self.references = references
        self.student_steepness, self.teacher_steepness = student_steepness, teacher_steepness

    def prepare(self, targets: Cells, draws: Draws) -> State:
        """The references of each pair and image, and how the teacher's cells order them."""
        batch = targets.shape[1]
        chosen = torch.stack([self._chosen(draws, batch) for _ in targets])
        candidates = torch.stack([gather(of_pair.flatten(0, 1))[0] for of_pair in targets])
        # named axes: the rows of one pair's candidates, chosen by image and reference
        references = candidates.gather(1, chosen.flatten(1).unsqueeze(-1).expand(-1, -1, candidates.shape[-1]))
        references = references.unflatten(1, chosen.shape[1:])
        return {
            "references": references,
            "order": _order(targets, references, self.teacher_steepness),
        }

    def _chosen(self, draws: Draws, batch: int) -> Int[Tensor, "batch references"]:
        """For each image some of the cells of the whole batch, none twice, as rows of what `gather` returns."""
        images, cells = batch * draws.world_size, self.cells**2
        permutation = draws.on("cpu").whole().permutation(1, images * cells)[0].view(images, cells)
        image, cell = permutation // cells, permutation % cells
        # Ranks hold images in turn (see `Draws`); gathered rows are those of rank 0 first.
        row = (image % draws.world_size * batch + image // draws.world_size) * cells + cell
        return draws.share(row)[:, : self.references]

    def pair_losses(self, student: Cells, targets: Cells, state: State, name: str) -> Float[Tensor, "pairs batch"]:
        order = _order(student, state[f"{name}.references"], self.student_steepness)
        # The comparisons' tails are heavy, so that only rounding makes an entry smaller than this.
        log_order = order.clamp(min=1e-8).log()
        return -(state[f"{name}.order"] * log_order).sum(-1).mean(dim=(2, 3))


def _order(
    cells: Cells, references: Float[Tensor, "pairs batch references dim"], steepness: float
) -> Float[Tensor, "pairs batch cells references references"]:
    """How each cell orders the references by their cosine to it."""
    with torch.autocast(cells.device.type, enabled=False):
        likeness = F.normalize(cells, dim=-1) @ F.normalize(references, dim=-1).transpose(-1, -2)
        return soft_permutation(likeness.flatten(0, 2), steepness).unflatten(0, likeness.shape[:3])
