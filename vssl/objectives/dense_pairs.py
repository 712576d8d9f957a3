"""What NeCo and PaKA have in common: a teacher and a student that see overlapping crops, compared where both look."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.schedules import cosine
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import Objective, State, mean_over_images, pack, unpack
from vssl.objectives.overlap import common_region, inside, roi_align
from vssl.views.crops import Views

Cells = Float[Tensor, "pairs batch cells dim"]


class _DensePairs(Objective):
    """Base class: the loss is a mean over pairs (teacher's global crop t, student's crop s ≠ t).

    Of each pair the region that both crops show is laid on a grid of `cells` × `cells`. A pair whose region is smaller
    than `min_overlap` is left out, and an image without a pair has loss 0. A subclass implements `pair_losses`.

    Args:
        head: patch features go through it before they are compared; the teacher mirrors it.
        n_local_crops: how many local crops the recipe makes.
        cells: side of the common grid.
        min_overlap: share of the image's area that both crops must show.
        teacher_crops: which global crops the teacher sees. With ``(0,)`` the student sees the others and the local
            crops, and the recipe may leave the colours of crop 0 alone.
        teacher_momentum_start, teacher_momentum_end: the EMA momentum follows a cosine between the two.
        flow_through_teacher: let the gradient to the views flow through the teacher's features too.

    Raises:
        ValueError: a setting is out of range.
    """

    n_global_crops = 2
    takes_local_crops = True
    uses_teacher = True

    def __init__(
        self,
        head: nn.Module,
        n_local_crops: int,
        cells: int,
        min_overlap: float,
        teacher_crops: Sequence[int],
        teacher_momentum_start: float,
        teacher_momentum_end: float,
        flow_through_teacher: bool,
    ):
        super().__init__()
        kind, crops = type(self).__name__, range(self.n_global_crops)
        if n_local_crops < 0 or cells < 2 or not 0 <= min_overlap < 1:
            raise ValueError(
                f"{kind} n_local_crops={n_local_crops} must be 0 or more, cells={cells} 2 or more and "
                f"min_overlap={min_overlap} in [0, 1)"
            )
        if not teacher_crops or not set(teacher_crops) <= set(crops):
            raise ValueError(f"{kind} teacher_crops={tuple(teacher_crops)} must be some of {tuple(crops)}")
        self.head = head
        self.n_local_crops, self.cells, self.min_overlap = n_local_crops, cells, min_overlap
        self.momentum_start, self.momentum_end = teacher_momentum_start, teacher_momentum_end
        self.flow_through_teacher = flow_through_teacher
        self.teacher_crops = tuple(sorted(set(teacher_crops)))
        pairs = [(t, s) for t, s in product(self.teacher_crops, crops) if t != s]
        # Indices into the crops that the teacher, and the student, are given.
        self.student_crops = sorted({s for _, s in pairs})
        self.pairs = {"global": [(self.teacher_crops.index(t), self.student_crops.index(s)) for t, s in pairs]}
        self.pairs["local"] = list(product(range(len(self.teacher_crops)), range(n_local_crops)))

    def pair_losses(self, student: Cells, targets: Cells, state: State, name: str) -> Float[Tensor, "pairs batch"]:
        """Of each pair and image.

        Args:
            name: of the student's crops, "global" or "local"; what `prepare` added is in the state under ``{name}.…``.
        """
        raise TypeError(f"{type(self).__name__} does not say how two crops are compared")

    def prepare(self, targets: Cells, draws: Draws) -> State:
        """What else of the teacher the loss needs."""
        return {}

    def teacher_modules(self) -> dict[str, nn.Module]:
        return {"head": self.head}

    def begin(  # type: ignore[override]  # `uses_teacher`: it gets one
        self, student: TimmBackbone, teacher: EMATeacher, views: Views, draws: Draws
    ) -> State:
        crops, boxes = self.crops_of(views), self._boxes_of(views)
        seen = crops[list(self.teacher_crops)]
        with self._graph_of_teacher():
            patches = teacher.backbone.patch_tokens(teacher.backbone(seen.flatten(0, 1)))
            patches = teacher.heads["head"](patches).unflatten(0, seen.shape[:2])
        shown = {"global": crops[self.student_crops], "local": views.local_crops}
        state: State = {}
        for name, pictures in shown.items():
            if self.pairs[name] and pictures is not None:
                state |= pack(student.trunk(pictures.flatten(0, 1)), name)
                state |= self._pairs_of(name, patches, student.grid(seen[0]), boxes, draws)
        shares = torch.cat([state[f"{name}.weights"] for name in shown if f"{name}.weights" in state])
        for name in shown:
            if f"{name}.weights" in state:
                state[f"{name}.weights"] = state[f"{name}.weights"] / shares.sum(0).clamp(min=1)
        return state

    def _pairs_of(
        self,
        name: str,
        patches: Float[Tensor, "views batch patches dim"],
        grid: tuple[int, int],
        boxes: dict[str, Float[Tensor, "views batch 4"]],
        draws: Draws,
    ) -> State:
        """The teacher's features of each pair's region, where the student finds it, and whether the pair counts."""
        targets, regions, counts = [], [], []
        for t, s in self.pairs[name]:
            region, area = common_region(boxes["teacher"][t], boxes[name][s])
            with self._graph_of_teacher():
                targets.append(roi_align(patches[t], grid, inside(region, boxes["teacher"][t]), self.cells))
            regions.append(inside(region, boxes[name][s]))
            counts.append((area > self.min_overlap).to(targets[-1].dtype))
        stacked = torch.stack(targets)
        with self._graph_of_teacher():
            more = {f"{name}.{entry}": tensor for entry, tensor in self.prepare(stacked, draws).items()}
        return {
            f"{name}.targets": stacked,
            f"{name}.regions": torch.stack(regions),
            f"{name}.weights": torch.stack(counts),
            **more,
        }

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        losses = self.losses(student, state).items()
        return mean_over_images(sum((state[f"{name}.weights"] * of_pairs).sum(0) for name, of_pairs in losses), state)

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "batch pairs"]]:
        weighted = {name: state[f"{name}.weights"] * of for name, of in self.losses(student, state).items()}
        return {f"{name}_pairs": len(of) * of.movedim(0, 1) for name, of in weighted.items()}

    def component_weights(self) -> dict[str, float]:
        return {f"{name}_pairs": 1.0 for name, pairs in self.pairs.items() if pairs}

    def losses(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "pairs batch"]]:
        """The loss of each pair of each image, by the kind of the student's crop."""
        losses = {}
        for name in ("global", "local"):
            if f"{name}.x" in state:
                targets, regions = state[f"{name}.targets"], state[f"{name}.regions"]
                patches = self.head(student.patch_tokens(student.tail(unpack(state, name))))
                side = math.isqrt(patches.shape[1])  # crops are square, see `_boxes_of`
                patches = patches.unflatten(0, (-1, targets.shape[1]))[[s for _, s in self.pairs[name]]]
                aligned = roi_align(patches.flatten(0, 1), (side, side), regions.flatten(0, 1), self.cells)
                losses[name] = self.pair_losses(aligned.unflatten(0, targets.shape[:2]), targets, state, name)
        return losses

    def split(self, state: State) -> tuple[State, State | None]:
        shared = self.flow_through_teacher or state["global.regions"].requires_grad
        if "local.x" not in state or shared:  # then targets or regions of local pairs depend on φ too
            return state, None
        first = {name: value for name, value in state.items() if not name.startswith("local.")}
        rest = {name: value for name, value in state.items() if not name.startswith("global.")}
        return first, rest

    def update(self, state: State) -> None:
        """Changes nothing.

        Raises:
            ValueError: the step had no local crops although the recipe promised `n_local_crops`.
        """
        if self.n_local_crops and "local.x" not in state:
            raise ValueError(
                f"{type(self).__name__} expects n_local_crops={self.n_local_crops}, but the learner was trained on "
                "views without any; give the recipe that many local crops or set n_local_crops=0"
            )

    def teacher_momentum(self, progress: float) -> float:
        return cosine(self.momentum_start, self.momentum_end, progress)

    def _graph_of_teacher(self) -> AbstractContextManager:
        return nullcontext() if self.flow_through_teacher else torch.no_grad()

    def _boxes_of(self, views: Views) -> dict[str, Float[Tensor, "views batch 4"]]:
        kind, local = type(self).__name__, views.local_crops
        if local is not None and len(local) != self.n_local_crops:
            raise ValueError(
                f"{kind} has n_local_crops={self.n_local_crops}, the views have {len(local)}; they must agree"
            )
        if any(c.shape[-1] != c.shape[-2] for c in (views.global_crops, local) if c is not None):
            raise ValueError(f"{kind} compares square crops, the views are {tuple(views.global_crops.shape[-2:])} px")
        if views.global_boxes is None or (local is not None and views.local_boxes is None):
            raise ValueError(
                f"{kind} compares crops where they overlap, but these views do not say where they lie in their images; "
                "use a recipe whose ops leave pixels in their place (no rotation, shear, translation, …), or make "
                "Views with global_boxes"
            )
        boxes = {
            "teacher": views.global_boxes[list(self.teacher_crops)],
            "global": views.global_boxes[self.student_crops],
        }
        return boxes if views.local_boxes is None else boxes | {"local": views.local_boxes}
