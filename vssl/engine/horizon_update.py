"""The meta step by rollouts: a construction is worth what H learner steps with it do to L_down (docs/value.md#horizon).

It takes the place of `DesignerUpdate` where ``value.horizon`` is above 0. L_down is that of ridge heads on images that
fitted no head, and nothing is differentiated: whatever changes what the learner does can be valued.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from vssl.datasets.stream import Stream
from vssl.designers import CandidateDesigner
from vssl.designers.base import Designer
from vssl.distributed import average
from vssl.draws import Draws
from vssl.engine.budget import Budget
from vssl.engine.clock import PhaseClock
from vssl.engine.learner_step import LearnerStep
from vssl.engine.meta_schedule import MetaSchedule
from vssl.engine.persistent_pairs import PersistentPairs
from vssl.engine.rollout import Ahead, Course, Rollouts, Valuation, progress_ahead
from vssl.engine.rollout_credit import credit_of_rollouts, one_step_of
from vssl.feedback import Feedback
from vssl.value.horizon import ControlVariate, antithetic_gradient, halve, standing
from vssl.value.products import norm


class HorizonUpdate(MetaSchedule):
    """Values constructions by rollouts and moves φ towards those that were worth more.

    A `CandidateDesigner` gets the standing of its candidates after successive halving. Any other designer steps φ along
    the antithetic estimate of ∂value/∂φ, less its penalty.

    Args:
        learner_step: the run's.
        budget: the run's; learning rates in a rollout are those of the steps to come.
        weights: by task, how much its loss counts.
        optimizer: of φ; None for a `CandidateDesigner`.
        horizon: H, learner steps in a rollout.
        halvings: how often half of the candidates is left behind on the way: with 1, all go H/2 steps, and the upper
            half of them H; with 0, all go H.
        rollouts: batches and random numbers anew, over which a value is averaged; each costs as much again.
        candidates: how many a `CandidateDesigner` without a list of its own proposes.
        pairs: of perturbed φ in each meta step; each pair costs 2·H·rollouts learner steps.
        sigma: how far φ is moved for them.
        directions: ``"gaussian"`` (evolution strategies) or ``"signs"`` (SPSA).
        control_variate: pairs estimate only what credit leaves unexplained, and the expectation stays the same
            (`ControlVariate`). ``"start"``: credit where the rollouts begin. ``"end"``: where one with φ as it is ends,
            which is one more rollout. None: without.
        unrolls: meta steps over which the learners of the pairs go on, each from where it stood (`PersistentPairs`);
            1: each meta step begins where the run stands.
        period, burn_in, warmup, freeze_after: see `MetaSchedule`. Make meta steps rare.

    Raises:
        ValueError: feedback without ridge heads, weights of other tasks, or a number outside its range.
    """

    def __init__(
        self,
        learner_step: LearnerStep,
        budget: Budget,
        designer: Designer,
        feedback: Feedback,
        weights: Mapping[str, float],
        optimizer: torch.optim.Optimizer | None,
        horizon: int,
        halvings: int = 1,
        rollouts: int = 1,
        candidates: int = 8,
        pairs: int = 4,
        sigma: float = 0.1,
        directions: Literal["gaussian", "signs"] = "gaussian",
        unrolls: int = 1,
        control_variate: Literal["start", "end"] | None = None,
        period: int = 100,
        burn_in: int = 0,
        warmup: int = 0,
        freeze_after: int | None = None,
    ):
        super().__init__(optimizer, period, burn_in, warmup, freeze_after)
        if feedback.evaluator != "ridge":
            raise ValueError(
                f"value: horizon={horizon} needs heads that suit any backbone, feedback.evaluator is "
                f"{feedback.evaluator!r}; set it to 'ridge'"
            )
        if weights.keys() != feedback.tasks.keys():
            raise ValueError(f"value: combine.weights are of {sorted(weights)}, the tasks are {sorted(feedback.tasks)}")
        if horizon < 1 or rollouts < 1 or pairs < 1 or halvings < 0 or not sigma > 0:
            raise ValueError(
                f"value: horizon={horizon}, rollouts={rollouts} and pairs={pairs} must be >= 1, halvings={halvings} "
                f">= 0 and sigma={sigma} > 0"
            )
        if horizon >> halvings < 1:
            raise ValueError(f"value: halvings={halvings} leave nothing of horizon={horizon}; give fewer")
        if directions not in ("gaussian", "signs"):
            raise ValueError(f"value: directions={directions!r}; choose 'gaussian' or 'signs'")
        self.learner_step, self.budget, self.designer, self.feedback = learner_step, budget, designer, feedback
        self.weights, self.rollouts, self.candidates = dict(weights), rollouts, candidates
        self.horizons = [horizon >> halving for halving in range(halvings, -1, -1)]
        if unrolls < 1 or (unrolls > 1 and (rollouts > 1 or designer.learns_from_values)):
            raise ValueError(
                f"value: unrolls={unrolls} with rollouts={rollouts} and {type(designer).__name__}: give 1 or more, and "
                "above 1 rollouts=1 and a designer that follows pairs of perturbed parameters"
            )
        if control_variate not in ("start", "end", None):
            raise ValueError(f"value: control_variate={control_variate!r}; choose 'start' or 'end', or None for none")
        if control_variate and (unrolls > 1 or designer.learns_from_values or designer.by_rollouts_alone):
            raise ValueError(
                f"value: control_variate={control_variate!r} with unrolls={unrolls} and {type(designer).__name__}: it "
                "needs pairs of perturbed parameters with unrolls=1, and a designer that has a gradient"
            )
        self.control_variate = control_variate
        self.control = ControlVariate() if control_variate else None
        if control_variate:
            one_step_of(learner_step, designer, feedback)  # whose refusals come now
        self.pairs, self.sigma, self.directions = pairs, sigma, directions
        self.persistent = PersistentPairs(unrolls) if unrolls > 1 else None

    def learner_steps(self) -> int:
        """How many the rollouts of one meta step take."""
        if not self.designer.learns_from_values:
            return (2 * self.pairs + (self.control_variate == "end")) * self.horizons[-1] * self.rollouts
        alive = self.designer.fixed_candidates() or self.candidates
        taken, before = 0, 0
        for horizon in self.horizons:
            taken, before, alive = taken + alive * (horizon - before), horizon, (alive + 1) // 2
        return taken * self.rollouts

    def __call__(
        self, step: int, stream: Stream, draws: Callable[[str], Draws], clock: PhaseClock, autocast
    ) -> dict[str, Tensor]:
        """One meta step; returns what is logged of it. `stream` gives the unlabeled batches of the rollouts."""
        with clock("feedback"):
            student = self.learner_step.learner.student
            self.feedback.fit_heads(student, autocast)
            valuation = Valuation(self.feedback, student, self.weights, autocast, self.feedback.next_heldout())
        rollouts_in = partial(self._rollouts, stream, step, draws, valuation)
        if self.designer.learns_from_values and self.designer.shares_of(0) is not None:
            with clock("rollout"):
                logged = self._search(self.designer, lambda c: rollouts_in(self.designer.shares_of(c)), step)
            stream.skip(self.rollouts * self.horizons[-1])
        else:
            with clock("data"):
                rollouts = rollouts_in()
            with clock("rollout"):
                if self.designer.learns_from_values:
                    logged = self._search(self.designer, lambda c: rollouts, step)
                else:
                    logged = self._evolve(rollouts, step, draws, autocast)
        return {f"feedback_loss/{task}": loss for task, loss in valuation.before.items()} | logged

    def _rollouts(
        self,
        stream: Stream,
        step: int,
        draws: Callable[[str], Draws],
        valuation: Valuation,
        shares: Mapping[str, float] | None = None,
    ) -> Rollouts:
        """From where the run stands, on the next images of `stream`.

        With `shares` images of the same sources come in those. They are read on the way, once, and the stream stays.
        """
        length = self.horizons[-1]
        batches: list[Sequence[Tensor] | Ahead]
        if shares is None:
            batches = [[stream.next()[0] for _ in range(length)] for _ in range(self.rollouts)]
        else:
            batches = [Ahead(stream.ahead(number * length, shares), length) for number in range(self.rollouts)]
        progress = progress_ahead(self.budget, step, length)
        courses = [
            Course(self.learner_step, images, _draws_of(number, draws), step, progress)
            for number, images in enumerate(batches)
        ]
        return Rollouts(courses, valuation)

    def _search(
        self, designer: CandidateDesigner, rollouts_of: Callable[[int], Rollouts], step: int
    ) -> dict[str, Tensor]:
        """Successive halving over the designer's candidates."""
        rollouts = [rollouts_of(c) for c in range(designer.begin_search(self.candidates))]

        def values_of(candidates: Sequence[int], horizon: int) -> Tensor:
            goes_on = horizon < self.horizons[-1]
            values = [rollouts[c].value(partial(designer.candidate, c), horizon, c, goes_on) for c in candidates]
            return self.feedback.controlled_values(torch.stack(values), step, f"after {horizon}")

        reached, values = halve(len(rollouts), self.horizons, values_of)
        designer.update(standing(reached, values))
        furthest = values[torch.tensor(reached) == max(reached)]
        logged = {"value": values.mean(), "value/best": furthest.max()}
        if designer.fixed_candidates():
            names = designer.names_of_candidates()
            logged |= {f"value/{name}": v for name, v in zip(names, values, strict=True)}
        return logged

    def _evolve(
        self, rollouts: Rollouts, step: int, draws: Callable[[str], Draws], autocast: Callable
    ) -> dict[str, Tensor]:
        """An optimizer step of φ on −value + penalty, its gradient by antithetic pairs."""
        self.follow_warmup(step)
        parameters = [p for p in self.designer.parameters() if p.requires_grad]
        phi = parameters_to_vector(parameters).detach().clone()
        horizon = self.horizons[-1]
        directions = draws("directions").whole().normal(self.pairs, len(phi))  # the same ones on every rank
        if self.directions == "signs":
            directions = torch.where(directions < 0, -1.0, 1.0)
        values = torch.empty(self.pairs, 2, dtype=torch.float64)
        expected = None
        if self.control is not None:
            at = (self.designer, self.feedback, autocast, self.control_variate)
            expected = credit_of_rollouts(rollouts.courses, rollouts.valuation, *at)
        try:
            for pair, direction in enumerate(directions):
                for side, sign in enumerate((1, -1)):
                    _set(parameters, phi + sign * self.sigma * direction)
                    if self.persistent is None:
                        values[pair, side] = rollouts.value(self.designer, horizon)
                    else:
                        values[pair, side] = self.persistent.value(rollouts, self.designer, horizon, (pair, side))
        finally:
            _set(parameters, phi)
        if self.persistent is not None:
            directions = self.persistent.unroll.through(directions)
        values = self.feedback.controlled_values(values.flatten(), step, f"after {horizon}").view_as(values)
        self.optimizer.zero_grad(set_to_none=True)
        penalty = self._penalty(rollouts.courses[0], parameters)
        if self.control is None:
            estimate = antithetic_gradient(values, directions, self.sigma)
        else:
            estimate = self.control.gradient(values, directions, self.sigma, expected)
        _add_gradient(parameters, -estimate)
        gradient_norm = norm([p.grad for p in parameters if p.grad is not None])
        self.optimizer.step()
        self.designer.project()
        logged = {"value": values.mean(), "designer_gradient_norm": gradient_norm, "penalty": penalty}
        if self.control is not None:
            logged["control_variate/factor"] = values.new_tensor(self.control.factor)
        return logged | {"value/spread": (values[:, 0] - values[:, 1]).square().mean().sqrt()}

    def _penalty(self, course: Course, parameters: list[Tensor]) -> Tensor:
        """The designer's own penalty on the first batch; its gradient is left in ``.grad``."""
        with torch.enable_grad():
            penalty = self.designer(course.batches[0], course.draws("views", 0)).penalty
        if penalty.requires_grad:
            gradient = torch.autograd.grad(penalty, parameters, materialize_grads=True)
            _add_gradient(parameters, parameters_to_vector(average([g.contiguous() for g in gradient])))
        return penalty.detach()

    def state_dict(self) -> dict:
        """What a resumed run needs: where the pools stand, and φ's optimizer."""
        return {
            "feedback": self.feedback.extra_state(),
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "persistent": None if self.persistent is None else self.persistent.state_dict(),
            "control": None if self.control is None else self.control.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.feedback.load_extra_state(state["feedback"])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        if self.persistent is not None:
            self.persistent.load_state_dict(state["persistent"])
        if self.control is not None:
            self.control.load_state_dict(state["control"])


def _draws_of(course: int, draws: Callable[[str], Draws]) -> Callable[[str, int], Draws]:
    return lambda purpose, number: draws(f"rollout {course} {purpose} {number}")


@torch.no_grad()
def _set(parameters: list[Tensor], vector: Float[Tensor, " parameters"]) -> None:
    for p, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        p.copy_(part.view_as(p))


@torch.no_grad()
def _add_gradient(parameters: list[Tensor], vector: Float[Tensor, " parameters"]) -> None:
    for p, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p).clone() if p.grad is None else p.grad + part.view_as(p)
