"""Less or more of each operation of a recipe, and of those that it does not use: what `vssl advise` tries one by one.

What "less" and "more" are depends on what an operation has:

| operation | less | more |
|---|---|---|
| behind a gate of its own | probability − 0.25 | probability + 0.25 |
| the flip | probability − 0.25 | probability + 0.25, at most 0.5: beyond, images differ less again |
| behind a gate of another name (colour jitter) | range half as wide about the identity | half as wide again |
| size of the crop | smallest crop half-way to the largest | smallest crop half as large |
| shape of the crop | range half as wide | half as wide again |

Everything is held inside what the operation allows. An operation that the recipe does not have is opened with
probability 0.25, over the range that `closed_ops` gives it.
"""

from dataclasses import dataclass, replace

import torch

from vssl.views.ops import Magnitude
from vssl.views.recipes import Recipe, closed_ops
from vssl.views.view_plan import AREA, FLIP, LOG_RATIO, Distribution, ViewPlan

STEP = 0.25  # of a probability
WIDER, NARROWER = 1.5, 0.5
MOST_FLIPS = 0.5
# Of a shape of crop that is fixed: where its range begins to open.
SOME_SHAPE = (LOG_RATIO.low / 4, LOG_RATIO.high / 4)


@dataclass(frozen=True)
class Change:
    """One operation and what less and more of it are.

    Args:
        name: of the magnitude or the gate.
        by: "chance" where its probability moves, "strength" where its range does.
        closed: the recipe does not have it.
    """

    name: str
    by: str
    closed: bool

    def has(self, plan: ViewPlan) -> bool:
        """Whether the view can be made with it."""
        return self.name in self._names(plan)

    def numbers(self, plan: ViewPlan, side: str) -> tuple[float, ...]:
        """(probability,) or the (low, high) of the range, with "less" of it, "more", or as the plan has it ("now")."""
        column = self._names(plan).index(self.name)
        if self.by == "chance":
            return (_chance(self.name, plan.probabilities[column], side),)
        return _range(plan.magnitudes[column], plan.ranges[column], side)

    def distribution(self, plan: ViewPlan, side: str, device: torch.device | str = "cpu") -> Distribution:
        """What a view is drawn from with "less" or "more" of it; it takes the random numbers of the plan's own."""
        low, high, probability = plan.distribution(device)
        if self.has(plan):
            column, numbers = self._names(plan).index(self.name), self.numbers(plan, side)
            if self.by == "chance":
                (probability[:, column],) = numbers
            else:
                low[:, column], high[:, column] = numbers
        return Distribution(low, high, probability)

    def sides(self, recipe: Recipe) -> list[str]:
        """Which of "less" and "more" differ from the recipe."""
        plans = [plan for plan in recipe.plans if self.has(plan)]
        return [
            side
            for side in ("less", "more")
            if any(self.numbers(plan, side) != self.numbers(plan, "now") for plan in plans)
        ]

    def _names(self, plan: ViewPlan) -> list[str]:
        return list(plan.gates) if self.by == "chance" else [magnitude.name for magnitude in plan.magnitudes]


def opened(recipe: Recipe, geometric: bool = True) -> Recipe:
    """The recipe with every other op of the space behind it, at probability 0: its views are drawn from the same.

    Args:
        geometric: with those that move pixels. Views then have no boxes, which some objectives need.
    """

    def with_all(plan: ViewPlan) -> ViewPlan:
        others = [gated for gated in closed_ops({g.op.name for g in plan.ops}) if geometric or not gated.op.geometric]
        return replace(plan, ops=(*plan.ops, *others))

    return Recipe([with_all(plan) for plan in recipe.global_plans], [with_all(plan) for plan in recipe.local_plans])


def changes(recipe: Recipe) -> list[Change]:
    """Every operation of an `opened` recipe: crop, flip, gates, and the strengths behind colour jitter's gate.

    Of an operation with a gate of its own, the gate alone. Those that differ on neither side are left out.
    """
    plans = recipe.plans
    open_gates = {gate for plan in plans for gate, p in zip(plan.gates, plan.probabilities, strict=True) if p > 0}
    found = [Change(AREA.name, "strength", closed=False), Change(LOG_RATIO.name, "strength", closed=False)]
    for plan in plans:
        for gate in plan.gates:
            found.append(Change(gate, "chance", closed=gate != FLIP and gate not in open_gates))
        found += [
            Change(gated.op.name, "strength", closed=False)
            for gated in plan.ops
            if gated.gate_name != gated.op.name and gated.gate_name in open_gates
        ]
    return [change for change in dict.fromkeys(found) if change.sides(recipe)]


def _chance(name: str, now: float, side: str) -> float:
    if side == "now":
        return now
    if side == "less":
        return max(0.0, now - STEP)
    return min(now + STEP, max(MOST_FLIPS, now) if name == FLIP else 1.0)


def _range(magnitude: Magnitude, now: tuple[float, float], side: str) -> tuple[float, float]:
    low, high = now
    if side == "now":
        return now
    if magnitude.name == AREA.name:
        return (max(low / 2, AREA.low), high) if side == "more" else ((low + high) / 2, high)
    if magnitude.name == LOG_RATIO.name and low == high == 0:
        return SOME_SHAPE if side == "more" else now
    factor = WIDER if side == "more" else NARROWER
    low, high = (magnitude.identity + factor * (end - magnitude.identity) for end in now)
    return max(low, magnitude.low), min(high, magnitude.high)
