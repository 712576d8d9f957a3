"""`LossWeights`: what is predicted, as weights of the loss's components, learned by credit or by rollouts."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction
from vssl.designers.ingredient import Ingredient
from vssl.draws import Draws
from vssl.views.recipes import Recipe


class LossWeights(Ingredient):
    """The recipe's views, and a learned weight for each component of the objective's loss.

    The weights are a softmax over log(start) + φ, times the sum of the start's: φ = 0 is the objective as the config
    has it, to the last bit. In a config, with ``objective.target`` of two kinds::

        designer = dict(type=LossWeights, components=dict(pixels=1.0, hog=1.0))

    With ``value.horizon=0`` φ follows the credit of each component (`vssl.value.credit`), above 0 the rollouts.
    `save_loss_weights` writes what was learned to a file, of which `SavedLossWeights` makes a fixed recipe.

    Args:
        components: by component of the loss, its weight in the objective's config, above 0.
        bound: |φ| stays within log(`bound`): no weight gets more than `bound`² times as large relative to another as
            it was. Above 1.
        entropy: weight of the Kullback-Leibler divergence of the weights from the start's, 0 or more.

    Raises:
        ValueError: fewer than two components, or a number outside its range.
    """

    def __init__(self, recipe: Recipe, components: Mapping[str, float], bound: float = 10.0, entropy: float = 0.0):
        super().__init__(recipe)
        if len(components) < 2 or not all(weight > 0 for weight in components.values()):
            raise ValueError(
                f"LossWeights components={dict(components)}: two or more components, each with a weight above 0"
            )
        if not bound > 1 or not entropy >= 0:
            raise ValueError(f"LossWeights: bound={bound} must be above 1 and entropy={entropy} 0 or more")
        self.start = {name: float(components[name]) for name in sorted(components)}
        self.limit, self.entropy = math.log(bound), entropy
        self.shift = nn.Parameter(torch.zeros(len(components)))

    def add(self, made: Construction, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        log_share, log_start = self._log_shares()
        weights = self._weights(log_share)
        return replace(
            made,
            penalty=made.penalty + self.entropy * (log_share.exp() * (log_share - log_start)).sum(),
            statistics=made.statistics | {f"weight/{name}": weight.detach() for name, weight in weights.items()},
            loss_weights=self.learned(),
            learned_weights=weights,
        )

    def learned(self) -> dict[str, float]:
        """By component, what it counts now. `save_loss_weights` writes it to a file."""
        if not self.shift.any():  # the start itself, not what is left of it after a logarithm and a softmax
            return dict(self.start)
        return {name: weight.item() for name, weight in self._weights(self._log_shares()[0]).items()}

    def _log_shares(self) -> tuple[Float[Tensor, " components"], Float[Tensor, " components"]]:
        """Logarithms of the present shares of all weights, and of the start's."""
        log_start = self.shift.new_tensor([math.log(weight) for weight in self.start.values()]).log_softmax(0)
        return (log_start + self.shift).log_softmax(0), log_start

    def _weights(self, log_share: Float[Tensor, " components"]) -> dict[str, Float[Tensor, ""]]:
        return dict(zip(self.start, log_share.exp() * sum(self.start.values()), strict=True))

    def learned_numbers(self) -> tuple[list[dict[str, str]], list[nn.Parameter]]:
        return [{"group": "loss", "name": name, "end": "weight"} for name in self.start], [self.shift]

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError unless the start's weights are what the objective's components count without a designer."""
        weights, started = objective.component_weights(), {}
        if weights.keys() == self.start.keys():
            objective.weigh(self.start)
            started = objective.component_weights()
            objective.weigh(None)
        if any(abs(started.get(name, 0.0) - weight) > 1e-6 * weight for name, weight in weights.items()):
            raise ValueError(
                f"LossWeights components={self.start}, but the objective's components weigh {dict(weights)}"
            )

    @torch.no_grad()
    def project(self) -> None:
        self.shift.clamp_(-self.limit, self.limit)
