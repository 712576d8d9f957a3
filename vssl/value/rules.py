"""Rules: what one pretraining step is worth, given what the downstream tasks ask for.

A rule is a scalar f(g_pre). For every such scalar ∇_φ f = ∇_φ⟨v, g_pre⟩ with v = ∂f/∂g_pre held fixed, so a rule
returns the pair (f, v) and one estimator of the mixed derivative (metagradient.py) serves them all.

Each rule is called as ``rule(g_down, g_pre, preconditioner)``; only `Adam` looks at the last one. A zero gradient on
either side is worth nothing: value 0 and v 0, except for `Bound` whose v is −Lη·g_pre when only g_down is zero.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.value.products import Gradient, dot, norm, or_one, unit


class Valued(NamedTuple):
    """value: f(g_pre). v: ∂f/∂g_pre, detached, in the order of g_pre."""

    value: Float[Tensor, ""]
    v: list[Tensor]


Preconditioner = Callable[[], Gradient]
"""Returns P, the step that the learner's optimizer takes per unit of gradient, one tensor per parameter of S."""


class Rule:
    """Base class of the rules: calls `worth` and detaches v. The value keeps a graph if `g_pre` has one.

    `g_down`, `g_pre` and v are lists of tensors with the shapes of the parameters of S, in their order.
    """

    def __call__(self, g_down: Gradient, g_pre: Gradient, preconditioner: Preconditioner | None = None) -> Valued:
        value, v = self.worth(g_down, g_pre, preconditioner)
        return Valued(value, [x.detach() for x in v])

    def worth(self, g_down: Gradient, g_pre: Gradient, preconditioner: Preconditioner | None) -> Valued:
        """The value f of a step along g_pre, and v = ∂f/∂g_pre. A zero gradient gives 0 and a v without NaN."""
        raise TypeError(f"{type(self).__name__} does not say what a step is worth")


class Dot(Rule):
    """⟨g_down, g_pre⟩: the first-order drop of L_down per unit of learning rate. Grows with ‖g_pre‖: watch the norm."""

    def worth(self, g_down: Gradient, g_pre: Gradient, preconditioner: Preconditioner | None) -> Valued:
        return Valued(dot(g_down, g_pre), list(g_down))


class Cosine(Rule):
    """cos(g_down, g_pre), in [−1, 1]; blind to the scale of both."""

    def worth(self, g_down: Gradient, g_pre: Gradient, preconditioner: Preconditioner | None) -> Valued:
        unit_down, unit_pre, length = unit(g_down), unit(g_pre), norm(g_pre)
        value = dot(unit_down, unit_pre)
        # The cosine has no derivative at g_pre = 0: v is 0 there.
        scale = torch.where(length > 0, 1 / or_one(length), torch.zeros_like(length))
        return Valued(value, [(d - value * p) * scale for d, p in zip(unit_down, unit_pre, strict=True)])


class Bound(Rule):
    """⟨g_down, g_pre⟩ − (Lη/2)‖g_pre‖²: what L_down drops by at least, per unit of learning rate.

    This is the L-smooth bound ηV − (Lη²/2)‖g_pre‖² divided by η, in the units of `Dot`; its v is g_down − Lη·g_pre.

    Args:
        learning_rate: η of the learner, > 0. Set the attribute again when a schedule moves it.
        smoothness: L, ≥ 0, the largest curvature of L_down along a step; 0 makes this `Dot`.
    """

    def __init__(self, learning_rate: float, smoothness: float):
        if not learning_rate > 0 or not smoothness >= 0:
            raise ValueError(f"Bound: learning_rate={learning_rate} must be > 0 and smoothness={smoothness} >= 0")
        self.learning_rate, self.smoothness = learning_rate, smoothness

    def worth(self, g_down: Gradient, g_pre: Gradient, preconditioner: Preconditioner | None) -> Valued:
        curvature = self.smoothness * self.learning_rate
        value = dot(g_down, g_pre) - curvature / 2 * norm(g_pre) ** 2
        return Valued(value, [d - curvature * p for d, p in zip(g_down, g_pre, strict=True)])


class Adam(Rule):
    """⟨P·g_down, g_pre⟩ with P = 1/(√v̂ + ε) of the learner's own optimizer (see `AdamPreconditioner`)."""

    def worth(self, g_down: Gradient, g_pre: Gradient, preconditioner: Preconditioner | None) -> Valued:
        if preconditioner is None:
            raise ValueError("the Adam rule needs a preconditioner; give AdamPreconditioner(learner_optimizer, params)")
        v = [p * d for p, d in zip(preconditioner(), g_down, strict=True)]
        return Valued(dot(v, g_pre), v)


class NormGrowth(Rule):
    """Another rule minus weight·log²(‖g_pre‖ / reference) while g_pre is the longer of the two.

    A dot product can be raised by inflating ‖g_pre‖; this makes it cost.

    Args:
        rule: what a step is worth otherwise.
        weight: ≥ 0, in the units of that rule's value.
        reference: ‖g_pre‖ on base views, > 0.
    """

    def __init__(self, rule: Rule, weight: float, reference: float | Tensor):
        self.rule, self.weight, self.reference = rule, weight, reference

    def worth(self, g_down: Gradient, g_pre: Gradient, preconditioner: Preconditioner | None) -> Valued:
        value, v = self.rule(g_down, g_pre, preconditioner)
        length = norm(g_pre)
        growth = (or_one(length) / self.reference).log().clamp(min=0) * (length > 0)
        length = or_one(length)
        pull = 2 * self.weight * growth / length**2
        return Valued(value - self.weight * growth**2, [d - pull * p for d, p in zip(v, g_pre, strict=True)])


class AdamPreconditioner:
    """P = 1/(√v̂ + ε) read from an Adam or AdamW optimizer, with its bias correction.

    Before the optimizer's first step there is no v̂ and P is 1 everywhere, i.e. the rule is `Dot`, with a warning:
    values before and after that step are on different scales. Later a parameter that the optimizer never stepped has
    P = 0: it does not move, so its gradient is worth nothing.

    Args:
        optimizer: the learner's optimizer.
        params: the aligned parameters S, the same objects that the optimizer holds.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, params: dict[str, Tensor]):
        self.optimizer, self.params = optimizer, params
        held = {p: group for group in optimizer.param_groups for p in group["params"]}
        missing = [name for name, p in params.items() if p not in held]
        if missing:
            raise ValueError(
                f"{len(missing)} aligned parameters are not in the learner's optimizer (first: {missing[0]}); "
                "give the optimizer that steps the learner"
            )

    @torch.no_grad()
    def __call__(self) -> list[Tensor]:
        groups = {p: group for group in self.optimizer.param_groups for p in group["params"]}
        states = [self.optimizer.state.get(p) for p in self.params.values()]
        if not any(states):
            warnings.warn("Adam rule: the optimizer has not stepped yet, P = 1 (as the Dot rule)", stacklevel=2)
            return [torch.ones_like(p) for p in self.params.values()]
        return [
            self._of(state, groups[p]) if state else torch.zeros_like(p)
            for p, state in zip(self.params.values(), states, strict=True)
        ]

    def _of(self, state: dict, group: dict) -> Tensor:
        if "exp_avg_sq" not in state:
            raise ValueError(
                f"the Adam rule reads exp_avg_sq, which {type(self.optimizer).__name__} does not keep; "
                "train the learner with Adam or AdamW, or use the Dot or Cosine rule"
            )
        second = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
        corrected = second / (1 - group["betas"][1] ** state["step"])
        return 1 / (corrected.sqrt() + group["eps"])
