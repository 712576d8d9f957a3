"""`MaskRatio`: how much of an image is hidden, learned by rollouts."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer, Identity
from vssl.draws import Draws
from vssl.parts import build_part
from vssl.views.recipes import Recipe


class MaskRatio(Designer):
    """The views of the recipe or of another designer, and a learned share of hidden patches.

    The share is low + (high − low)·sigmoid(start + scale·φ), with φ = 0 at the objective's own ``mask_ratio``, to the
    last bit. Which patches are hidden stays random. A number of patches has no gradient, so φ follows rollouts. In a
    config::

        designer = dict(type=MaskRatio, start=0.6, designer=dict(type=GlobalPolicy))
        value.update(horizon=20)

    Args:
        start: the objective's ``mask_ratio``.
        bounds: (low, high) that the share stays between, in [0, 1].
        scale: logits per unit of φ. Perturbations are as large for all of φ (``value.sigma``); a policy's numbers are
            logits, and one of a share of patches moves less by as much.
        designer: of the views, learned along by rollouts; None for the recipe's.

    Raises:
        ValueError: `start` not between the bounds, `scale` not above 0, or a designer of candidates.
    """

    by_rollouts_alone = True

    def __init__(
        self,
        recipe: Recipe,
        start: float,
        bounds: tuple[float, float] = (0.1, 0.95),
        scale: float = 5.0,
        designer: Mapping | None = None,
    ):
        super().__init__(recipe)
        low, high = bounds
        if not 0 <= low < start < high <= 1 or not scale > 0:
            raise ValueError(
                f"MaskRatio: start={start} must lie between bounds={tuple(bounds)}, which are in [0, 1], and "
                f"scale={scale} above 0"
            )
        self.start, self.low, self.span, self.scale = start, low, high - low, scale
        self.logit = math.log((start - low) / (high - start))
        self.views = build_part(designer or {"type": Identity}, Designer, "MaskRatio: designer", recipe)
        if self.views.learns_from_values:
            raise ValueError(
                f"MaskRatio: designer {type(self.views).__name__} learns from values of its own candidates; give one "
                "with parameters, or options of Choice with a mask_ratio"
            )
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        made = self.views(images, draws)
        made.mask_ratio = self.mask_ratio
        made.statistics |= {"mask_ratio": self.shift.new_tensor(made.mask_ratio)}
        return made

    @property
    def mask_ratio(self) -> float:
        """The share of hidden patches at present."""
        return self._ratio_at(float(self.shift.detach()))

    def _ratio_at(self, shift: float) -> float:
        return self.low + self.span / (1 + math.exp(-self.logit - self.scale * shift)) if shift else self.start

    def trials(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Iterator[Construction]:
        """Also the least and the most that φ can come to: an image of few patches may have none left then."""
        yield self(images, draws)
        for shift in (-10 / self.scale, 10 / self.scale):
            yield replace(self(images, draws), mask_ratio=self._ratio_at(shift))

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError unless the objective hides the share `start`."""
        if (own := objective.own_mask_ratio()) is None or abs(own - self.start) > 1e-9:
            raise ValueError(f"MaskRatio start={self.start}, but {type(objective).__name__} hides {own}")
        self.views.check(objective)

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Any]:
        return self.views.describe(images)

    def project(self) -> None:
        """Keeps φ where the sigmoid still moves, and the views' φ where theirs has an effect."""
        with torch.no_grad():
            self.shift.clamp_(-10 / self.scale, 10 / self.scale)
        self.views.project()
