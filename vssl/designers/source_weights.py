"""`SourceWeights`: which sources of the unlabeled stream count, learned by credit or by rollouts."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction
from vssl.designers.ingredient import Ingredient, times
from vssl.designers.source_shares import (
    are_those_of,
    check_shares,
    check_weighs_images,
    sourced,
    unless_equal,
    weights_of_sources,
)
from vssl.draws import Draws
from vssl.views.recipes import Recipe


class SourceWeights(Ingredient):
    """The recipe's views, and a learned weight for the images of each source of an `UnlabeledMixture`.

    Source k is a share p_k of the stream. Its images get the weight exp(φ_k) / Σ_j p_j·exp(φ_j), so the mean weight of
    the stream is 1, and the source has the share q_k = p_k · weight of the loss. φ = 0 is the recipe, to the last bit.
    In expectation an image of weight w is one that comes w times as often. With `resample` it does: the stream of the
    learner's steps follows q, and weights make up for what it does not follow yet. So no time is spent on images that
    count little. Meta steps see the stream as the config has it. In a config::

        designer = dict(type=SourceWeights, sources=dict(streets=0.7, web=0.3), resample=True)

    With ``value.horizon=0`` φ follows the credit of the images of each source relative to their batch, above 0 the
    rollouts.

    Args:
        sources: by name, the share of the stream that each source is, as the mixture has it; checked before the run.
        bound: |φ| stays within log(`bound`): no source gets more than `bound`² times another's weight. Above 1.
        entropy: weight of the Kullback-Leibler divergence of q from p, 0 or more.
        resample: whether the stream follows; else weights alone do it, and `learned_shares` are for another run.

    Raises:
        ValueError: fewer than two sources, or a number outside its range.
    """

    def __init__(
        self,
        recipe: Recipe,
        sources: Mapping[str, float],
        bound: float = 3.0,
        entropy: float = 0.0,
        resample: bool = False,
    ):
        super().__init__(recipe)
        if not isinstance(sources, Mapping) or len(sources) < 2 or not all(share > 0 for share in sources.values()):
            raise ValueError(f"SourceWeights sources={sources}: two or more by name, each with a share above 0")
        if not bound > 1 or not entropy >= 0:
            raise ValueError(f"SourceWeights: bound={bound} must be above 1 and entropy={entropy} 0 or more")
        names = sorted(sources)  # as the mixture numbers them
        self.shares = {name: sources[name] / sum(sources.values()) for name in names}
        self.limit, self.entropy, self.resample = math.log(bound), entropy, resample
        self.shift = nn.Parameter(torch.zeros(len(names)))

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError when the objective has one loss for the whole batch."""
        check_weighs_images(self, objective)

    def add(self, made: Construction, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        log_share, log_start = self._log_shares()
        found = sourced(images, self.shares, "SourceWeights sources")
        if not self.shift.any():
            check_shares(found, self.shares, "SourceWeights sources")
        now = self.shares if are_those_of(found, self.shares) else found.shares
        weights = weights_of_sources(found, log_share.exp(), now)
        return replace(
            made,
            penalty=made.penalty + self.entropy * (log_share.exp() * (log_share - log_start)).sum(),
            statistics=made.statistics
            | {
                f"source_share/{name}": share for name, share in zip(self.shares, log_share.detach().exp(), strict=True)
            },
            weights=times(made.weights, weights),
            image_weights=unless_equal(weights.detach()),
        )

    def _log_shares(self) -> tuple[Float[Tensor, " sources"], Float[Tensor, " sources"]]:
        """log q and log p."""
        log_start = self.shift.new_tensor(list(self.shares.values())).log()
        return (log_start + self.shift).log_softmax(0), log_start

    def learned_shares(self) -> dict[str, float]:
        """q: by name, the share of the loss that each source has. `vssl.datasets.save_shares` writes them to a file."""
        return dict(zip(self.shares, self._log_shares()[0].detach().exp().tolist(), strict=True))

    def stream_shares(self) -> dict[str, float] | None:
        return self.learned_shares() if self.resample else None

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Any]:
        return {"sources": self.learned_shares()}

    def learned_numbers(self) -> tuple[list[dict[str, str]], list[nn.Parameter]]:
        return [{"group": "sources", "name": name, "end": "weight"} for name in self.shares], [self.shift]

    @torch.no_grad()
    def project(self) -> None:
        self.shift.clamp_(-self.limit, self.limit)
