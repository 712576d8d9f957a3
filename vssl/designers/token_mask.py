"""`TokenMask`: which patches are hidden and which of them count, learned by the credit of each hidden patch."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction
from vssl.designers.ingredient import Ingredient
from vssl.draws import Draws
from vssl.views.recipes import Recipe

LEARNS = ("hidden", "counted")


class TokenMask(Ingredient):
    """The recipe's views, and learned numbers for each of their patches.

    A small convolutional network looks at each global crop. What it says of a patch is one or both of:

    - ``"hidden"``: a score. The objective hides patches with exp(score) as their odds: single patches (MAE, iBOT,
      DINOv2, DINOv3), blocks by the mean score of their patches (the same with ``mask="block"``), or target blocks
      (I-JEPA). How many are hidden stays its own affair.
    - ``"counted"``: a weight of the patch's loss where it is hidden, relative to its view's other hidden patches.

    The last layer starts at 0: until φ moves, masks and loss are the objective's own, to the last bit.

    With ``value.horizon=0`` scores follow the credit of each hidden patch relative to its view
    (`vssl.value.credit.worth_of_scores`), and weights the exact derivative of the value; above 0 both follow the
    rollouts. In a config::

        designer = dict(type=TokenMask, patch_size=8, learns=("hidden", "counted"))

    Args:
        patch_size: the backbone's, pixels.
        learns: some of `LEARNS`.
        adversarial: scores follow the patches' loss: what is hard to predict is hidden more often, whatever the labels
            say. That is the game of ADIOS (Shi et al. 2022, arXiv 2201.13100) at a fixed number of hidden patches, as a
            rival of credit. With ``learns=("hidden",)`` and ``value.horizon=0``.
        bound: a score or the logarithm of a weight stays within ±log(`bound`): no patch has more than `bound`² times
            the odds, or the weight, of another one of its view. Above 1.
        entropy: weight of the mean Kullback-Leibler divergence of a view's odds, and of its weights as shares, from
            equal ones; 0 or more.
        width: channels of the first layer; the second has twice as many.

    Raises:
        ValueError: a number outside its range, or something else to learn.
    """

    def __init__(
        self,
        recipe: Recipe,
        patch_size: int,
        learns: Sequence[str] = ("hidden",),
        adversarial: bool = False,
        bound: float = 3.0,
        entropy: float = 0.0,
        width: int = 16,
    ):
        super().__init__(recipe)
        if not bound > 1 or not entropy >= 0:
            raise ValueError(f"TokenMask: bound={bound} must be above 1 and entropy={entropy} 0 or more")
        if not learns or isinstance(learns, str) or set(learns) - set(LEARNS):
            raise ValueError(f"TokenMask learns={learns!r}: give one or both of {LEARNS}")
        if adversarial and tuple(learns) != ("hidden",):
            raise ValueError(f"TokenMask: adversarial=True is of what is hidden alone, but learns={tuple(learns)}")
        self.settings = {"patch_size": patch_size, "learns": list(learns), "bound": bound, "width": width}
        """What else is needed to make of the weights the same masks."""
        self.learns = [what for what in LEARNS if what in learns]
        self.scores_patches = "hidden" in self.learns
        self.adversarial, self.limit, self.entropy = adversarial, math.log(bound), entropy
        self.network = nn.Sequential(
            nn.Conv2d(3, width, patch_size, stride=patch_size),
            nn.GroupNorm(1, width),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.GroupNorm(1, 2 * width),
            nn.GELU(),
        )
        self.head = nn.Conv2d(2 * width, len(self.learns), 1, bias=False)  # a bias would cancel in odds and shares
        nn.init.zeros_(self.head.weight)

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError when the objective does not draw its masks by scores."""
        if not objective.takes_patch_scores:
            raise ValueError(
                f"TokenMask scores the patches that are hidden, {type(objective).__name__} does not ask for scores; "
                "give another designer, or as objective IBOT, DINOv2, DINOv3, IJEPA, MAE with mask='random' or "
                "'block', or an ObjectiveMix of some of them"
            )

    def add(self, made: Construction, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        views = made.views
        rows = self.head(self.network((views.global_crops.flatten(0, 1) - 0.5) / 0.25)).flatten(2)
        maps = dict(zip(self.learns, (self.limit * torch.tanh(rows)).unbind(1), strict=True))
        log_shares = [of.log_softmax(1) for of in maps.values()]
        divergence = sum((log.exp() * (log + math.log(log.shape[1]))).sum(1).mean() for log in log_shares)
        statistics: dict[str, Tensor] = {}
        of_patches, shape = {}, views.global_crops.shape[:2]
        if "hidden" in maps:
            of_patches["patch_scores"] = maps["hidden"].unflatten(0, shape)
            statistics |= _ends("patch_score", maps["hidden"])
        if "counted" in maps:
            weights = maps["counted"].exp()
            of_patches["patch_weights"] = weights.unflatten(0, shape)
            statistics |= _ends("patch_weight", weights)
        return replace(
            made,
            views=replace(views, **of_patches),
            penalty=made.penalty + self.entropy * divergence,
            statistics=made.statistics | statistics,
        )


def _ends(name: str, of: Tensor) -> dict[str, Tensor]:
    lowest, highest = of.detach().aminmax()
    return {f"{name}/min": lowest, f"{name}/max": highest}
