"""Step 2 of the algorithm: labels → g_down → φ. Nothing else in the loop touches feedback."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from vssl.designers.base import Designer
from vssl.distributed import average
from vssl.draws import Draws
from vssl.engine.clock import PhaseClock
from vssl.feedback import Feedback
from vssl.learner.learner import Learner
from vssl.value.metagradient import MetaGradient, central_difference, functional_tail, parameter_gradient
from vssl.value.products import cosine, norm
from vssl.value.rules import AdamPreconditioner, Rule


class DesignerUpdate:
    """Values the constructed step against the downstream gradients and steps φ.

    Args:
        rule: what a step is worth (`Dot`, `Cosine`, `Bound`, `Adam`).
        combine: several tasks' gradients into one (`WeightedSum`, `UnitNorm`, `PCGrad`).
        average_g_down: `GradientAverage` over meta steps, or None for each step's own.
        estimator: `central_difference` (fp32) or `double_backward` (also bf16).
        period: r, learner steps between designer updates.
        burn_in: learner steps before the first one.
        draw: makes the `Draws` of a named stream for the present step.
    """

    def __init__(
        self,
        learner: Learner,
        designer: Designer,
        feedback: Feedback,
        optimizer: torch.optim.Optimizer,
        learner_optimizer: torch.optim.Optimizer,
        rule: Rule,
        combine: nn.Module,
        average_g_down: nn.Module | None = None,
        estimator: Callable[..., MetaGradient] = central_difference,
        period: int = 4,
        burn_in: int = 0,
    ):
        if period < 1 or burn_in < 0:
            raise ValueError(f"value: period={period} must be >= 1 and burn_in={burn_in} >= 0 (learner steps)")
        self.learner, self.designer, self.feedback, self.optimizer = learner, designer, feedback, optimizer
        self.rule, self.combine, self.average_g_down, self.estimator = rule, combine, average_g_down, estimator
        self.period, self.burn_in = period, burn_in
        self.tail = functional_tail(learner.objective, learner.student)
        self.preconditioner = AdamPreconditioner(learner_optimizer, learner.student.aligned_parameters())

    def due(self, step: int) -> bool:
        return step >= self.burn_in and (step - self.burn_in) % self.period == 0

    def __call__(
        self, step: int, next_images: Callable[[], Tensor], draws: Callable[[str], Draws], clock: PhaseClock, autocast
    ) -> dict[str, Tensor]:
        """One meta step; returns what is logged of it. `next_images` gives the separate unlabeled meta batch."""
        with clock("feedback"), autocast():
            head_losses = self.feedback.fit_heads(self.learner.student)
            per_task, losses = self.feedback.gradients(self.learner.student, step)
            g_down = self.combine(per_task)
            if self.average_g_down is not None:
                g_down = self.average_g_down(g_down)
        with clock("data"):
            images = next_images()
        with clock("designer"):
            self.optimizer.zero_grad(set_to_none=True)
            construction = self.designer(images, draws("meta views"))
            with autocast():
                meta = self._backward(construction, g_down, draws("meta objective"))
            parameters = [p for p in self.designer.parameters() if p.grad is not None]
            average([p.grad for p in parameters])
            gradient_norm = norm([p.grad for p in parameters])
            if not torch.isfinite(gradient_norm):
                raise FloatingPointError("the designer's gradient is not finite")
            self.optimizer.step()
        cosines = {f"cosine/{task}": cosine(g, meta.g_pre) for task, g in per_task.items()}
        norms = {f"g_down_norm/{task}": norm(g) for task, g in per_task.items()}
        return {
            **head_losses,
            **losses,
            **cosines,
            **norms,
            "value": meta.value,
            "cosine": cosine(g_down, meta.g_pre),
            "g_pre_norm": norm(meta.g_pre),
            "designer_gradient_norm": gradient_norm,
            "penalty": construction.penalty.detach(),
        }

    def _backward(self, construction, g_down: list[Tensor], draws: Draws) -> MetaGradient:
        """2d: −value + penalties, into the gradients of φ."""
        student, objective = self.learner.student, self.learner.objective
        aligned = student.aligned_parameters()
        state = objective.begin(student, self.learner.teacher, construction.views, draws)
        state, rest = objective.split(state)
        meta = self.estimator(
            state,
            self.tail,
            aligned,
            partial(self.rule, g_down, preconditioner=self.preconditioner),
            rest=None if rest is None else parameter_gradient(rest, self.tail, aligned),
            reduce=average,
        )
        meta.backward(state, self.designer.parameters(), construction.penalty)
        return meta

    def state_dict(self) -> dict:
        """What a resumed run needs: the feedback's heads, the running means, and φ's optimizer."""
        return {
            "heads": self.feedback.state_dict(),
            "feedback": self.feedback.extra_state(),
            "combine": self.combine.state_dict(),
            "average_g_down": None if self.average_g_down is None else self.average_g_down.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.feedback.load_state_dict(state["heads"])
        self.feedback.load_extra_state(state["feedback"])
        self.combine.load_state_dict(state["combine"])
        if self.average_g_down is not None:
            self.average_g_down.load_state_dict(state["average_g_down"])
        self.optimizer.load_state_dict(state["optimizer"])
