"""What single images of the unlabeled set are worth at the end of a run: the credit of each one's loss."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.datasets.stream import images_of
from vssl.designers.base import Construction
from vssl.distributed import average, rank_and_size
from vssl.draws import Draws
from vssl.engine.designer_update import DesignerUpdate
from vssl.value.credit import credit
from vssl.value.products import mean_gradient


def image_credits(loop, indices: list[int]) -> tuple[list[int], Float[Tensor, " images"]] | None:
    """(the images that were looked at, ⟨v, ∇L⟩ of each one's loss less their mean).

    The value is that of a step on all these images in the recipe's views, under the last g_down. All ranks take part,
    each with its share of the images, in batches as large as those of meta steps.

    Returns:
        None where there is no g_down: no designer was trained, or one by rollouts.
    """
    update = loop.designer_update
    if not isinstance(update, DesignerUpdate) or update.g_down is None or not loop.learner.objective.weighs_images:
        return None
    rank, ranks = rank_and_size()
    size = min(loop.meta_stream.batch_size * ranks, len(indices) // ranks * ranks)
    looked_at = indices[: len(indices) // size * size]
    batches = [looked_at[first : first + size] for first in range(0, len(looked_at), size)]
    update.learner.objective.adopt()
    made = [_views(loop, batch[rank::ranks], number) for number, batch in enumerate(batches)]
    g_pre = mean_gradient(update.step_gradient(views, draws, loop.autocast) for views, draws in made)
    v = update.rule(update.g_down, g_pre, update.preconditioner).v
    weights = update.learner.objective.component_weights()
    found = torch.zeros(len(looked_at), device=loop.device)
    for number, (construction, draws) in enumerate(made):
        with torch.no_grad():
            state = update.begin(construction.views, draws.of_part(0, 1), loop.autocast)
        parts = credit(partial(update.components, state), update.learner.student.aligned_parameters(), v)
        own = torch.stack([weights[name] * of.reshape(len(of), -1).mean(1) for name, of in parts.items()]).sum(0)
        found[number * size + rank : (number + 1) * size : ranks] = own
    found = average([found])[0] * ranks
    return looked_at, (found - found.mean()).cpu()


def _views(loop, indices: list[int], number: int) -> tuple[Construction, Draws]:
    """The recipe's views of some images, and the random numbers of the objective."""
    rank, ranks = rank_and_size()
    views, objective = (
        Draws(loop.seed, f"image credit {purpose} {number}", 0, rank, ranks, loop.device)
        for purpose in ("views", "objective")
    )
    with torch.no_grad():
        made = loop.designer.recipe(images_of(loop.stream.dataset, indices, loop.device), views)
    return Construction(made, torch.zeros((), device=loop.device)), objective
