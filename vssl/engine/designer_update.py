"""Step 2 of the algorithm: labels → g_down → φ. Nothing else in the loop touches feedback."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.datasets.stream import Stream
from vssl.designers.base import Construction, Designer
from vssl.designers.regularisers import recognisability
from vssl.distributed import average, rank_and_size, total
from vssl.draws import Draws
from vssl.engine.accumulation import WHOLE, Accumulation
from vssl.engine.checkpoint import same_random_state
from vssl.engine.clock import PhaseClock
from vssl.engine.designer_parts import policy_of
from vssl.engine.meta_schedule import MetaSchedule
from vssl.feedback import Feedback
from vssl.learner.learner import Learner
from vssl.objectives.base import WEIGHTS, mean_over_images
from vssl.value.credit import credit, worth_of_scores
from vssl.value.metagradient import (
    MetaGradient,
    central_difference,
    functional_components,
    functional_patch_losses,
    functional_tail,
    parameter_gradient,
)
from vssl.value.products import cosine, mean_gradient, norm
from vssl.value.rules import AdamPreconditioner, Bound, NormGrowth, Rule
from vssl.views.crops import Views


class _OfAllParts(NamedTuple):
    """Of a meta batch in parts: its g_pre, and with `norm_growth` ‖g_pre‖ of its base views, else 0; over all ranks."""

    g_pre: list[Tensor]
    reference: Tensor


class DesignerUpdate(MetaSchedule):
    """Values the constructed step against the downstream gradients and steps φ.

    Args:
        rule: what a step is worth (`Dot`, `Cosine`, `Bound`, `Adam`).
        combine: several tasks' gradients into one (`WeightedSum`, `UnitNorm`, `PCGrad`).
        average_g_down: `GradientAverage` over meta steps, or None for each step's own.
        optimizer: of φ; None for a `CandidateDesigner`, which steps itself by the values of its candidates.
        estimator: `central_difference`, `forward_difference` or `double_backward`. Its tail is in fp32 whatever the
            learner's precision: the difference of two gradients that bf16 has rounded is noise. The trunk before it
            and the backward pass through it, which are of first order, follow the learner's precision.
        g_down_every: meta steps that share one g_down, which changes slowly and must be exact: many labeled images,
            seldom. The designer's own gradient is the noisy one.
        period, burn_in, warmup, freeze_after: see `MetaSchedule`.
        recognisability: weight of the teacher's cross-entropy between designed and base views; needs a teacher.
        norm_growth: weight of the penalty on ‖g_pre‖ above that of the base views of the same batch.
        candidates: constructions that a `CandidateDesigner` values per update.
        accumulation: how a meta batch is cut into parts. g_pre is that of the whole meta batch: a first pass over the
            parts takes it, and a second one the designer's gradient, which is the mean over the parts.
    """

    def __init__(
        self,
        learner: Learner,
        designer: Designer,
        feedback: Feedback,
        optimizer: torch.optim.Optimizer | None,
        learner_optimizer: torch.optim.Optimizer,
        rule: Rule,
        combine: nn.Module,
        average_g_down: nn.Module | None = None,
        g_down_every: int = 1,
        estimator: Callable[..., MetaGradient] = central_difference,
        period: int = 4,
        burn_in: int = 0,
        warmup: int = 0,
        freeze_after: int | None = None,
        recognisability: float = 0.0,
        norm_growth: float = 0.0,
        candidates: int = 8,
        accumulation: Accumulation = WHOLE,
    ):
        super().__init__(optimizer, period, burn_in, warmup, freeze_after, g_down_every)
        if recognisability < 0 or norm_growth < 0:
            raise ValueError(
                f"value: recognisability={recognisability} and norm_growth={norm_growth} are weights, 0 or more"
            )
        if recognisability and not learner.objective.uses_teacher:
            raise ValueError(
                f"value: recognisability={recognisability} asks a teacher, {type(learner.objective).__name__} has "
                "none; set it to 0"
            )
        policy = policy_of(designer)
        if policy is not None and policy.gates == "score" and not learner.objective.weighs_images:
            raise ValueError(
                f"designer: gates='score' weights each image's loss, {type(learner.objective).__name__} has one for "
                "the whole batch; give gates='straight_through' or 'fixed'"
            )
        self.recognisability, self.norm_growth = recognisability, norm_growth
        self.learner, self.designer, self.feedback = learner, designer, feedback
        self.rule, self.combine, self.average_g_down, self.estimator = rule, combine, average_g_down, estimator
        self.candidates, self.accumulation = candidates, accumulation
        self._downstream: tuple[list[Tensor], dict[str, list[Tensor]]] | None = None
        self.tail = functional_tail(learner.objective, learner.student)
        self.components = functional_components(learner.objective, learner.student)
        self.patch_losses = functional_patch_losses(learner.objective, learner.student)
        self.preconditioner = AdamPreconditioner(learner_optimizer, learner.student.aligned_parameters())

    def __call__(
        self, step: int, stream: Stream, draws: Callable[[str], Draws], clock: PhaseClock, autocast
    ) -> dict[str, Tensor]:
        """One meta step; returns what is logged of it. `stream` gives the separate unlabeled meta batch."""
        logged_feedback = {}
        if self._downstream is None or self.renews_g_down(step):
            with clock("feedback"):
                logged_feedback = self._feed_back(step, autocast)
        g_down, per_task = self._downstream  # type: ignore[misc]  # there after `_feed_back`
        if isinstance(self.rule, Bound):
            self.rule.learning_rate = self._rate_of_s()
        with clock("data"):
            (images,) = stream.next()
        with clock("designer"):
            if self.optimizer is None:
                g_pre, logged = self._search(images, g_down, draws, autocast)
            else:
                self.follow_warmup(step)
                g_pre, logged = self._descend(images, g_down, draws, autocast)
        cosines = {f"cosine/{task}": cosine(g, g_pre) for task, g in per_task.items()}
        between = {f"cosine_between/{a}/{b}": cosine(per_task[a], per_task[b]) for a, b in combinations(per_task, 2)}
        norms = {f"g_down_norm/{task}": norm(g) for task, g in per_task.items()}
        return {
            **logged_feedback,
            **cosines,
            **between,
            **norms,
            **logged,
            "cosine": cosine(g_down, g_pre),
            "g_pre_norm": norm(g_pre),
        }

    @property
    def g_down(self) -> list[Tensor] | None:
        """The last one, of all tasks together; None before the first meta step."""
        return None if self._downstream is None else self._downstream[0]

    def _feed_back(self, step: int, autocast) -> dict[str, Tensor]:
        """2a and 2b: the evaluator, and g_down of each task and of all; returns what is logged."""
        head_losses = self.feedback.fit_heads(self.learner.student, autocast)
        with autocast():
            per_task, losses = self.feedback.gradients(self.learner.student, step)
        g_down = self.combine(per_task)
        if self.average_g_down is not None:
            g_down = self.average_g_down(g_down)
        self._downstream = g_down, per_task
        return {**head_losses, **losses}

    def _descend(self, images: Tensor, g_down: list[Tensor], draws, autocast) -> tuple[list[Tensor], dict[str, Tensor]]:
        """2c and 2d by the meta-gradient: an optimizer step of φ on −value + penalties."""
        self.optimizer.zero_grad(set_to_none=True)
        parts = list(self.accumulation.meta_parts(images, draws))
        whole = self._of_all_parts(parts, autocast) if len(parts) > 1 else None
        penalties, earned = [], []
        for some_images, some_draws in parts:
            construction = self.designer(some_images, some_draws("meta views"))
            base = None
            if self.recognisability or self.norm_growth:
                base = self.designer.recipe(some_images, some_draws("meta views"))
            if self.recognisability:
                unlike = self._unlike(construction, base, autocast)
                construction.penalty = construction.penalty + self.recognisability * unlike
            with same_random_state() if whole else nullcontext():
                meta = self._backward(construction, base, g_down, some_draws, autocast, whole)
            penalties.append(construction.penalty.detach())
            earned.append(self.credit)
        gradients = [p.grad for p in self.designer.parameters() if p.grad is not None]
        if len(parts) > 1:
            torch._foreach_div_(gradients, len(parts))
        average(gradients)
        gradient_norm = norm(gradients)
        if not torch.isfinite(gradient_norm):
            raise FloatingPointError("the designer's gradient is not finite")
        self.optimizer.step()
        self.designer.project()
        self.credit = {name: torch.stack([of_part[name] for of_part in earned]).mean() for name in earned[0]}
        logged = {f"credit/{name}": value for name, value in self.credit.items()}
        penalty = torch.stack(penalties).mean()
        return meta.g_pre, {"value": meta.value, "designer_gradient_norm": gradient_norm, "penalty": penalty, **logged}

    def _of_all_parts(self, parts: Sequence[tuple[Tensor, Callable[[str], Draws]]], autocast) -> "_OfAllParts":
        """What the designer's gradient on one part must know of the others."""
        aligned, g_pre, of_base = self.learner.student.aligned_parameters(), [], []
        for images, draws in parts:
            construction = self.designer(images, draws("meta views"))
            self.learner.objective.adopt(**construction.for_objective)
            with same_random_state():  # the second pass has the same drop-path
                _, state, rest = self._tail_inputs(construction, draws, autocast)
                own = parameter_gradient(state, self.tail, aligned)
            g_pre.append(own if rest is None else [a + b for a, b in zip(own, rest, strict=True)])
            if self.norm_growth:
                with same_random_state():
                    base = self.designer.recipe(images, draws("meta views"))
                    of_base.append(self._gradient_of_base(base, draws, autocast))
        reference = norm(average(mean_gradient(of_base))) if of_base else g_pre[0][0].new_zeros(())
        return _OfAllParts(average(mean_gradient(g_pre)), reference)

    def _gradient_of_base(self, base: Views, draws: Callable[[str], Draws], autocast) -> list[Tensor]:
        with torch.no_grad():
            unchanged = self.begin(base, draws("meta objective"), autocast)
        return parameter_gradient(unchanged, self.tail, self.learner.student.aligned_parameters())

    def _tail_inputs(
        self, construction: Construction, draws: Callable[[str], Draws], autocast
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Tensor] | None]:
        """The state of a construction, what of it depends on φ, and the gradient of the rest."""
        whole, rest = self.begin(construction.views, draws("meta objective"), autocast), None
        state = whole
        if construction.weights is not None:
            state = whole = whole | {WEIGHTS: construction.weights}
        elif (local_crops := construction.views.local_crops) is None or not local_crops.requires_grad:
            # a policy makes the local crops too, a mask does not
            state, rest = self.learner.objective.split(whole)
        aligned = self.learner.student.aligned_parameters()
        return whole, state, None if rest is None else parameter_gradient(rest, self.tail, aligned)

    def _search(self, images: Tensor, g_down: list[Tensor], draws, autocast) -> tuple[list[Tensor], dict[str, Tensor]]:
        """2c and 2d by trial: value several constructions of the batch, all with the same random numbers."""
        valued = []
        for number in range(self.designer.begin_search(self.candidates)):
            g_pre = mean_gradient(
                self.step_gradient(
                    self.designer.candidate(number, some, draws_of("meta views")), draws_of("meta objective"), autocast
                )
                for some, draws_of in self.accumulation.meta_parts(images, draws)
            )
            valued.append((self.rule(g_down, g_pre, self.preconditioner).value, g_pre))
        values = torch.stack([value for value, _ in valued])
        self.designer.update(values)
        return valued[int(values.argmax())][1], {"value": values.mean(), "value/best": values.max()}

    def step_gradient(self, construction: Construction, draws: Draws, autocast) -> list[Tensor]:
        """g_pre of a construction, averaged over ranks; drop-path too is the same at every call."""
        self.learner.objective.adopt(**construction.for_objective)
        with torch.random.fork_rng():
            with torch.no_grad():
                state = self.begin(construction.views, draws, autocast)
                if construction.image_weights is not None:
                    state = self.learner.objective.weigh_images(state, construction.image_weights)
            return average(parameter_gradient(state, self.tail, self.learner.student.aligned_parameters()))

    def _rate_of_s(self) -> float:
        """The learner's present learning rate for S, which is 0 while only the SSL head learns."""
        aligned = {id(p) for p in self.preconditioner.params.values()}
        groups = self.preconditioner.optimizer.param_groups
        return max(group["lr"] for group in groups if any(id(p) in aligned for p in group["params"]))

    def begin(self, views: Views, draws: Draws, autocast) -> dict[str, Tensor]:
        """The tail's inputs, in full precision."""
        with autocast():
            state = self.learner.objective.begin(self.learner.student, self.learner.teacher, views, draws)
        return {name: t.float() if t.dtype in (torch.bfloat16, torch.float16) else t for name, t in state.items()}

    def _backward(
        self,
        construction: Construction,
        base: Views | None,
        g_down: list[Tensor],
        draws: Callable[[str], Draws],
        autocast,
        parts: "_OfAllParts | None" = None,
    ) -> MetaGradient:
        """2d: −value + penalties, into the gradients of φ."""
        aligned, rule = self.learner.student.aligned_parameters(), self.rule
        self.learner.objective.adopt(**construction.for_objective)
        if self.norm_growth:
            if parts is None:
                reference = norm(average(self._gradient_of_base(base, draws, autocast)))
            else:
                reference = parts.reference
            rule = NormGrowth(rule, self.norm_growth, reference)
        whole, state, rest = self._tail_inputs(construction, draws, autocast)
        meta = self.estimator(
            state,
            self.tail,
            aligned,
            partial(rule, g_down, preconditioner=self.preconditioner),
            rest=rest,
            reduce=average,
            **({} if parts is None else {"whole": parts.g_pre}),
        )
        penalty = construction.penalty
        if construction.learned_weights is not None:
            self.credit = self._credit(whole, aligned, meta.v)
            counted = self.learner.objective.component_weights()  # some objectives make their weights add up to 1
            gained = [
                weight / weight.detach() * counted[name] * self.credit[name]
                for name, weight in construction.learned_weights.items()
            ]
            penalty = penalty - torch.stack(gained).sum()
        if (scores := construction.views.patch_scores) is not None and scores.requires_grad:
            worth = self._worth_of_patches(whole, aligned, meta.v)
            for name, predicted in self.learner.objective.predicted_patches(whole).items():
                earned = worth[name] * _shares(whole, predicted, scores)
                penalty = penalty - worth_of_scores(scores.flatten(0, 1), earned, predicted)
        meta.backward(state, self.designer.parameters(), penalty)
        return meta

    def _worth_of_patches(
        self, state: dict[str, Tensor], aligned: dict[str, nn.Parameter], v: list[Tensor]
    ) -> dict[str, Float[Tensor, " predictions"]]:
        """What each predicted patch earns: its credit, or its loss where the designer is an adversary."""
        if self.designer.adversarial:
            with torch.no_grad():
                return self.patch_losses(state, {name: p.detach() for name, p in aligned.items()})
        return credit(partial(self.patch_losses, state), aligned, v)

    def _credit(self, state: dict[str, Tensor], aligned: dict[str, nn.Parameter], v: list[Tensor]) -> dict[str, Tensor]:
        """∂value/∂weight of each component of the loss, averaged over ranks."""
        of_all = credit(partial(self.components, state), aligned, v)
        means = dict(zip(of_all, average([_mean(losses, state) for losses in of_all.values()]), strict=True))
        # a component that is not in the loss yet (DINOv3's Gram before its start) has earned nothing
        return {name: means.get(name, v[0].new_zeros(())) for name in self.learner.objective.component_weights()}

    def _unlike(self, construction: Construction, base: Views, autocast) -> Tensor:
        """How little of the base views the teacher recognises in the designed ones."""
        objective, teacher = self.learner.objective, self.learner.teacher
        with autocast():
            with torch.no_grad():
                expected = objective.answers(teacher, base)
            return recognisability(expected, objective.answers(teacher, construction.views))

    def state_dict(self) -> dict:
        """What a resumed run needs: the feedback's heads, the running means, and φ's optimizer."""
        return {
            "heads": self.feedback.state_dict(),
            "feedback": self.feedback.extra_state(),
            "combine": self.combine.state_dict(),
            "average_g_down": None if self.average_g_down is None else self.average_g_down.state_dict(),
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "downstream": self._downstream,
        }

    def load_state_dict(self, state: dict) -> None:
        self.feedback.load_state_dict(state["heads"])
        self.feedback.load_extra_state(state["feedback"])
        self.combine.load_state_dict(state["combine"])
        if state["downstream"] is not None:  # a checkpoint is read on the CPU
            device = next(self.learner.parameters()).device
            g_down, per_task = state["downstream"]
            on_device = {task: [g.to(device) for g in gradient] for task, gradient in per_task.items()}
            self._downstream = [g.to(device) for g in g_down], on_device
        if self.average_g_down is not None:
            self.average_g_down.load_state_dict(state["average_g_down"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])


def _mean(losses: Float[Tensor, "batch *axes"], state: dict[str, Tensor]) -> Float[Tensor, ""]:
    """Over the batch, of whatever the losses of an image are; as the loss weighs the images."""
    if WEIGHTS not in state:
        return losses.mean()
    return mean_over_images(losses.reshape(len(losses), -1).mean(1), state).detach()


def _shares(
    state: dict[str, Tensor], predicted: Int[Tensor, " predictions"], scores: Float[Tensor, "views batch patches"]
) -> Float[Tensor, " predictions"] | float:
    """How much the image of each predicted patch counts, 1 on average."""
    if WEIGHTS not in state:
        return 1.0
    weights = state[WEIGHTS].detach()
    shares = weights * (len(weights) * rank_and_size()[1] / total(weights.sum()))
    return shares[predicted // scores.shape[2] % scores.shape[1]]
