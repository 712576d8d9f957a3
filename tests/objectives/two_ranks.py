"""One of two gloo ranks, started by test_distributed.py: ``two_ranks.py RANK FOLDER``.

Each rank holds half of the rows in FOLDER/whole.pt and writes what it computes to FOLDER/rank<RANK>.pt.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from vssl.distributed import average, leave_group
from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.learner import Learner
from vssl.objectives import OBJECTIVES
from vssl.objectives.simclr import nt_xent
from vssl.views.crops import Views


def one_step(name: str, whole: dict, rank: int = 0, world_size: int = 1) -> dict:
    """Loss and gradient, averaged over ranks, of one learner step, and the objective's buffers after it."""
    torch.manual_seed(0)
    kind, size = OBJECTIVES[name], {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
    backbone = TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **size).double()
    local = {"n_local_crops": 1} if kind.takes_local_crops else {}
    learner = Learner(backbone, kind(backbone, **kind.small(16), **local).double())
    crops, small = (whole[name][:, rank::world_size] for name in ("crops", "local_crops"))
    crops = crops[: learner.objective.n_global_crops]
    draws = Draws(0, "objective", 0, rank, world_size)
    boxes = [whole[name][:, rank::world_size] for name in ("boxes", "local_boxes")]
    views = Views(crops, small if local else None, *(boxes if local else boxes[:1]))
    if kind.takes_patch_scores:  # a designer says which patches are hidden and which count
        maps = (whole[name][: len(crops), rank::world_size] for name in ("patch_scores", "patch_weights"))
        views = replace(views, **dict(zip(("patch_scores", "patch_weights"), maps, strict=True)))
    loss, state = learner(views, draws)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    gradient = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    learner.update_teacher(state, progress=0.0)
    mean_loss, *gradient = average([loss.detach().clone(), *(g.clone() for g in gradient)])
    return {"loss": mean_loss, "gradient": gradient, "buffers": dict(learner.objective.named_buffers())}


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    whole = torch.load(folder / "whole.pt", weights_only=True)
    # Rows are dealt to ranks as vssl.draws.Draws deals them: row i here is row 2·i + rank of the whole batch.
    first, second = (whole[name][rank::2].clone().requires_grad_() for name in ("first", "second"))
    loss = nt_xent(first, second, temperature=0.2).mean()
    gradient = torch.autograd.grad(loss, [first, second], create_graph=True)
    along = sum((g * whole[f"v_{name}"][rank::2]).sum() for g, name in zip(gradient, ("first", "second"), strict=True))
    second_derivative = torch.autograd.grad(along, [first, second])

    torch.save(
        {
            "loss": loss.detach(),
            "gradient": [g.detach() for g in gradient],
            "second_derivative": list(second_derivative),
            "steps": {name: one_step(name, whole, rank, 2) for name in OBJECTIVES},
        },
        folder / f"rank{rank}.pt",
    )
    leave_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
