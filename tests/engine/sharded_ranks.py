"""Trains configs on several gloo ranks: ``sharded_ranks.py FOLDER``, for every config FOLDER/RANKS/NAME.py.

Ranks are forked, so that what takes longest, importing, happens once. A run is in FOLDER/RANKS/NAME, with how many
numbers each rank holds of each weight in held.pt. Where a config has ``_left_at = N``, the run is left after so many
steps, and resumed with the config's ``_then`` as `sharding`.
"""

import os
import socket
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes

from vssl.distributed import process_group
from vssl.engine import load_config
from vssl.engine.training import build_runner
from vssl.learner.own_parts import own_part


class Left(Exception):
    """The run was left on purpose."""


def main(folder: Path) -> None:
    for ranks in map(int, sorted(os.listdir(folder))):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        start_processes(train, (ranks, port, folder / str(ranks)), ranks, start_method="fork")


def train(rank: int, ranks: int, port: int, folder: Path) -> None:
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=ranks, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    os.environ.update({key: str(value) for key, value in place.items()})
    torch.set_num_threads(1)
    with process_group("pytorch"):
        for path in sorted(folder.glob("*.py")):
            config, work_dir = load_config(path), folder / path.stem
            if left_at := config.get("_left_at"):
                train_until(left_at, config, work_dir)
                config.sharding = config["_then"]
            runner = build_runner(config, work_dir, seed=0, launcher="pytorch", resume=bool(left_at))
            with runner.claim:
                runner.train()
            held = [None] * ranks
            dist.all_gather_object(held, {n: own_part(p).numel() for n, p in runner.learner.named_parameters()})
            if rank == 0:
                torch.save(held, work_dir / "held.pt")


def train_until(step: int, config, work_dir: Path) -> None:
    runner = build_runner(config, work_dir, seed=0, launcher="pytorch")
    loop, ordinary = runner.train_loop, runner.train_loop.run_iter

    def run_iter(progress: float) -> None:
        if loop.step == step:
            raise Left
        ordinary(progress)

    loop.run_iter = run_iter
    try:
        with runner.claim:
            runner.train()
    except Left:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
