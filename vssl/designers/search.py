"""`CandidateSearch`: tries constructions and keeps those that are worth most, without differentiating the views.

It works for ops that have no gradient at all and checks the designers that use gradients. Each magnitude of the
recipe has a few strengths to choose from; a candidate is one choice for each, drawn from a categorical distribution.
The value of each candidate's step tells the distribution which choices to favour (score function with a baseline).
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.designers.base import Construction
from vssl.designers.candidates import CandidateDesigner
from vssl.draws import Draws
from vssl.views.recipes import Recipe
from vssl.views.view_plan import WINDOW, Distribution, Numbers, ViewPlan


class CandidateSearch(CandidateDesigner):
    """Search over the strengths of a recipe's magnitudes by value alone.

    A strength t moves the range of a magnitude to identity + t·(range − identity), held inside what the op allows,
    and the probability of the op's gate to t·probability, at most 1; t = 1 is the recipe. A gate that several ops share
    follows the largest of their strengths. All views share the choices.

    Args:
        recipe: where the search starts.
        strengths: the choices for each magnitude; 1 must be one of them.
        learn: names of the magnitudes to search over; None for all. The others keep strength 1.
        keep_best: make the learner's views with the best candidate of the last update, instead of drawing choices
            from the distribution for each image.
        seed: of the choices that are proposed.
        learning_rate: step of the logits along the score-function estimate, whose values are standardised.

    Raises:
        ValueError: strengths without 1, negative ones, or a learning rate that is not positive.
    """

    def __init__(
        self,
        recipe: Recipe,
        strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0),
        learn: tuple[str, ...] | None = None,
        keep_best: bool = False,
        learning_rate: float = 0.3,
        seed: int = 0,
    ):
        super().__init__(recipe)
        if 1.0 not in strengths or not all(0 <= t < math.inf for t in strengths):
            raise ValueError(f"strengths={strengths} must be 0 or more and include 1, the recipe itself")
        if not learning_rate > 0:
            raise ValueError(f"learning_rate={learning_rate} must be positive")
        known = list(dict.fromkeys(m.name for plan in recipe.plans for m in plan.magnitudes))
        if learn is not None and (unknown := set(learn) - set(known)):
            raise ValueError(f"cannot search over {sorted(unknown)}: the recipe has the magnitudes {known}")
        self.names = [name for name in known if learn is None or name in learn]
        self.keep_best, self.learning_rate, self.seed = keep_best, learning_rate, seed
        self.logits = nn.Parameter(torch.zeros(len(self.names), len(strengths)))
        self.strengths: Tensor
        self.best: Tensor
        self.proposals: Tensor
        self.register_buffer("strengths", torch.tensor(strengths), persistent=False)
        self.register_buffer("best", torch.full((len(self.names),), strengths.index(1.0)))
        self.register_buffer("proposals", torch.zeros((), dtype=torch.int64))  # saved, so that a resumed run goes on
        self._proposed: Int[Tensor, "candidates magnitudes"] | None = None

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        numbers = [plan.draw(len(images), draws) for plan in self.recipe.plans]
        uniform = draws.uniform(len(images), len(self.names))
        choices = self.best.unsqueeze(0) if self.keep_best else self._choices(uniform)
        return self._construct(images, numbers, choices)

    def begin_search(self, n: int) -> int:
        """n choices from the distribution, the same on every rank.

        Raises:
            ValueError: fewer than two candidates, which leaves nothing to compare.
        """
        if n < 2:
            raise ValueError(f"n={n}: a search compares at least two candidates")
        uniform = Draws(self.seed, "candidates", int(self.proposals)).uniform(n, len(self.names))
        self.proposals += 1
        self._proposed = self._choices(uniform.to(self.logits.device))
        return n

    def candidate(self, number: int, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        numbers = [plan.draw(len(images), draws) for plan in self.recipe.plans]
        proposed = self._proposed[number]  # type: ignore[index]  # there from `begin_search` on
        return self._construct(images, numbers, proposed.unsqueeze(0))

    def names_of_candidates(self) -> list[str]:
        strengths = self.strengths[self._proposed].tolist()
        return [" ".join(f"{n} {t:g}" for n, t in zip(self.names, row, strict=True)) for row in strengths]

    @torch.no_grad()
    def update(self, values: Float[Tensor, " candidates"]) -> None:
        """Moves the distribution towards the candidates of the last `begin_search` that were worth more.

        The score-function estimate of the gradient of the expected value, with the other candidates' mean as each
        one's baseline, on values divided by their standard deviation.

        Raises:
            ValueError: there is no proposal, not one value per candidate, or a value is not finite.
        """
        if self._proposed is None or len(values) != len(self._proposed):
            expected = "a call of begin_search first" if self._proposed is None else f"{len(self._proposed)} values"
            raise ValueError(f"update got {len(values)} values; it needs {expected}")
        if not values.isfinite().all():
            raise ValueError(f"values of candidates must be finite, got {values.tolist()}")
        values, choices = values.to(self.logits), self._proposed
        n = len(values)
        advantages = (values - values.mean()) * (n / (n - 1)) / values.std().clamp(min=1e-12)
        chosen = nn.functional.one_hot(choices, len(self.strengths)).to(self.logits)
        score = chosen - self.logits.softmax(dim=1)
        self.logits.add_(self.learning_rate * (advantages.view(-1, 1, 1) * score).mean(0))
        self.best.copy_(choices[values.argmax()])
        self._proposed = None

    @torch.no_grad()
    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Any]:
        """``strengths``: the choices for each magnitude, their probabilities and the mean strength."""
        means, choices = self.expected_strengths(), self.strengths.tolist()
        return {
            "strengths": [
                {"name": name, "choices": choices, "probabilities": p, "mean": means[name]}
                for name, p in zip(self.names, self.logits.softmax(dim=1).tolist(), strict=True)
            ]
        }

    def expected_strengths(self) -> dict[str, float]:
        """Mean strength of each magnitude under the distribution."""
        means = (self.logits.detach().softmax(dim=1) * self.strengths).sum(dim=1)
        return dict(zip(self.names, means.tolist(), strict=True))

    def _choices(self, uniform: Float[Tensor, "rows magnitudes"]) -> Int[Tensor, "rows magnitudes"]:
        cumulative = self.logits.detach().softmax(dim=1).cumsum(dim=1)
        return (uniform.unsqueeze(2) >= cumulative).sum(dim=2).clamp(max=len(self.strengths) - 1)

    def _strengths_of(
        self, plan: ViewPlan, choices: Int[Tensor, "rows magnitudes"]
    ) -> Float[Tensor, "rows plan_magnitudes"]:
        strengths = self.strengths.new_ones(len(choices), len(plan.magnitudes))
        for column, magnitude in enumerate(plan.magnitudes):
            if magnitude.name in self.names:
                strengths[:, column] = self.strengths[choices[:, self.names.index(magnitude.name)]]
        return strengths

    @torch.no_grad()
    def _construct(
        self, images: Tensor, numbers: list[Numbers], choices: Int[Tensor, "rows magnitudes"]
    ) -> Construction:
        distributions = [_scaled(plan, self._strengths_of(plan, choices)) for plan in self.recipe.plans]
        strengths = {f"search/{name}": torch.tensor(value) for name, value in self.expected_strengths().items()}
        return Construction(self.recipe.make(images, numbers, distributions), images.new_zeros(()), strengths)


def _scaled(plan: ViewPlan, strengths: Float[Tensor, "rows magnitudes"]) -> Distribution:
    """The plan's distribution with each magnitude at a strength."""
    base = plan.distribution(strengths.device)
    identity, low, high = strengths.new_tensor([(m.identity, m.low, m.high) for m in plan.magnitudes]).unbind(1)

    def moved(end: Tensor) -> Tensor:
        value = torch.lerp(identity, end, strengths)  # exact at strength 1 and 0
        return torch.minimum(torch.maximum(value, low), high)

    largest = [strengths.new_ones(len(strengths))]  # of the flip, which has no strength
    for gate in range(1, len(plan.gates)):
        behind = [len(WINDOW) + op for op, column in enumerate(plan.gate_columns) if column == gate]
        largest.append(strengths[:, behind].amax(dim=1))
    probability = (base.probability * torch.stack(largest, dim=1)).clamp(max=1)
    return Distribution(moved(base.low), moved(base.high), probability)
