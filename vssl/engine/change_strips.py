"""Pictures of an operation on some images: as they are, and as strong as "more" of it makes it."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vssl.engine.record_files import pixels
from vssl.engine.sweep_strips import altered, reduced
from vssl.views.changes import Change
from vssl.views.ops import Magnitude
from vssl.views.recipes import Recipe
from vssl.views.view_plan import AREA, FLIP, ViewPlan

AS_IT_IS, WEAK, STRONG = "as it is", "weak", "strong"
_WORDS = {0.0: AS_IT_IS, 0.5: WEAK, 1.0: STRONG}


@torch.no_grad()
def change_strips(
    change: Change, recipe: Recipe, images: Float[Tensor, "images 3 height width"]
) -> tuple[list[str], UInt8[np.ndarray, "images strip side side 3"]]:
    """What each picture of a strip shows, and the strip of each image.

    "strong" is the far end of the range that "more" draws from, "weak" half-way to it. An operation that works in two
    directions, as brightness does, is shown in both. All other operations are at rest.
    """
    plan = next(plan for plan in recipe.plans if change.has(plan))
    if change.name == FLIP:
        whole = reduced(altered(images, plan.size, AREA, torch.ones_like(images[:, 0, 0, 0])))
        return [AS_IT_IS, "mirrored"], pixels(torch.stack([whole, whole.flip(3)], dim=1))
    moved = _moved(change, plan)
    both_ways = any(low < magnitude.identity < high for magnitude, low, high in moved)
    shares = [-1.0, -0.5, 0.0, 0.5, 1.0] if both_ways else [0.0, 0.5, 1.0]
    strips = []
    for share in shares:
        views = images
        for magnitude, low, high in moved:
            value = magnitude.identity + abs(share) * (_end(magnitude, low, high, share) - magnitude.identity)
            views = altered(views, plan.size, magnitude, torch.full_like(images[:, 0, 0, 0], value))
        strips.append(reduced(views))
    return [_WORDS[abs(share)] for share in shares], pixels(torch.stack(strips, dim=1))


def _moved(change: Change, plan: ViewPlan) -> list[tuple[Magnitude, float, float]]:
    """What the change moves, each with the range that "more" of it draws from."""
    if change.by == "strength":
        magnitude = next(magnitude for magnitude in plan.magnitudes if magnitude.name == change.name)
        low, high = change.numbers(plan, "more")
        return [(magnitude, low, high)]
    return [(gated.op, gated.low, gated.high) for gated in plan.ops if gated.gate_name == change.name]


def _end(magnitude: Magnitude, low: float, high: float, share: float) -> float:
    if low < magnitude.identity < high:
        return low if share < 0 else high
    return max((low, high), key=lambda end: abs(end - magnitude.identity))
