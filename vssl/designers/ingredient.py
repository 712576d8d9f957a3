"""What designers of other things than views have in common: they add to a construction, whoever made its views."""

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.designers.base import Construction, Designer
from vssl.draws import Draws


class Ingredient(Designer):
    """Base class. Alone it adds to the recipe's views; in `Together` to those of another designer."""

    def forward(self, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        return self.add(Construction(self.recipe(images, draws), torch.zeros((), device=images.device)), images, draws)

    def add(self, made: Construction, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        """`made` with what this designer decides, its penalty and its statistics."""
        raise TypeError(f"{type(self).__name__} does not say what it adds")


def times(weights: Float[Tensor, " batch"] | None, more: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Weights of images that two designers learn from: ones with the gradient of a likelihood, or weights."""
    return more if weights is None else weights * more
