"""Designers that learn the augmentation policy: one for the whole stream, or one that looks at each image."""

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer
from vssl.designers.drawn_numbers import drawn_numbers
from vssl.designers.regularisers import PolicyPenalty
from vssl.draws import Draws
from vssl.views.gates import likelihood_weights
from vssl.views.recipes import Recipe
from vssl.views.view_plan import Distribution
from vssl.views.view_policy import Offsets, PolicySpace


class PolicyDesigner(Designer):
    """Base of both: offsets for each group of views, from which the views are drawn.

    At its start it makes the recipe's views, bit for bit for the same draws.

    Args:
        recipe: where the policy starts.
        learn: names of magnitudes and gates that may move, None for all; see `PolicySpace`.
        per_view: let each global crop have its own policy.
        divergence, entropy: weights of the penalties in `PolicyPenalty`; 0 is off.
        centres: whether the centres of the magnitudes' ranges move; False fixes them and learns the widths alone,
            i.e. how much of an op there is; that keeps the noise of a few updates from shifting
            e.g. all hues to one side.
        gates: how their probabilities learn. "score": from each image's share of the value (`likelihood_weights`).
            "straight_through": from a relaxed Bernoulli (`sample_gates`); less noise, and a bias that can have the
            wrong sign. "fixed": they stay as they are.
        temperature: of the relaxed Bernoulli.

    Raises:
        ValueError: another word for `gates`.
    """

    def __init__(
        self,
        recipe: Recipe,
        learn: tuple[str, ...] | None = None,
        per_view: bool = False,
        divergence: float = 0.0,
        entropy: float = 0.0,
        centres: bool = True,
        gates: Literal["score", "straight_through", "fixed"] = "score",
        temperature: float = 0.5,
    ):
        super().__init__(recipe)
        if gates not in ("score", "straight_through", "fixed"):
            raise ValueError(f"gates={gates!r}; choose 'score', 'straight_through' or 'fixed'")
        self.space = PolicySpace(recipe, learn, per_view)
        self.regulariser = PolicyPenalty(divergence, entropy)
        self.centres = centres
        self.gates, self.temperature = gates, temperature if gates == "straight_through" else None

    def offsets(self, images: Float[Tensor, "batch 3 height width"]) -> list[Offsets]:
        """The learned offsets of each group."""
        return [self._split(row, group) for group, row in enumerate(self.rows(images))]

    def rows(self, images: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "rows numbers"]]:
        """For each group, and for all images or each: centres and spreads of the magnitudes, probabilities of gates."""
        raise TypeError(f"{type(self).__name__} does not say how it makes its policy")

    def _split(self, row: Float[Tensor, "rows numbers"], group: int) -> Offsets:
        # Centre and spread, not low and high: most ops are asked for more or for less, which is then one number.
        magnitudes, gates = self.space.sizes(group)
        centre, spread, probability = row.split([magnitudes, magnitudes, gates], dim=1)
        if not self.centres:
            centre = torch.zeros_like(centre)
        if self.gates == "fixed":
            probability = torch.zeros_like(probability)
        return Offsets(centre - spread, centre + spread, probability)

    def distributions(self, images: Float[Tensor, "batch 3 height width"]) -> list[Distribution]:
        """What each view's magnitudes and gates are drawn from."""
        with torch.autocast(images.device.type, enabled=False):
            offsets = self.offsets(images.float())
            return [self.space.distribution(v, offsets[group]) for v, group in enumerate(self.space.group_of_view)]

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        distributions, weights = self.distributions(images), None
        numbers = [plan.draw(len(images), draws) for plan in self.recipe.plans]
        if self.gates == "score" and torch.is_grad_enabled():
            for drawn, distribution in zip(numbers, distributions, strict=True):
                own = likelihood_weights(drawn.gates, distribution.probability)
                weights = own if weights is None else weights * own  # the views of an image share its loss
        views = self.recipe.make(images, numbers, distributions, self.temperature)
        penalty = self.regulariser(self.recipe.plans, distributions)
        return Construction(views, penalty, self._statistics(distributions), weights=weights)

    @torch.no_grad()
    def as_recipe(self, images: Float[Tensor, "batch 3 height width"]) -> Recipe:
        """The policy as a fixed recipe; one that looks at images is averaged over the given ones."""
        plans = []
        for plan, distribution in zip(self.recipe.plans, self.distributions(images), strict=True):
            plans.append(plan.at(Distribution(*(d if len(d) == 1 else d.mean(0, keepdim=True) for d in distribution))))
        split = len(self.recipe.global_plans)
        return Recipe(plans[:split], plans[split:])

    @torch.no_grad()
    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Any]:
        """``views``: the numbers and gates of each kind of view, at the start and now (`drawn_numbers`)."""
        return {"views": drawn_numbers(self.recipe, self.space, self.distributions(images))}

    def _statistics(self, distributions: list[Distribution]) -> dict[str, Tensor]:
        """Mean range and probability of each number, from the first view of each group."""
        statistics = {}
        for group, name in enumerate(self.space.group_names):
            view = self.space.group_of_view.index(group)
            plan, (low, high, probability) = self.recipe.plans[view], (d.detach().mean(0) for d in distributions[view])
            for i, magnitude in enumerate(plan.magnitudes):
                statistics[f"policy/{name}/{magnitude.name}/low"] = low[i]
                statistics[f"policy/{name}/{magnitude.name}/high"] = high[i]
            for i, gate in enumerate(plan.gates):
                statistics[f"policy/{name}/{gate}/probability"] = probability[i]
        return statistics


class GlobalPolicy(PolicyDesigner):
    """One learned distribution for the whole stream: few parameters, the most data-efficient designer.

    Its parameters are offsets in logits: the centre and the spread of each magnitude's two ends, and each gate's
    probability. Adam moves each by about the learning rate a step: 1e-2 takes a number a quarter of its range in 100
    steps, and the mask designers' 1e-4 would take 10 000.
    """

    def __init__(self, recipe: Recipe, **settings):
        super().__init__(recipe, **settings)
        rows = [torch.zeros(1, 2 * m + g) for m, g in map(self.space.sizes, self.space.groups)]
        self.raw = nn.ParameterList(nn.Parameter(row) for row in rows)

    def rows(self, images: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "1 numbers"]]:
        return list(self.raw)

    def learned_numbers(self) -> tuple[list[dict[str, str]], list[nn.Parameter]]:
        """Offsets in logits: of one ``end`` ("centre" or "spread" of the two ends of a magnitude's range, or
        "probability") of one ``name`` in one ``group``."""
        labels = []
        for group in self.space.groups:
            plan = self.recipe.plans[self.space.group_of_view.index(group)]
            names = [magnitude.name for magnitude in plan.magnitudes]
            ends = [("centre", names), ("spread", names), ("probability", plan.gates)]
            group_name = self.space.group_names[group]
            labels += [{"group": group_name, "name": name, "end": end} for end, of in ends for name in of]
        return labels, list(self.raw)

    @torch.no_grad()
    def project(self) -> None:
        """Offsets that went on where their numbers were at an end of their range come back to where they act.

        Without it φ winds up there, and a gradient that turns inward changes nothing for as many steps.
        """
        for group, row in enumerate(self.raw):
            offsets = self._split(row, group)
            low, high, probability = self.space.hold(offsets, group)
            if self.centres:
                centre, spread = (low + high) / 2, (high - low) / 2
            else:  # the spread moves both ends: it acts as long as one of them does
                widest, narrowest = torch.maximum(-low, high), torch.minimum(-low, high)
                centre, spread = torch.zeros_like(low), torch.where(offsets.high > 0, widest, narrowest)
            row.copy_(torch.cat([centre, spread, probability], dim=1))


class InstancePolicy(PolicyDesigner):
    """A small convolutional network that chooses magnitudes and gates for each image and each group of views.

    Its last layer starts at 0, so that it starts as the recipe; the layers before it move from the second designer
    step on.

    Args:
        width: channels of the first layer; each of the three further layers doubles them, up to 4·width.
        input_size: side to which images are reduced before the network looks at them, pixels.
    """

    def __init__(self, recipe: Recipe, width: int = 16, input_size: int = 32, **settings):
        super().__init__(recipe, **settings)
        self.input_size = input_size
        widths = [3, width, 2 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for into, out in pairwise(widths):
            layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.GroupNorm(min(8, out), out), nn.GELU()]
        self.network = nn.Sequential(*layers)
        sizes = [2 * m + g for m, g in map(self.space.sizes, self.space.groups)]
        self.heads = nn.ModuleList(nn.Linear(widths[-1], size) for size in sizes)
        for head in self.heads:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def rows(self, images: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch numbers"]]:
        small = F.adaptive_avg_pool2d(images, self.input_size)
        features = self.network((small - 0.5) / 0.25).mean(dim=(2, 3))
        return [head(features) for head in self.heads]
