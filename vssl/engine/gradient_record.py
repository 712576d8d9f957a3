"""∂V/∂parameter with its standard error over meta steps: what a reader needs to tell signal from noise."""

import math
from typing import Any

import torch
from torch import Tensor

from vssl.designers.base import Designer


class GradientRecord:
    """Adds up the designer's gradient over meta steps; sums stay on the device until they are taken.

    Of each of `Designer.learned_numbers`; for networks the norm alone, since their weights mean nothing one by one.
    Gradients are of (value − penalties), so that positive means: more of it is worth more.
    """

    def __init__(self, designer: Designer):
        self.n: int
        self.sums: list[Tensor | float]
        self.before: Tensor | float
        self.labels, self.few = designer.learned_numbers()
        self.all = [p for p in designer.parameters() if p.requires_grad]
        self._restart()

    @torch.no_grad()
    def add(self) -> None:
        """One meta step's gradient, from ``.grad``; nothing if the step left none (a search without gradients)."""
        gradients = [p.grad for p in self.all if p.grad is not None]
        if not gradients:
            return
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients])).reshape(1)
        values = torch.cat([norm, *(-self._gradient(p).flatten() for p in self.few)]).double()
        self.n += 1
        self.sums = [s + v for s, v in zip(self.sums, (values, values**2, values * self.before), strict=True)]
        self.before = values

    def take(self) -> dict[str, Any]:
        """Means and standard errors since the last call.

        Successive meta steps are not independent: g_down may be a running mean, and φ moves slowly. `se` is that of
        the mean of a first-order autoregressive series, s/√n·√((1 + ρ)/(1 − ρ)), with one lag-1 correlation ρ for
        all parameters (from their pooled covariances, held in [0, 0.95]).
        """
        n = self.n
        if n == 0:
            return {"meta_steps": 0}
        total, squares, products = (torch.as_tensor(s).cpu() for s in self.sums)
        mean = total / n
        variance = (squares / n - mean**2).clamp_min(0) * n / max(n - 1, 1)
        covariance = products / max(n - 1, 1) - mean**2
        alive = variance[1:] > 0 if self.few else variance > 0
        correlations = (covariance / variance)[-len(alive) :][alive]
        rho = float(correlations.mean().clamp(0, 0.95)) if n > 3 and len(correlations) else 0.0
        error = (variance / n).sqrt() * math.sqrt((1 + rho) / (1 - rho))
        self._restart()
        taken = {
            "meta_steps": n,
            "autocorrelation": rho,
            "norm": {"mean": float(mean[0]), "se": float(error[0]) if n > 1 else None},
        }
        if self.labels:
            pairs = zip(self.labels, mean[1:].tolist(), error[1:].tolist(), strict=True)
            taken["parameters"] = [{**label, "mean": m, "se": e if n > 1 else None} for label, m, e in pairs]
        return taken

    def state_dict(self) -> dict[str, Any]:
        """The sums since the last `take`, on the CPU."""
        return {"n": self.n, "sums": [torch.as_tensor(s).cpu() for s in (*self.sums, self.before)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.all[0].device if self.all else "cpu"
        *self.sums, self.before = (s.to(device) for s in state["sums"])
        self.n = state["n"]

    def _restart(self) -> None:
        self.n, self.sums, self.before = 0, [0.0, 0.0, 0.0], 0.0

    @staticmethod
    def _gradient(p: Tensor) -> Tensor:
        return torch.zeros_like(p) if p.grad is None else p.grad
