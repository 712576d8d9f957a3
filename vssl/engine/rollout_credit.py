"""Credit for antithetic pairs: what each step of a rollout would gain by another φ, to first order.

It is the gradient of one step's value as a mean over the batches of a rollout, taken where the rollout begins or ends.
That part of ∂V/∂φ can be had without differentiating H steps. Alone it is as short-sighted as any value of one step. As
a control variate (`vssl.value.horizon.ControlVariate`) it changes the variance of the pairs and not what they estimate.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from vssl.designers.base import Designer
from vssl.distributed import average
from vssl.engine.checkpoint import same_random_state
from vssl.engine.designer_update import DesignerUpdate
from vssl.engine.learner_step import LearnerStep
from vssl.engine.rollout import Course, Trial, Valuation
from vssl.feedback import Feedback
from vssl.value.rules import Adam, Dot


def credit_of_rollouts(
    courses: Sequence[Course],
    valuation: Valuation,
    designer: Designer,
    feedback: Feedback,
    autocast: Callable,
    at: Literal["start", "end"],
) -> Float[Tensor, " parameters"]:
    """∂⟨v, g_pre⟩/∂φ as a mean over the batches of all courses, with the random numbers that their steps have.

    v is g_down on the images of the valuation, as the learner's optimizer scales it where that is Adam's kind. Costs a
    g_down for each course and a meta-gradient for each batch. φ's ``.grad`` is overwritten; the run's learner and every
    global generator stay as they are.

    Args:
        at: where rollouts begin; or where those with φ as it is end, which have to be taken for that. A course on which
            the learner diverges then counts 0.

    Raises:
        FloatingPointError: it is not finite.
    """
    parameters = [p for p in designer.parameters() if p.requires_grad]
    found = torch.zeros_like(parameters_to_vector(parameters).detach())
    for course in courses:
        count = len(course.batches)
        with same_random_state():
            trial = Trial(course, designer).advance(count if at == "end" else 0)
            if trial.diverged:
                continue
            g_down = valuation.gradient(trial.student, course.step)
            update = one_step_of(trial.learner_step, designer, feedback)
            designer.zero_grad(set_to_none=True)
            for number in range(count):
                _add_slope(update, course, number, g_down, autocast)
        gradient = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        found -= parameters_to_vector(average([g.contiguous() for g in gradient])) / (count * len(courses))
    if not torch.isfinite(found).all():
        raise FloatingPointError("the credit of rollouts is not finite")
    return found


def one_step_of(step: LearnerStep, designer: Designer, feedback: Feedback) -> DesignerUpdate:
    """The value of this learner's next step; ValueError where the designer has no gradient under its objective."""
    has_moments = any("exp_avg_sq" in state for state in step.optimizer.state.values())
    rule = Adam() if has_moments else Dot()
    return DesignerUpdate(step.learner, designer, feedback, None, step.optimizer, rule, torch.nn.Identity())


def _add_slope(update: DesignerUpdate, course: Course, number: int, g_down: list[Tensor], autocast: Callable) -> None:
    """To φ's ``.grad``: the derivative of −value, less the designer's penalty, which the caller has apart."""
    with torch.enable_grad():
        construction = update.designer(course.batches[number], course.draws("views", number))
        construction = replace(construction, penalty=torch.zeros_like(construction.penalty))
        update._backward(construction, None, g_down, lambda _: course.draws("objective", number), autocast)
