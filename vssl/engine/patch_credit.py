"""What hidden patches are worth at the end of a run with a `TokenMask`, as maps over the panel's images."""

from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.designers import TokenMask
from vssl.designers.base import Construction
from vssl.distributed import alone, rank_and_size
from vssl.draws import Draws
from vssl.engine.designer_parts import part_of
from vssl.engine.designer_update import DesignerUpdate
from vssl.engine.record_files import pixels, save_arrays
from vssl.engine.record_images import panel_images
from vssl.value.credit import credit
from vssl.value.products import mean_gradient

FILE = "patch_credit.npz"
MASKS = 16  # draws of masks that a map is the mean of


def record_patch_credit(loop, work_dir: Path, images: int) -> None:
    """Write the file at the end of a run that trained a `TokenMask` by credit; nothing otherwise.

    All ranks call it, for a sharded trunk works on all of them together; they do the same, and the first one writes. It
    holds the first view of each image, and maps over its patches: ``credit``, the mean over masks of ⟨v, ∇L⟩ where
    the patch was hidden, less the image's mean (NaN: never hidden), ``odds`` of being hidden and ``weight`` where it
    is, both with mean 1 over the image. The value is that of a step on the panel, under the last g_down.

    Args:
        images: of the panel.
    """
    update = loop.designer_update
    if part_of(loop.designer, TokenMask) is None or not isinstance(update, DesignerUpdate) or update.g_down is None:
        return
    writes = rank_and_size()[0] == 0
    panel, _ = panel_images(loop, images)
    with alone(), torch.no_grad():
        made = loop.designer(panel, Draws(loop.seed, "patch credit views", device=loop.device))
        rows, columns = loop.learner.student.grid(made.views.global_crops[0])
        maps = {"credit": _credit(update, made, loop).unflatten(1, (rows, columns))}
    if not writes:
        return
    for name, of in (("odds", made.views.patch_scores), ("weight", made.views.patch_weights)):
        if of is not None:
            given = of[0].exp() if name == "odds" else of[0]
            maps[name] = (given / given.mean(1, keepdim=True)).unflatten(1, (rows, columns))
    arrays = {name: of.cpu().numpy() for name, of in maps.items()}
    save_arrays(work_dir / FILE, {"views": pixels(made.views.global_crops[0]), **arrays})


def _credit(update: DesignerUpdate, made: Construction, loop) -> Float[Tensor, "images patches"]:
    objective, aligned = update.learner.objective, update.learner.student.aligned_parameters()
    draws = [Draws(loop.seed, "patch credit objective", number, device=loop.device) for number in range(MASKS)]
    g_pre = mean_gradient(update.step_gradient(made, d.of_part(0, 1), loop.autocast) for d in draws)
    v = update.rule(update.g_down, g_pre, update.preconditioner).v
    n, batch = made.views.global_crops.shape[:2]
    rows, columns = update.learner.student.grid(made.views.global_crops[0])
    total, count = (torch.zeros(n * batch * rows * columns, device=loop.device) for _ in range(2))
    objective.adopt(**made.for_objective)
    for number in draws:
        state = update.begin(made.views, number, loop.autocast)
        earned = credit(partial(update.patch_losses, state), aligned, v)
        for name, predicted in objective.predicted_patches(state).items():
            total.index_add_(0, predicted, earned[name])
            count.index_add_(0, predicted, torch.ones_like(earned[name]))
    maps = (total / count).view(n, batch, -1)[0]  # NaN where a patch was never hidden
    return maps - maps.nanmean(1, keepdim=True)
