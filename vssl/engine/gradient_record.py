"""∂V/∂parameter with its standard error over meta steps: what a reader needs to tell signal from noise."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.designers.base import Designer


class GradientRecord:
    """Adds up the designer's gradient over meta steps; sums stay on the device until they are taken.

    Of each of `Designer.learned_numbers`; for networks the norm alone, since their weights mean nothing one by one.
    Gradients are of (value − penalties), so that positive means: more of it is worth more. Where weights of the loss
    are learned, the credit of its components too.
    """

    def __init__(self, designer: Designer):
        self.n: int
        self.sums: list[Tensor | float]
        self.before: Tensor | float
        self.components: list[str]
        self.labels, self.few = designer.learned_numbers()
        self.all = [p for p in designer.parameters() if p.requires_grad]
        self._restart()

    @torch.no_grad()
    def add(self, credit: Mapping[str, Float[Tensor, ""]] | None = None) -> None:
        """One meta step's gradient, from ``.grad``; nothing if the step left none (a search without gradients).

        Args:
            credit: that step's ∂V/∂weight of each component of the loss, the same components at every call.
        """
        gradients = [p.grad for p in self.all if p.grad is not None]
        if not gradients:
            return
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients])).reshape(1)
        self.components, earned = list(credit or {}), [worth.reshape(1) for worth in (credit or {}).values()]
        values = torch.cat([norm, *(-self._gradient(p).flatten() for p in self.few), *earned]).double()
        self.n += 1
        self.sums = [s + v for s, v in zip(self.sums, (values, values**2, values * self.before), strict=True)]
        self.before = values

    def take(self) -> dict[str, Any]:
        """Means and standard errors since the last call.

        Successive meta steps are not independent: g_down may be a running mean, and φ moves slowly. `se` is that of
        the mean of a first-order autoregressive series, s/√n·√((1 + ρ)/(1 − ρ)), with one lag-1 correlation ρ for
        all parameters (from their pooled covariances, held in [0, 0.95]), and another one for all credits.
        """
        n, sums, components = self.n, [torch.as_tensor(s).cpu() for s in self.sums], self.components
        if n == 0:
            return {"meta_steps": 0}
        self._restart()
        credits = slice(len(sums[0]) - len(components), None)
        of_norm, of_few = slice(0, 1), slice(1, credits.start)
        rho = _correlation(n, sums, of_few if self.few else of_norm)
        (norm,) = _mean_and_error(n, sums, of_norm, rho)
        taken: dict[str, Any] = {"meta_steps": n, "autocorrelation": rho, "norm": norm}
        if self.labels:
            found = _mean_and_error(n, sums, of_few, rho)
            taken["parameters"] = [label | one for label, one in zip(self.labels, found, strict=True)]
        if components:
            rho = _correlation(n, sums, credits)
            found = _mean_and_error(n, sums, credits, rho)
            taken["credit"] = {"autocorrelation": rho, "components": dict(zip(components, found, strict=True))}
        return taken

    def state_dict(self) -> dict[str, Any]:
        """The sums since the last `take`, on the CPU."""
        sums = [torch.as_tensor(s).cpu() for s in (*self.sums, self.before)]
        return {"n": self.n, "sums": sums, "components": self.components}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.all[0].device if self.all else "cpu"
        components = state.get("components", [])
        numbers = 1 + sum(p.numel() for p in self.few) + len(components)
        if state["n"] and state["sums"][0].numel() != numbers:
            return  # of an earlier version, which followed fewer numbers: the record begins anew
        *self.sums, self.before = (s.to(device) for s in state["sums"])
        self.n, self.components = state["n"], components

    def _restart(self) -> None:
        self.n, self.sums, self.before, self.components = 0, [0.0, 0.0, 0.0], 0.0, []

    @staticmethod
    def _gradient(p: Tensor) -> Tensor:
        return torch.zeros_like(p) if p.grad is None else p.grad


def _moments(n: int, sums: list[Tensor], of: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance, and covariance of one meta step with the next, from n steps' sums of x, x² and x·x before."""
    total, squares, products = (s[of] for s in sums)
    mean = total / n
    variance = (squares / n - mean**2).clamp_min(0) * n / max(n - 1, 1)
    return mean, variance, products / max(n - 1, 1) - mean**2


def _correlation(n: int, sums: list[Tensor], of: slice) -> float:
    """ρ of some numbers together; 0 where there are too few meta steps to tell."""
    _, variance, covariance = _moments(n, sums, of)
    correlations = (covariance / variance)[variance > 0]
    return float(correlations.mean().clamp(0, 0.95)) if n > 3 and len(correlations) else 0.0


def _mean_and_error(n: int, sums: list[Tensor], of: slice, rho: float) -> list[dict[str, float | None]]:
    mean, variance, _ = _moments(n, sums, of)
    errors = (variance / n).sqrt() * math.sqrt((1 + rho) / (1 - rho))
    return [{"mean": m, "se": e if n > 1 else None} for m, e in zip(mean.tolist(), errors.tolist(), strict=True)]
