"""`TokenMask`: which patches are hidden, learned by the credit of each hidden patch."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer
from vssl.draws import Draws
from vssl.views.recipes import Recipe


class TokenMask(Designer):
    """The recipe's views, and a learned score for each of their patches; a patch of higher score is hidden more often.

    A small convolutional network looks at each view. The objective draws its mask without replacement, with
    exp(score) as the odds of each patch (`vssl.objectives.patch_masks.random_mask`). How many are hidden stays its own
    affair. The last layer starts at 0: until φ moves, the masks are the objective's own, to the last bit.

    φ follows the credit of each hidden patch relative to its view (`vssl.value.credit.worth_of_scores`) with
    ``value.horizon=0``, above 0 the rollouts. In a config::

        designer = dict(type=TokenMask, patch_size=8)

    Args:
        patch_size: the backbone's, pixels.
        bound: a score stays within ±log(`bound`): no patch has more than `bound`² times the odds of another one of its
            view. Above 1.
        entropy: weight of the mean Kullback-Leibler divergence of a view's odds from equal ones, 0 or more.
        width: channels of the first layer; the second has twice as many.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, recipe: Recipe, patch_size: int, bound: float = 3.0, entropy: float = 0.0, width: int = 16):
        super().__init__(recipe)
        if not bound > 1 or not entropy >= 0:
            raise ValueError(f"TokenMask: bound={bound} must be above 1 and entropy={entropy} 0 or more")
        self.limit, self.entropy = math.log(bound), entropy
        self.network = nn.Sequential(
            nn.Conv2d(3, width, patch_size, stride=patch_size),
            nn.GroupNorm(1, width),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.GroupNorm(1, 2 * width),
            nn.GELU(),
        )
        self.head = nn.Conv2d(2 * width, 1, 1, bias=False)  # a bias would cancel in the odds
        nn.init.zeros_(self.head.weight)

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError when the objective does not draw its masks by scores."""
        if not objective.takes_patch_scores:
            raise ValueError(
                f"TokenMask scores the patches that are hidden, {type(objective).__name__} does not ask for scores; "
                "give another designer, or MAE as objective"
            )

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        views = self.recipe(images, draws)
        rows = self.head(self.network((views.global_crops.flatten(0, 1) - 0.5) / 0.25)).flatten(1)
        scores = self.limit * torch.tanh(rows)
        log_odds = scores.log_softmax(1)
        divergence = (log_odds.exp() * (log_odds + math.log(scores.shape[1]))).sum(1).mean()
        lowest, highest = scores.detach().aminmax()
        return Construction(
            views=replace(views, patch_scores=scores.unflatten(0, views.global_crops.shape[:2])),
            penalty=self.entropy * divergence,
            statistics={"patch_score/min": lowest, "patch_score/max": highest},
        )
