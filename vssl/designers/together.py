"""`Together`: views, masks of patches, weights of the loss and weights of images, learned together."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer, Identity
from vssl.designers.image_weights import ImageWeights
from vssl.designers.ingredient import Ingredient
from vssl.designers.loss_weights import LossWeights
from vssl.designers.source_weights import SourceWeights
from vssl.designers.token_mask import TokenMask
from vssl.draws import Draws
from vssl.parts import build_part
from vssl.views.recipes import Recipe

IDENTITY = {"type": Identity}


class Together(Designer):
    """One designer makes the views; the others add what they decide. All follow one value, in one meta step.

    In a config::

        designer = dict(
            type=Together,
            views=dict(type=GlobalPolicy, learn=("hue",)),
            patches=dict(type=TokenMask, patch_size=8),
            loss=dict(type=LossWeights, components=dict(pixels=1.0, hog=1.0)),
            images=dict(type=SourceWeights, sources=dict(streets=0.7, web=0.3)),
        )
        designer_learning_rates = dict(patches=1e-3)

    Args:
        recipe: where all of them start.
        views: a designer of views and its settings; None for the recipe's views.
        patches: `TokenMask` or `SavedTokenMask`. It looks at the views that were made.
        loss: `LossWeights` or `SavedLossWeights`.
        images: `ImageWeights` or `SourceWeights`. They look at the images.

    Raises:
        ValueError: fewer than two of them, another type, or views from values of candidates.
    """

    def __init__(
        self,
        recipe: Recipe,
        views: Mapping | None = None,
        patches: Mapping | None = None,
        loss: Mapping | None = None,
        images: Mapping | None = None,
    ):
        super().__init__(recipe)
        given = {"views": views, "patches": patches, "loss": loss, "images": images}
        if sum(node is not None for node in given.values()) < 2:
            raise ValueError(
                f"Together has {sum(node is not None for node in given.values())} of {', '.join(given)}; give two or "
                "more, or the designer itself"
            )
        self.views = build_part(views or IDENTITY, Designer, "Together: views", recipe)
        if self.views.learns_from_values or self.views.by_rollouts_alone or isinstance(self.views, Ingredient):
            raise ValueError(f"Together: views={type(self.views).__name__}; give a designer of views with a gradient")
        kinds: dict[str, type | tuple[type, ...]] = {
            "patches": TokenMask,
            "loss": LossWeights,
            "images": (ImageWeights, SourceWeights),
        }
        self.added = []
        for name, kind in kinds.items():
            if (node := given[name]) is not None:
                part = build_part(node, Ingredient, f"Together: {name}", recipe)
                if not isinstance(part, kind):
                    raise ValueError(f"Together: {name}={type(part).__name__} is a designer of something else")
                setattr(self, name, part)
                self.added.append(name)
        self.scores_patches = any(part.scores_patches for part in self._parts())
        self.adversarial = any(part.adversarial for part in self._parts())

    def _parts(self) -> list[Designer]:
        return [self.views, *(getattr(self, name) for name in self.added)]

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        made = self.views(images, draws)
        for name in self.added:
            made = getattr(self, name).add(made, images, draws)
        return made

    def attach(self, learner: nn.Module) -> None:
        for part in self._parts():
            part.attach(learner)

    def check(self, objective: nn.Module) -> None:
        for part in self._parts():
            part.check(objective)

    def stream_shares(self) -> Mapping[str, float] | None:
        return next((shares for part in self._parts() if (shares := part.stream_shares()) is not None), None)

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Any]:
        return {key: told for part in self._parts() for key, told in part.describe(images).items()}

    def learned_numbers(self) -> tuple[list[dict[str, str]], list[nn.Parameter]]:
        numbers = [part.learned_numbers() for part in self._parts()]
        return [of for labels, _ in numbers for of in labels], [p for _, of_part in numbers for p in of_part]

    def project(self) -> None:
        for part in self._parts():
            part.project()
