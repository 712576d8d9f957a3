"""One of several gloo ranks, started by torchrun: ``two_ranks.py CONFIG WORK_DIR``.

Trains, and writes what every rank holds afterwards to WORK_DIR/ranks.pt.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from vssl.distributed import process_group, rank_and_size
from vssl.engine import load_config
from vssl.engine.training import build_runner


def main(config: Path, work_dir: Path) -> None:
    torch.set_num_threads(1)
    with process_group("pytorch"):
        runner = build_runner(load_config(config), work_dir, seed=0, launcher="pytorch")
        with runner.claim:
            runner.train()
        held = [None] * rank_and_size()[1]
        loop = runner.train_loop
        dist.all_gather_object(held, {"designer": loop.designer.state_dict(), "learner": loop.learner.state_dict()})
        if rank_and_size()[0] == 0:
            torch.save(held, work_dir / "ranks.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
