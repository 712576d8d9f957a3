"""Learning rates and momenta of the published dense probes, step by step.

Both codes let warm-up and decay run over each other: the decay begins at step 0, the warm-up multiplies it. `Schedule`
without a curve decays from the end of the warm-up on. Every function gives the value that optimizer step `step` (from
0) of `steps` uses.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from mmengine.optim.scheduler.momentum_scheduler import MomentumSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler


class Curve(Protocol):
    """What `Schedule` takes as ``curve``."""

    def rate(self, step: int, steps: int, warmup_steps: int) -> float:
        """Learning rate as a factor of the optimizer's."""

    def momentum(self, step: int, steps: int, warmup_steps: int) -> float | None:
        """Momentum, β1 of Adam; None where it stays the optimizer's."""

    def words(self) -> str:
        """For the card."""


@dataclass(frozen=True)
class MMCV:
    """mmcv 1's updaters, which DINOv2's dense probes use (`Poly`, `CosineAnnealing`, `OneCycleMomentum`).

    Attributes:
        decay: ``"linear"`` (`Poly`, power 1) or ``"cosine"``, from step 0 to the end.
        warmup_ratio: factor at step 0, which rises linearly to 1.
        final_ratio: of the peak, where the decay ends.
        cycle_momentum: momentum .95 → .85 in the first 30 % of the run, then back, along cosines.
    """

    decay: str = "cosine"
    warmup_ratio: float = 1e-3
    final_ratio: float = 0.0
    cycle_momentum: bool = False

    def __post_init__(self):
        if self.decay not in ("cosine", "linear"):
            raise ValueError(f"decay={self.decay!r} of the curve; 'cosine' or 'linear' is needed")

    def rate(self, step: int, steps: int, warmup_steps: int) -> float:
        left = _cosine(1.0, 0.0, step / steps) if self.decay == "cosine" else 1 - step / steps
        warm = 1.0 if step >= warmup_steps else 1 - (1 - step / warmup_steps) * (1 - self.warmup_ratio)
        return warm * (self.final_ratio + (1 - self.final_ratio) * left)

    def momentum(self, step: int, steps: int, warmup_steps: int) -> float | None:
        if not self.cycle_momentum:
            return None
        turn, last = 0.3 * steps - 1, steps - 1
        if step <= turn:
            return _cosine(0.95, 0.85, step / turn)
        return _cosine(0.85, 0.95, (step - turn) / (last - turn))

    def words(self) -> str:
        return f"linear warm-up × {self.decay} over the whole run" + ", one-cycle momentum" * self.cycle_momentum


@dataclass(frozen=True)
class WarmupOneCycle:
    """DINOv3's scheduler of that name: a cosine over the whole run, with a linear warm-up on it.

    Attributes:
        warmup_ratio: factor at step 0.
        straight: during the warm-up the decay is a straight line in place of the cosine.
        final_ratio: of the peak, where the cosine ends.
        momentum_range: momentum after the warm-up goes along a cosine from the first to the second, and is 0 in the
            warm-up; None leaves it alone.
        lag: so many steps the schedule is behind the optimizer: step `lag` uses the value of step 0 once more.
    """

    warmup_ratio: float = 1e-3
    straight: bool = False
    final_ratio: float = 0.0
    momentum_range: tuple[float, float] | None = None
    lag: int = 0

    def rate(self, step: int, steps: int, warmup_steps: int) -> float:
        step = max(step - self.lag, 0)
        if step >= warmup_steps:
            return _cosine(1.0, self.final_ratio, (step + 1) / steps)
        if self.straight:
            return (1 - (1 - step / warmup_steps) * (1 - self.warmup_ratio)) * (1 - step / steps)
        return self.warmup_ratio + _cosine(1.0, 0.0, step / steps) * step / warmup_steps

    def momentum(self, step: int, steps: int, warmup_steps: int) -> float | None:
        if self.momentum_range is None:
            return None
        step = max(step - self.lag, 0)
        if step < warmup_steps:
            return 0.0
        return _cosine(*self.momentum_range, (step - warmup_steps) / (steps - warmup_steps))

    def words(self) -> str:
        return "linear warm-up × cosine over the whole run" + ", momentum 0 in the warm-up" * bool(self.momentum_range)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class CurveLR(_ParamScheduler):
    """A curve's learning rate as an mmengine scheduler."""

    def __init__(self, optimizer, curve: Curve, steps: int, warmup_steps: int, **settings):
        self.curve, self.steps, self.warmup_steps = curve, steps, warmup_steps
        super().__init__(optimizer, "lr", **settings)

    def _get_value(self) -> list[float]:
        factor = self.curve.rate(min(self.last_step, self.steps - 1), self.steps, self.warmup_steps)
        return [base * factor for base in self.base_values]


class CurveMomentum(MomentumSchedulerMixin, _ParamScheduler):
    """A curve's momentum as an mmengine scheduler."""

    def __init__(self, optimizer, curve: Curve, steps: int, warmup_steps: int, **settings):
        self.curve, self.steps, self.warmup_steps = curve, steps, warmup_steps
        super().__init__(optimizer, **settings)

    def _get_value(self) -> list[float | None]:
        value = self.curve.momentum(min(self.last_step, self.steps - 1), self.steps, self.warmup_steps)
        return [value] * len(self.base_values)
