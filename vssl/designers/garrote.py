"""An optimizer of φ for many numbers of which few matter: a number moves only while its gradient is known not to be 0.

Adam moves every number by about its learning rate, however noisy the gradient: those that do not matter take a random
walk, and what they change by the way is what the learner trains on. Here a number's step is its sign times the learning
rate times a share in [0, 1), the non-negative garrote (Breiman 1995; Gao 1998 for many means)::

    share = max(0, 1 − (threshold / t)²)

t is the running mean of the number's gradient over its standard error, and the threshold Student's, with Bonferroni's
correction for the numbers.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from scipy.stats import t as student
from torch import Tensor
from torch.optim import Optimizer


class Garrote(Optimizer):
    """Steps of at most `lr`, of the numbers whose mean gradient differs from 0.

    Successive meta steps share a g_down and are not independent. The standard error is therefore that of a first-order
    autoregressive series, s/√n·√((1 + ρ)/(1 − ρ)), with one lag-1 correlation ρ for all numbers, held in [0, 0.95].

    Args:
        params: of a designer with few numbers, such as `GlobalPolicy`. All of them count as one family.
        lr: of a number whose gradient is certain; for a policy in logits a step, > 0.
        memory: of the running moments, in [0.8, 1): 1 / (1 − memory) steps are remembered, so that what was learned is
            forgotten when the learner has moved. Fewer steps say nothing, the less the more they resemble each other.
        level: chance, in (0, 1), that at a given step any number moves although none matters.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, params: Iterable[Any], lr: float, memory: float = 0.98, level: float = 0.05):
        if not lr > 0 or not 0.8 <= memory < 1 or not 0 < level < 1:
            raise ValueError(f"Garrote: lr={lr} must be > 0, memory={memory} in [0.8, 1) and level={level} in (0, 1)")
        super().__init__(params, {"lr": lr, "memory": memory, "level": level})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nothing to evaluate again
        """One step; nothing moves before there are gradients enough to know their spread."""
        parameters = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        moments = [self._moments(p, group["memory"]) for p, group in parameters]
        correlation = _pooled(moments)
        family = sum(int(((of.mean != 0) | (of.variance > 0)).sum()) for of in moments)
        for (p, group), (mean, variance, _, n) in zip(parameters, moments, strict=True):
            n = n * (1 - correlation) / (1 + correlation)
            if n <= 2 or not family:
                continue
            threshold = float(student.isf(group["level"] / (2 * family), n - 1))
            t = torch.where(mean == 0, 0, mean * (n / variance).sqrt())  # infinite without any spread
            p.sub_(group["lr"] * mean.sign() * (1 - (threshold / t) ** 2).clamp(min=0))

    def _moments(self, p: Tensor, memory: float) -> "_Moments":
        """Those of the parameter's gradient, its new value taken in."""
        state, fresh = self.state[p], 1 - memory
        if not state:
            zeros = torch.zeros_like(p)
            state.update(weight=0.0, weight2=0.0, mean=zeros, squares=zeros, products=zeros, before=zeros)
        gradient, first = p.grad, not state["weight"]
        state["weight"] = memory * state["weight"] + fresh
        state["weight2"] = memory**2 * state["weight2"] + fresh**2
        # West's update (1979) of a weighted variance: the difference of two moments would cancel
        away = gradient - state["mean"]
        state["mean"] = state["mean"] + fresh / state["weight"] * away
        state["squares"] = memory * state["squares"] + fresh * away * (gradient - state["mean"])
        state["products"] = memory * state["products"] + (0 if first else fresh * away * state["before"])
        state["before"] = gradient - state["mean"]
        n = state["weight"] ** 2 / state["weight2"]
        variance = state["squares"].clamp(min=0) / state["weight"] * n / max(n - 1, 1)
        return _Moments(state["mean"], variance, state["products"] / state["weight"], n)


class _Moments(NamedTuple):
    """Of each number's gradient; n: how many equally weighted ones its mean is worth, were they independent."""

    mean: Tensor
    variance: Tensor
    covariance: Tensor
    n: float


def _pooled(moments: list[_Moments]) -> float:
    """One lag-1 correlation for all numbers, in [0, 0.95]."""
    moving = [of.variance > 0 for of in moments]
    shares = [(of.covariance / of.variance)[which] for of, which in zip(moments, moving, strict=True)]
    together = torch.cat([share.flatten() for share in shares])
    return float(together.mean().clamp(0, 0.95)) if len(together) else 0.0
