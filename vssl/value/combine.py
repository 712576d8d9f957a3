"""One downstream gradient out of several tasks' gradients, and its average over meta steps.

Every combiner is a module called as ``combine({"segmentation": [...], "depth": [...]})`` and returns one g_down. What
it remembers between meta steps is in its state_dict, so that a resumed run goes on exactly.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vssl.value.products import Gradient, dot, norm, or_one, unit


class WeightedSum(nn.Module):
    """Σ_i α_i g_i of the raw gradients (paper: α_seg, α_dep).

    Args:
        weights: α_i ≥ 0 by task name.

    Raises:
        ValueError: a weight is negative, all are zero, or (when called) the tasks are not those of `weights`.
    """

    def __init__(self, weights: Mapping[str, float]):
        super().__init__()
        if any(not w >= 0 for w in weights.values()) or not any(weights.values()):
            raise ValueError(f"task weights {dict(weights)} must be >= 0 with at least one > 0")
        self.weights = dict(sorted(weights.items()))  # a saved config has its keys sorted

    @torch.no_grad()
    def forward(self, gradients: Mapping[str, Gradient]) -> list[Tensor]:
        return _total(self.scaled(gradients).values())

    def scaled(self, gradients: Mapping[str, Gradient]) -> dict[str, list[Tensor]]:
        """α_i g_i by task, sorted by name, with the shapes of the parameters of S.

        Raises:
            ValueError: the tasks are not those of the weights.
        """
        if gradients.keys() != self.weights.keys():
            raise ValueError(
                f"gradients of tasks {sorted(gradients)} but weights for {sorted(self.weights)}; give a weight per task"
            )
        return {task: [weight * g for g in gradients[task]] for task, weight in self.weights.items()}


class UnitNorm(WeightedSum):
    """Σ_i α_i g_i / n_i with n_i the running mean of ‖g_i‖, so that α_i are shares and not units.

    The running mean is exponential with bias correction and includes the present step: after one step n_i = ‖g_i‖.
    A gradient that is exactly zero (a batch without valid pixels) contributes nothing and is not counted.

    Args:
        weights: α_i ≥ 0 by task name.
        momentum: in [0, 1); 0 divides each gradient by its own norm.
    """

    def __init__(self, weights: Mapping[str, float], momentum: float = 0.9):
        super().__init__(weights)
        self.momentum = _checked(momentum)
        self.register_buffer("mean_norm", torch.zeros(len(self.weights)))
        self.register_buffer("steps", torch.zeros(len(self.weights)))

    def scaled(self, gradients: Mapping[str, Gradient]) -> dict[str, list[Tensor]]:
        weighted = super().scaled(gradients)
        norms = torch.stack([norm(gradients[task]) for task in self.weights]).to(self.mean_norm)
        seen = norms > 0
        self.mean_norm.copy_(
            torch.where(seen, self.momentum * self.mean_norm + (1 - self.momentum) * norms, self.mean_norm)
        )
        self.steps.add_(seen)
        lengths = or_one(self.mean_norm / or_one(1 - self.momentum**self.steps))
        return {
            task: [g / length.to(g) for g in scaled]
            for (task, scaled), length in zip(weighted.items(), lengths, strict=True)
        }


class PCGrad(UnitNorm):
    """Σ_i of the weighted gradients, each first freed of what conflicts with the others.

    For i and every j ≠ i with ⟨g_i, g_j⟩ < 0, g_i loses its component along the original g_j (T. Yu et al., "Gradient
    Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1). The paper visits j in random order. Here the order is
    that of the names, unless a generator is given: with two tasks it makes no difference, and ranks must agree.

    Args:
        weights: α_i ≥ 0 by task name, applied before the projection (which does not depend on them).
        momentum: None takes the raw gradients, a number in [0, 1) divides them by running norms as `UnitNorm` does.
        generator: CPU generator for the order of j; its state is the caller's to save.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        momentum: float | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__(weights, 0.0 if momentum is None else momentum)
        self.raw, self.generator = momentum is None, generator

    def scaled(self, gradients: Mapping[str, Gradient]) -> dict[str, list[Tensor]]:
        return WeightedSum.scaled(self, gradients) if self.raw else super().scaled(gradients)

    @torch.no_grad()
    def forward(self, gradients: Mapping[str, Gradient]) -> list[Tensor]:
        originals = list(self.scaled(gradients).values())
        return _total([self._freed(i, originals) for i in range(len(originals))])

    def _freed(self, i: int, originals: list[list[Tensor]]) -> list[Tensor]:
        order: Sequence[int] = range(len(originals))
        if self.generator is not None:
            order = torch.randperm(len(originals), generator=self.generator).tolist()
        freed = originals[i]
        for j in order:
            if j == i:
                continue
            along = dot(freed, originals[j]).clamp(max=0) / or_one(dot(originals[j], originals[j]))
            freed = [g - along * other for g, other in zip(freed, originals[j], strict=True)]
        return freed


class GradientAverage(nn.Module):
    """Exponential running mean of g_down over meta steps, each step counted with unit norm, bias-corrected.

    A single meta batch says little about where the tasks want to go; the mean over steps says more, at the price of
    lagging behind the learner. Zero gradients are not counted. The result's norm is at most 1, and the lower the more
    the steps disagree.

    Args:
        momentum: in [0, 1); 0 keeps only the present direction, 0.9 averages over about ten meta steps.
    """

    def __init__(self, momentum: float = 0.9):
        super().__init__()
        self.momentum = _checked(momentum)
        self._mean: list[Tensor] | None = None
        self._steps = torch.zeros(())

    @torch.no_grad()
    def forward(self, g_down: Gradient) -> list[Tensor]:
        """The mean over the steps so far, `g_down` included."""
        if self._mean is None:
            self._mean = [torch.zeros_like(g) for g in g_down]
        self._mean = [m.to(g) for m, g in zip(self._mean, g_down, strict=True)]  # a resumed mean comes from the CPU
        seen = (norm(g_down) > 0).to(g_down[0])
        keep = torch.where(seen > 0, self.momentum, 1.0).to(g_down[0])
        self._mean = [keep * m + (1 - keep) * g for m, g in zip(self._mean, unit(g_down), strict=True)]
        self._steps = self._steps.to(seen) + seen
        correction = or_one(1 - self.momentum**self._steps)
        return [m / correction for m in self._mean]

    def get_extra_state(self) -> dict:
        # Extra state, not buffers: the shapes are those of S, which is not known before the first call.
        return {"mean": self._mean, "steps": self._steps}

    def set_extra_state(self, state: dict) -> None:
        mean = state["mean"]
        self._mean = None if mean is None else [m.clone() for m in mean]
        self._steps = state["steps"].clone()


def _checked(momentum: float) -> float:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum={momentum} must be in [0, 1)")
    return momentum


def _total(gradients) -> list[Tensor]:
    return [torch.stack(parts).sum(dim=0) for parts in zip(*gradients, strict=True)]
