"""A policy: a recipe whose magnitudes and gates are learned.

What is learned are offsets in logits. A number with range [low, high] that starts at v₀ is

    v = v₀ + (high − low)·(σ(ℓ₀ + offset) − σ(ℓ₀)),    ℓ₀ = logit of v₀'s place in the range,

so an offset of 0 gives v₀ to the last bit, the sigmoid keeps v in its range, and no clamp kills the gradient on the
way. Offsets are shared by the views of a group: views of a group may start apart (a blur of probability 1.0 and 0.1)
and then move together.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.views.ops import straight_through
from vssl.views.recipes import Recipe
from vssl.views.view_plan import Distribution, ViewPlan

# Numbers that start at an end of their range are taken to start this far inside: the logit of an end is not finite.
MARGIN = 0.02
# `PolicySpace.hold` lets numbers come this near to the ends of their range, as a share of it. Nearer, the sigmoid is
# flat, and an offset that went on would have to come all the way back before it changed anything.
END = 0.005


class Offsets(NamedTuple):
    """Learned offsets in logits; rows is 1 or the number of images."""

    low: Float[Tensor, "rows magnitudes"]
    high: Float[Tensor, "rows magnitudes"]
    probability: Float[Tensor, "rows gates"]


class PolicySpace(nn.Module):
    """Which offsets a recipe has, and what distributions they lead to. Holds no parameters.

    Args:
        recipe: where the policy starts; any `Recipe`.
        learn: names of the magnitudes ("area", "hue", …) and gates ("flip", "jitter", …) that may move; None for all.
        per_view: a group for each global crop (student and teacher roles may differ) instead of one for all of them.
            The local crops are one group.

    Raises:
        ValueError: a name in `learn` that the recipe does not have; views of a group with different ops.
    """

    def __init__(self, recipe: Recipe, learn: tuple[str, ...] | None = None, per_view: bool = False):
        super().__init__()
        self.plans = recipe.plans
        n_global, n_local = len(recipe.global_plans), len(recipe.local_plans)
        self.group_of_view = [view if per_view else 0 for view in range(n_global)]
        self.group_of_view += [max(self.group_of_view) + 1] * n_local
        self.group_names = [f"global{g}" for g in range(n_global)] if per_view else ["global"]
        self.group_names += ["local"] * bool(n_local)
        self._check(learn)
        for view, plan in enumerate(self.plans):
            ranges = torch.tensor([(m.low, m.high) for m in plan.magnitudes], dtype=torch.float32)
            movable = [torch.tensor([float(learn is None or n in learn) for n in names]) for names in _names(plan)]
            self.register_buffer(f"range{view}", ranges, persistent=False)
            self.register_buffer(f"movable_magnitudes{view}", movable[0], persistent=False)
            self.register_buffer(f"movable_gates{view}", movable[1], persistent=False)

    def sizes(self, group: int) -> tuple[int, int]:
        """(number of magnitudes, number of gates) of a group's views."""
        plan = self.plans[self.group_of_view.index(group)]
        return len(plan.magnitudes), len(plan.gates)

    @property
    def groups(self) -> range:
        """The indices of the groups of views, each with offsets of its own."""
        return range(len(self.group_names))

    def distribution(self, view: int, offsets: Offsets) -> Distribution:
        """What view number `view` is drawn from: the recipe's numbers, moved by offsets in logits inside their ranges.

        It has as many rows as the offsets: one for all images, or one for each.
        """
        base = self.plans[view].distribution(offsets.low.device)
        lowest, highest = getattr(self, f"range{view}").unbind(1)
        magnitudes, gates = getattr(self, f"movable_magnitudes{view}"), getattr(self, f"movable_gates{view}")
        return Distribution(
            _moved(base.low, offsets.low * magnitudes, lowest, highest),
            _moved(base.high, offsets.high * magnitudes, lowest, highest),
            _moved(base.probability, offsets.probability * gates, torch.zeros_like(gates), torch.ones_like(gates)),
        )

    def hold(self, offsets: Offsets, group: int) -> Offsets:
        """The offsets, each taken back to where the first view of the group begins to react to it.

        Beyond that point all the group's views are at the end of a number's range. It takes in the start of every view.
        """
        bounds = [self._bounds(view) for view, of in enumerate(self.group_of_view) if of == group]
        lowest, highest = (zip(*side, strict=True) for side in zip(*bounds, strict=True))
        return Offsets(
            *(
                torch.minimum(torch.maximum(offset, torch.stack(least).amin(0)), torch.stack(most).amax(0))
                for offset, least, most in zip(offsets, lowest, highest, strict=True)
            )
        )

    def _bounds(self, view: int) -> tuple[Offsets, Offsets]:
        """The lowest and the highest offsets at which a view's numbers still move."""
        lowest, highest = getattr(self, f"range{view}").unbind(1)
        base = self.plans[view].distribution(lowest.device)
        gates = torch.zeros_like(base.probability), torch.ones_like(base.probability)
        ranges = [(lowest, highest), (lowest, highest), gates]
        pairs = [_moving(start, low, high) for start, (low, high) in zip(base, ranges, strict=True)]
        return Offsets(*(low for low, _ in pairs)), Offsets(*(high for _, high in pairs))

    def _check(self, learn: tuple[str, ...] | None) -> None:
        known = {name for plan in self.plans for names in _names(plan) for name in names}
        if learn is not None and (unknown := set(learn) - known):
            raise ValueError(f"cannot learn {sorted(unknown)}: the recipe has {sorted(known)}")
        for group in self.groups:
            names = {_names(p) for p, g in zip(self.plans, self.group_of_view, strict=True) if g == group}
            if len(names) > 1:
                raise ValueError(f"the views of group {self.group_names[group]} must have the same ops in one order")


def _names(plan: ViewPlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(magnitude.name for magnitude in plan.magnitudes), plan.gates


def _moving(
    start: Float[Tensor, "1 n"], low: Float[Tensor, "..."], high: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "1 n"], Float[Tensor, "1 n"]]:
    """Between which offsets `_moved` is inside its range and further than END from where its sigmoid is flat."""
    share = (start - low) / (high - low)
    held = share.clamp(MARGIN, 1 - MARGIN)
    place, least, most = torch.logit(held), (held - share).clamp(min=END), (held - share + 1).clamp(max=1 - END)
    return (torch.logit(least) - place).clamp(max=0), (torch.logit(most) - place).clamp(min=0)


def _moved(
    start: Float[Tensor, "1 n"], offset: Float[Tensor, "rows n"], low: Float[Tensor, " n"], high: Float[Tensor, " n"]
) -> Float[Tensor, "rows n"]:
    place = torch.logit(((start - low) / (high - low)).clamp(MARGIN, 1 - MARGIN))
    value = start + (high - low) * (torch.sigmoid(place + offset) - torch.sigmoid(place))
    # A start within MARGIN of an end can leave the range by as much; the value is held, the gradient is not.
    return straight_through(torch.minimum(torch.maximum(value, low), high), value)
