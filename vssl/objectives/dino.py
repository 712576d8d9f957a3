"""DINO: the student predicts, from every crop, what the EMA teacher says of the global crops (Caron et al. 2021).

arXiv 2104.14294; defaults from the V-Pretraining paper where it states them (output 8192, temperatures 0.1 and 0.04,
centre momentum 0.9, teacher momentum from 0.996).
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.distributed import average
from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.schedules import cosine, linear, warmup
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import Objective, State, mean_over_images, pack, unpack
from vssl.objectives.dino_head import DINOHead, full_precision, through_head
from vssl.views.crops import Views


class DINO(Objective):
    """Multi-crop self-distillation on the class token.

    The loss is the mean over pairs (teacher's global crop t, student's crop s ≠ t). With a detached teacher the pairs
    whose s is a local crop do not depend on the global crops through the student: `split` separates them, and views
    without local crops leave those pairs out. In both cases each pair keeps the weight that it has in the whole loss.

    Args:
        backbone: read for its width only; must have a class token.
        n_local_crops: how many local crops the recipe makes; fixes the number of pairs.
        out_dim, hidden_dim, bottleneck_dim: the head's widths.
        student_temperature, teacher_temperature: divide the logits; > 0.
        warmup_temperature, warmup_share: the teacher's temperature rises linearly from the one to
            `teacher_temperature` over this share of the budget. No warm-up by default.
        center_momentum: of the running mean of teacher logits that is subtracted from them.
        teacher_momentum_start, teacher_momentum_end: the EMA momentum follows a cosine between the two.
        freeze_last_layer_steps: for how many first steps the head's last layer stays as it is (DINO: one epoch). A
            frozen layer counts neither in the gradient's norm nor in weight decay.
        flow_through_teacher: let the gradient to the views flow through the teacher's targets too.
        crop_pairs: let the pairs whose s is a global crop and those whose s is a local crop be components of the loss
            apart, ``global_pairs`` and ``local_pairs`` in place of ``cls``. The loss is the same, to the last bit.

    Raises:
        ValueError: the backbone has no class token, or a setting is out of range.
    """

    n_global_crops = 2
    takes_local_crops = True
    uses_teacher = True
    reads_patches = False
    """Whether the loss reads the student's patches of global crops; of local ones it reads none."""
    paper = "Caron et al. 2021, arXiv 2104.14294, and its code"
    works_on = "class token"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {"hidden_dim": 4 * embed_dim, "bottleneck_dim": embed_dim, "out_dim": 16 * embed_dim}

    def __init__(
        self,
        backbone: TimmBackbone,
        n_local_crops: int = 6,
        out_dim: int = 8192,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        warmup_temperature: float = 0.04,
        warmup_share: float = 0.0,
        center_momentum: float = 0.9,
        teacher_momentum_start: float = 0.996,
        teacher_momentum_end: float = 1.0,
        freeze_last_layer_steps: int = 0,
        flow_through_teacher: bool = False,
        crop_pairs: bool = False,
    ):
        super().__init__()
        kind = type(self).__name__
        if not backbone.has_class_token:
            raise ValueError(f"{kind} needs a class token, {backbone.name} has none; use SimCLR(pool='patch') or MAE")
        for name, value in [
            ("student_temperature", student_temperature),
            ("teacher_temperature", teacher_temperature),
            ("warmup_temperature", warmup_temperature),
        ]:
            if not value > 0:
                raise ValueError(f"{kind} {name}={value} must be positive, e.g. 0.1 (student) or 0.04 (teacher)")
        if n_local_crops < 0:
            raise ValueError(f"{kind} n_local_crops={n_local_crops} must be 0 or more")
        self.n_local_crops, self.crop_pairs = n_local_crops, crop_pairs
        self.n_pairs = self.n_global_crops * (self.n_global_crops + n_local_crops - 1)
        kinds = ("global", "local") if n_local_crops else ("global",)
        self.class_components = tuple(f"{kind}_pairs" for kind in kinds) if crop_pairs else ("cls",)
        self.student_temperature = student_temperature
        self.temperature_start, self.temperature_end = warmup_temperature, teacher_temperature
        self.warmup_share, self.center_momentum = warmup_share, center_momentum
        self.momentum_start, self.momentum_end = teacher_momentum_start, teacher_momentum_end
        self.freeze_last_layer_steps, self.flow_through_teacher = freeze_last_layer_steps, flow_through_teacher
        self.head = DINOHead(backbone.embed_dim, out_dim, hidden_dim, bottleneck_dim)
        self.register_buffer("center", torch.zeros(out_dim))
        self.weights: dict[str, float] | None = None  # of the components, beside those of the constructor
        self.on_step(0, 0.0)

    def begin(  # type: ignore[override]  # `uses_teacher`: it gets one
        self, student: TimmBackbone, teacher: EMATeacher, views: Views, draws: Draws
    ) -> State:
        state = self._begin_global(student, teacher, views, draws)
        if views.local_crops is not None:
            self._check_local_crops(views.local_crops)
            state |= pack(student.trunk(views.local_crops.flatten(0, 1)), "local")
        return state

    def _begin_global(
        self,
        student: TimmBackbone,
        teacher: EMATeacher,
        views: Views,
        draws: Draws,
    ) -> State:
        """What the global crops give: the student's trunk and the teacher's targets."""
        crops = self.crops_of(views)
        rows = crops.flatten(0, 1)
        with self._graph_of_teacher():
            logits = self._class_logits(teacher, rows)
            targets = self._targets(logits, self.center, self.teacher_temperature).unflatten(0, crops.shape[:2])
        return {
            **pack(student.trunk(rows), "global"),
            "targets": targets,
            "observed.mean": logits.detach().mean(0),
        }

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        terms = self.terms(student, self._tokens(student, state), state)
        if self.weights is not None:
            terms = {name: self.weights.get(name, 0.0) * term for name, term in terms.items()}
        of_pairs = [terms.pop(name) for name in self.class_components if name in terms]
        return mean_over_images(sum(terms.values(), sum(of_pairs) / self.n_pairs), state)

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, " batch"]]:
        return self.losses(student, self._tokens(student, state), state)

    def _tokens(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, "rows tokens dim"]]:
        """The tail's output for the crops that the state holds, ``"global"`` and ``"local"``: of those whose patches
        nobody reads, the class token alone."""
        read = {"global": None if self.reads_patches else 1, "local": 1}
        return {name: student.tail(unpack(state, name), first) for name, first in read.items() if f"{name}.x" in state}

    def component_weights(self) -> dict[str, float]:
        return {name: 1.0 if self.weights is None else self.weights.get(name, 0.0) for name in self.component_names()}

    def component_names(self) -> tuple[str, ...]:
        """Of what `losses` returns, whose weights of the constructor are in the losses already."""
        return self.class_components

    def weigh(self, weights: Mapping[str, float] | None) -> None:
        if weights is not None and (unknown := weights.keys() - set(self.component_names())):
            raise ValueError(
                f"{type(self).__name__}: the loss has no component {sorted(unknown)[0]!r}; it has "
                f"{', '.join(self.component_names())}"
            )
        self.weights = None if weights is None else dict(weights)

    def losses(
        self, student: TimmBackbone, tokens: dict[str, Float[Tensor, "rows tokens dim"]], state: State
    ) -> dict[str, Float[Tensor, " batch"]]:
        """The components of each image's loss by name; their sum is the image's loss. `tokens` as for `terms`."""
        terms = self.terms(student, tokens, state)
        return {name: term / self.n_pairs if name in self.class_components else term for name, term in terms.items()}

    def terms(
        self, student: TimmBackbone, tokens: dict[str, Float[Tensor, "rows tokens dim"]], state: State
    ) -> dict[str, Float[Tensor, " batch"]]:
        """What `losses` returns, the class loss still as sums over pairs: divided once, by the number of all pairs,
        it is the same number whether `crop_pairs` tells the pairs apart or not.

        Args:
            tokens: the tail's output for the crops that the state holds, ``"global"`` and ``"local"``.
        """
        return self._terms_of(self._logits(student, tokens, state), state)

    def _logits(
        self, student: TimmBackbone, tokens: dict[str, Float[Tensor, "rows tokens dim"]], state: State
    ) -> dict[str, Float[Tensor, "rows prototypes"]]:
        """The student's logits of all that the loss compares, divided by its temperature; class tokens by crops."""
        rows = {kind: student.class_token(crops) for kind, crops in tokens.items()}
        return through_head(self.head, rows, self.student_temperature)

    def _terms_of(self, logits: dict[str, Float[Tensor, "rows prototypes"]], state: State) -> dict[str, Tensor]:
        targets = state["targets"]
        terms: dict[str, Tensor] = {}
        for kind in [kind for kind in ("global", "local") if kind in logits]:
            of_crops = logits[kind].unflatten(0, (-1, targets.shape[1]))
            of_kind = _pair_sum(targets, of_crops, skip_diagonal=kind == "global")
            name = f"{kind}_pairs" if self.crop_pairs else "cls"
            terms[name] = terms[name] + of_kind if name in terms else of_kind
        return terms

    def split(self, state: State) -> tuple[State, State | None]:
        if "local.x" not in state or self.flow_through_teacher:  # then the targets of local pairs depend on φ too
            return state, None
        first = {name: value for name, value in state.items() if not name.startswith("local.")}
        rest = {name: value for name, value in state.items() if not name.startswith("global.")}
        return first, rest

    def answers(self, teacher: EMATeacher, views: Views) -> Float[Tensor, "rows prototypes"]:
        logits = self._class_logits(teacher, self.crops_of(views).flatten(0, 1))
        return (logits - self.center) / self.teacher_temperature

    def targets_of(self, state: State) -> Float[Tensor, "rows prototypes"]:
        return state["targets"].detach().flatten(0, 1)

    def _class_logits(
        self, teacher: EMATeacher, rows: Float[Tensor, "rows 3 height width"]
    ) -> Float[Tensor, "rows prototypes"]:
        return full_precision(teacher.heads["head"](teacher.backbone.class_tokens(rows)))

    def _targets(
        self, logits: Float[Tensor, "rows prototypes"], center: Float[Tensor, " prototypes"], temperature: float
    ) -> Float[Tensor, "rows prototypes"]:
        """What the student must predict, from the teacher's logits."""
        return (logits - center).div_(temperature).softmax(-1)

    def _graph_of_teacher(self) -> AbstractContextManager:
        return nullcontext() if self.flow_through_teacher else torch.no_grad()

    def teacher_modules(self) -> dict[str, nn.Module]:
        return {"head": self.head}

    def teacher_momentum(self, progress: float) -> float:
        return cosine(self.momentum_start, self.momentum_end, progress)

    def on_step(self, step: int, progress: float) -> None:
        self.last_layer_frozen = step < self.freeze_last_layer_steps
        self.teacher_temperature = linear(
            self.temperature_start, self.temperature_end, warmup(progress, self.warmup_share)
        )

    def before_optimizer_step(self) -> None:
        if self.last_layer_frozen:  # no gradient at all, so that weight decay does not move it either
            self.head.last.weight.grad = None

    @torch.no_grad()
    def update(self, state: State) -> None:
        """Move the centre towards this step's mean teacher logits, over all ranks.

        Raises:
            ValueError: the step had no local crops although `n_local_crops` are in the loss's denominator.
        """
        if self.n_local_crops and "local.x" not in state:
            raise ValueError(
                f"{type(self).__name__} expects n_local_crops={self.n_local_crops}, but the learner was trained on "
                "views without any; give the recipe that many local crops or set n_local_crops=0"
            )
        (mean,) = average([state["observed.mean"].clone()])
        self.center.lerp_(mean.to(self.center.dtype), 1.0 - self.center_momentum)

    def _check_local_crops(self, local_crops: Float[Tensor, "local_views batch 3 height width"]) -> None:
        given = len(local_crops)
        if given != self.n_local_crops:
            raise ValueError(
                f"{type(self).__name__} expects n_local_crops={self.n_local_crops}, the views have {given}; "
                "set the recipe and the objective to the same number"
            )


def _pair_sum(
    targets: Float[Tensor, "teachers batch prototypes"],
    logits: Float[Tensor, "views batch prototypes"],
    skip_diagonal: bool,
) -> Float[Tensor, " batch"]:
    """Sum over pairs (t, s) of the cross-entropy of each image; without the pairs t = s if asked."""
    with torch.autocast(logits.device.type, enabled=False):  # it would round the products to half precision
        entropy = -torch.einsum("tbk,sbk->bts", targets, logits.log_softmax(-1))
    total = entropy.sum(dim=(1, 2))
    return total - entropy.diagonal(dim1=1, dim2=2).sum(1) if skip_diagonal else total
