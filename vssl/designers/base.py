"""The designer φ: it turns a batch of images into the views that the objective sees."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.views.crops import Views
from vssl.views.recipes import Recipe


@dataclass
class Construction:
    """c_φ(B_u): the constructed views and what the loop needs beside them.

    penalty: the designer's regularisers, already weighted; a scalar with a graph to φ.
    statistics: scalars for the log, e.g. ``{"mask/mean": ...}``; detached.
    mask: μ per global crop, 1 keeps the pixel and 0 blurs it; None for designers without a mask.
    loss_weights: how much each component of the objective's loss counts; None for the objective's own weights.
    mask_ratio: share of the patches that the objective hides; None for the objective's own.
    learned_weights: the same with a graph to φ; None for designers that do not learn them.
    weights: they weight the images in the loss of a meta step, with a graph to φ. Of a designer that draws for each
        image: ones, with the gradient of the log-likelihood of what was drawn (`vssl.views.gates.likelihood_weights`).
    image_weights: they weight the images in the loss of a learner step; detached. None: all count alike.
    """

    views: Views
    penalty: Float[Tensor, ""]
    statistics: dict[str, Tensor] = field(default_factory=dict)
    mask: Float[Tensor, "views batch 1 height width"] | None = None
    weights: Float[Tensor, " batch"] | None = None
    image_weights: Float[Tensor, " batch"] | None = None
    loss_weights: Mapping[str, float] | None = None
    mask_ratio: float | None = None
    learned_weights: Mapping[str, Float[Tensor, ""]] | None = None

    @property
    def for_objective(self) -> dict[str, Any]:
        """What `Objective.adopt` takes."""
        return {"loss_weights": self.loss_weights, "mask_ratio": self.mask_ratio}


class Designer(nn.Module):
    """Base class: a fixed recipe, and in subclasses learned parameters φ that change what it makes.

    A designer sees images, never labels. The same `images` and `draws` give the same base views whatever φ is, so
    that views before and after a designer step, or of two arms, can be compared.
    """

    learns_from_values: bool = False
    """Whether φ learns from values of whole constructions, as a `CandidateDesigner` does, and not by a gradient."""

    seed: int = 0
    """Of what a designer draws beside its views; the run sets its own."""

    scores_patches: bool = False
    """Whether its views have `patch_scores`."""

    by_rollouts_alone: bool = False
    """Whether φ has no gradient, so that only the value of H learner steps (``value.horizon``) can move it."""
    adversarial: bool = False
    """Whether patch scores follow the loss of the patches, not their credit: a rival that asks no labels."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        raise TypeError(f"{type(self).__name__} does not say how it constructs views")

    def attach(self, learner: nn.Module) -> None:
        """Called once, before everything else, with the `Learner` that is trained. Designers that look at the batch
        alone, as those of images do, need nothing of it."""

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError when what this designer constructs means nothing to `objective`. Most suit any."""

    def trials(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Iterator[Construction]:
        """One construction of each kind that this designer can make, to be tried before a run."""
        yield self(images, draws)

    def stream_shares(self) -> Mapping[str, float] | None:
        """By name, the shares in which the sources of an `UnlabeledMixture` should come from now on; None: as they do.

        The loop asks after each meta step.
        """
        return None

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Any]:
        """What the views of `images` are drawn from now, as plain values for ``policy.jsonl``; empty: nothing to tell.

        The policy page reads ``views`` (`PolicyDesigner.describe`) and ``strengths`` (`CandidateSearch.describe`).
        """
        return {}

    def learned_numbers(self) -> tuple[list[dict[str, str]], list[nn.Parameter]]:
        """The numbers of φ that mean something one by one: their labels, and the parameters that hold them in order.

        A run records the gradient of each. Where there are none, as in a network, it records the norm alone.
        """
        return [], []

    def project(self) -> None:
        """Called after each optimizer step: takes φ back to where it has an effect. Most designers need nothing."""


class Identity(Designer):
    """No designer: the recipe's views as they are. The fixed-recipe baseline."""

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        return Construction(self.recipe(images, draws), penalty=torch.zeros((), device=images.device))
