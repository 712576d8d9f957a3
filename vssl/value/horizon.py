"""Estimators for values that have no gradient: what a construction is worth after H learner steps.

They know nothing of learners; vssl/engine/rollout.py makes the values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def weighted_mean(drops: Mapping[str, Tensor], weights: Mapping[str, float]) -> Float[Tensor, ""]:
    """Σ_i w_i d_i / Σ_i w_i over tasks."""
    return torch.stack([weight * drops[task] for task, weight in weights.items()]).sum() / sum(weights.values())


def antithetic_gradient(
    values: Float[Tensor, "pairs 2"], directions: Float[Tensor, "pairs parameters"], sigma: float
) -> Float[Tensor, " parameters"]:
    """∂value/∂φ by evolution strategies with antithetic pairs: 1/(2σn) Σ_i [value(φ + σε_i) − value(φ − σε_i)] ε_i.

    With Gaussian ε it is the gradient of the value smoothed by a Gaussian of width σ (Salimans et al. 2017,
    arXiv 1703.03864), with ε of ±1 SPSA (Spall 1992). Take the values of a pair with the same random numbers, so that
    they cancel.

    Args:
        values: of φ + σε and of φ − σε.
        directions: ε.
        sigma: σ > 0.
    """
    slopes = (values[:, 0] - values[:, 1]) / (2 * sigma)
    return (slopes.to(directions).unsqueeze(1) * directions).mean(0)


class ControlVariate:
    """Subtracts from antithetic pairs what a known vector says of them, and adds its expectation again.

    A vector c that does not depend on ε predicts the slope ⟨c, ε⟩ of a pair. Since E[⟨c, ε⟩ε] = c, the estimate
    mean_i (s_i − α⟨c, ε_i⟩)ε_i + αc has the expectation of mean_i s_i·ε_i, whatever c and α are. With the best α and
    Gaussian ε, 1 − ρ² of its variance is left for a quadratic value, ρ being the cosine between c and the gradient.

    α is the regression of the slopes of *earlier* meta steps on their predictions, so it does not depend on the present
    ε either. It is 0 at first, and where these slopes do not show that c predicts anything.

    Args:
        memory: how much of the sums of earlier meta steps is kept at each one, in (0, 1).
    """

    def __init__(self, memory: float = 0.9):
        self.memory = memory
        self._sums = torch.zeros(4, dtype=torch.float64)  # of 1, slope², prediction², slope·prediction

    @property
    def factor(self) -> float:
        """α: the regression coefficient, shrunk by the share of its square that its own error explains."""
        count, slopes, predictions, both = self._sums.tolist()
        if count <= 1 or not both:
            return 0.0
        correlation = min(both * both / (slopes * predictions), 1.0)  # squared
        return both / predictions * max(0.0, 1 - (1 - correlation) / (correlation * (count - 1)))

    def gradient(
        self,
        values: Float[Tensor, "pairs 2"],
        directions: Float[Tensor, "pairs parameters"],
        sigma: float,
        expected: Float[Tensor, " parameters"],
    ) -> Float[Tensor, " parameters"]:
        """`antithetic_gradient` with c = `expected`; then these pairs count for the α of later ones."""
        slopes = ((values[:, 0] - values[:, 1]) / (2 * sigma)).double().cpu()
        predicted = (directions @ expected).double().cpu()
        rest = (slopes - self.factor * predicted).to(directions)
        found = (rest.unsqueeze(1) * directions).mean(0) + self.factor * expected
        new = torch.stack([torch.ones_like(slopes), slopes**2, predicted**2, slopes * predicted]).sum(1)
        self._sums = self.memory * self._sums + new
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums = state["sums"]


class Unroll:
    """Persistent evolution strategies (Vicol et al. 2021, arXiv 2112.13835): what perturbed learners have gone through.

    A value after H steps does not know what φ does later: its gradient is biased for the value of a longer way. Here
    the learner of each perturbation goes on from where it stood, with a new ε in each stretch of H steps. The sum of
    its ε takes the place of the last one in `antithetic_gradient`; the expectation is the gradient of the smoothed
    value over the whole way up to there. Its variance grows with the number of stretches.

    Args:
        stretches: after this many, all begin anew from where the run stands. 1 or more; 1 is `antithetic_gradient`
            alone.
    """

    def __init__(self, stretches: int):
        if stretches < 1:
            raise ValueError(f"stretches={stretches} must be 1 or more")
        self.stretches, self.age = stretches, 0
        self.total: Float[Tensor, "pairs parameters"] | None = None

    @property
    def begins(self) -> bool:
        """Whether the next stretch is a first one."""
        return self.age % self.stretches == 0

    def through(self, directions: Float[Tensor, "pairs parameters"]) -> Float[Tensor, "pairs parameters"]:
        """By how much each pair is perturbed since its stretches began: earlier ε plus the next one's, `directions`."""
        earlier = None if self.begins else self.total  # a checkpoint is read on the CPU
        self.total = directions if earlier is None else earlier.to(directions) + directions
        self.age += 1
        return self.total

    def state_dict(self) -> dict[str, Any]:
        return {"age": self.age, "total": self.total}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.age, self.total = state["age"], state["total"]


def halve(
    candidates: int, horizons: Sequence[int], values: Callable[[Sequence[int], int], Tensor]
) -> tuple[list[int], Float[Tensor, " candidates"]]:
    """Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): the upper half goes on to the next horizon.

    Args:
        candidates: how many, 1 or more.
        horizons: rising; all candidates are valued at the first.
        values: (candidates, horizon) -> what each is worth there.

    Returns:
        For each candidate the horizon that it came to, and its value there.

    Example::

        >>> halve(4, [1, 2], lambda alive, horizon: torch.tensor([float(c) for c in alive]))  # later ones are better
        ([1, 1, 2, 2], tensor([0., 1., 2., 3.], dtype=torch.float64))
    """
    reached, last = [0] * candidates, torch.zeros(candidates, dtype=torch.float64)
    alive = list(range(candidates))
    for horizon in horizons:
        for candidate, value in zip(alive, values(alive, horizon).tolist(), strict=True):
            reached[candidate], last[candidate] = horizon, value
        # sorted is stable: of equals, the one that stands first in the list goes on
        alive = sorted(sorted(alive, key=lambda c: -last[c])[: (len(alive) + 1) // 2])
    return reached, last


def standing(reached: Sequence[int], values: Float[Tensor, " candidates"]) -> Float[Tensor, " candidates"]:
    """How many candidates each one beat, equals counted half: by horizon reached, then by value there.

    Values at different horizons do not compare. Who went further stands above who was left behind.
    """
    results = list(zip(reached, values.tolist(), strict=True))
    beaten = [sum((mine > other) + 0.5 * (mine == other) for other in results) - 0.5 for mine in results]
    return torch.tensor(beaten, dtype=torch.float64)
