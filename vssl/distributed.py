"""Ranks: the few collective operations that the method needs, and a start that also works on CPUs."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


def start(launcher: str) -> None:
    """Join the process group of ``torchrun`` (``"pytorch"``) or ``srun`` (``"slurm"``); nothing for ``"none"``.

    With GPUs mmengine's Runner does this itself (nccl). Without, it fails in `torch.cuda.set_device`, so that gloo is
    started here first and the Runner finds the group in place.
    """
    if launcher == "none" or dist.is_initialized() or torch.cuda.is_available():
        return
    if launcher == "slurm":
        nodes = os.environ["SLURM_NODELIST"]
        os.environ.setdefault(
            "MASTER_ADDR", subprocess.check_output(["scontrol", "show", "hostname", nodes], text=True).split()[0]
        )
        os.environ.setdefault("MASTER_PORT", "29500")
        os.environ.update(
            WORLD_SIZE=os.environ["SLURM_NTASKS"],
            RANK=os.environ["SLURM_PROCID"],
            LOCAL_RANK=os.environ.get("SLURM_LOCALID", "0"),
        )
    dist.init_process_group("gloo")


def rank_and_size() -> tuple[int, int]:
    """(this rank, number of ranks); (0, 1) without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


@contextmanager
def alone() -> Iterator[None]:
    """For work of one rank that the others do not take part in: collective operations inside are over this rank alone.

    mmengine's metrics, samplers and Runner ask torch.distributed by themselves; on one rank of several they would wait
    for the others, or share the images with them.
    """
    world = dist.group.WORLD if dist.is_initialized() else None
    dist.group.WORLD = None
    try:
        yield
    finally:
        dist.group.WORLD = world


def average(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Replace every tensor by its mean over ranks, in place, with one message; returns them."""
    if rank_and_size()[1] == 1:
        return tensors
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
    return tensors
