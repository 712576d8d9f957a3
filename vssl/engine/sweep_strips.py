"""Sweep strips: one image with each magnitude of a recipe moved through its range, everything else at rest."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vssl.draws import Draws
from vssl.views.ops import Magnitude, Op
from vssl.views.recipes import Recipe
from vssl.views.window import Window, resample

# Where the window's other numbers stand while one of them is swept: x and y need room to move in.
_AT_REST = {"area": 0.35, "log_ratio": 0.0, "x": 0.5, "y": 0.5}
_MAX_SIDE = 96


@torch.no_grad()
def sweep_strips(
    recipe: Recipe, image: Float[Tensor, "3 height width"], steps: int = 9
) -> dict[str, tuple[Float[Tensor, " steps"], Float[Tensor, "steps 3 side side"]]]:
    """For each magnitude by name: values from the low to the high end of its range, and the image at each.

    Ops see the image at the size of the recipe's views (a blur's σ is in their pixels); strips are then reduced to at
    most 96 pixels a side.
    """
    strips = {}
    for plan in recipe.plans:
        for magnitude in plan.magnitudes:
            if magnitude.name in strips:
                continue
            values = torch.linspace(magnitude.low, magnitude.high, steps, device=image.device)
            images = image.expand(len(values), -1, -1, -1)
            strips[magnitude.name] = values, reduced(altered(images, plan.size, magnitude, values))
    return strips


def altered(
    images: Float[Tensor, "batch 3 height width"], size: int, magnitude: Magnitude, values: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Views of whole images with one magnitude at a value for each; of a window's number, with the others at rest."""
    if isinstance(magnitude, Op):
        whole = Window(*(torch.full_like(values, v) for v in (1.0, 0.0, 0.5, 0.5)))
        views = resample(images, whole, size)
        noise = None
        if magnitude.noise is not None:  # the same random numbers at every value
            one = magnitude.noise(Draws(0, "sweep", device=images.device), 1, (size, size))
            noise = one.expand(len(values), *one.shape[1:])
        return magnitude(views, values, noise).clamp(0, 1)
    rest = {name: torch.full_like(values, value) for name, value in _AT_REST.items()}
    return resample(images, Window(**rest | {magnitude.name: values}), size)


def reduced(views: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch 3 side side"]:
    """At most 96 pixels a side."""
    return views if views.shape[-1] <= _MAX_SIDE else F.adaptive_avg_pool2d(views, _MAX_SIDE)
