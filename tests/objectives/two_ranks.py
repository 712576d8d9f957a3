"""One of two gloo ranks, started by test_distributed.py: ``two_ranks.py RANK FOLDER``.

Each rank holds half of the rows in FOLDER/whole.pt and writes what it computes to FOLDER/rank<RANK>.pt.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from vssl.distributed import leave_group
from vssl.learner import TimmBackbone
from vssl.objectives import DINO
from vssl.objectives.simclr import nt_xent


def main(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    whole = torch.load(folder / "whole.pt", weights_only=True)
    # Rows are dealt to ranks as vssl.draws.Draws deals them: row i here is row 2·i + rank of the whole batch.
    first, second = (whole[name][rank::2].clone().requires_grad_() for name in ("first", "second"))
    loss = nt_xent(first, second, temperature=0.2).mean()
    gradient = torch.autograd.grad(loss, [first, second], create_graph=True)
    along = sum((g * whole[f"v_{name}"][rank::2]).sum() for g, name in zip(gradient, ("first", "second"), strict=True))
    second_derivative = torch.autograd.grad(along, [first, second])

    backbone = TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, img_size=16, embed_dim=16, depth=1, num_heads=2)
    dino = DINO(backbone, n_local_crops=0, out_dim=4, hidden_dim=8, bottleneck_dim=4)
    dino.update({"teacher_mean": whole["teacher_logits"][rank::2].mean(0)})

    torch.save(
        {
            "loss": loss.detach(),
            "gradient": [g.detach() for g in gradient],
            "second_derivative": list(second_derivative),
            "center": dino.center,
        },
        folder / f"rank{rank}.pt",
    )
    leave_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
