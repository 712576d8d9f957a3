"""Ranks: the few collective operations that the method needs, and a start that also works on CPUs."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.distributed.nn.functional import all_gather, all_reduce

Tensors = TypeVar("Tensors", bound=Sequence[Tensor])

# Keys of the group's store, which a restart of torchrun's may share with the attempt before it.
_ATTEMPT = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
_FAILURE, _HEARD = f"vssl/failure/{_ATTEMPT}", f"vssl/heard/{_ATTEMPT}"
LOOK = 1.0  # seconds between two looks for another rank's failure
PATIENCE = 10.0  # seconds until a rank that waits for one that has failed is ended


class OtherRankFailed(ValueError):
    """Another rank ended with an error; the message is that rank's."""


@contextmanager
def process_group(launcher: str) -> Iterator[None]:
    """Run the block in the process group of ``torchrun`` (``"pytorch"``) or ``srun`` (``"slurm"``), in none for
    ``"none"``; leave the group once every rank is through. A group that was there before stays.

    nccl on GPUs, else gloo. mmengine's Runner would join later than the data are dealt out to ranks, and fails without
    a GPU; it finds the group in place.

    An interpreter that exits inside a gloo group is now and then aborted ("terminate called without an active
    exception"), and torchrun then reports a finished run as failed. An error of one rank ends all of them.

    Raises:
        OtherRankFailed: in place of what a collective operation says when the rank at its other end is gone.
    """
    joined_before = dist.is_initialized()
    if not (launcher == "none" or joined_before):
        if launcher == "slurm":
            _read_slurm()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if joined_before or not dist.is_initialized():
        yield
        return
    store = dist.distributed_c10d._get_default_store()  # outlives the group, on the rank that has it
    rank, size = rank_and_size()
    try:
        with _failing_together(store, rank) if size > 1 else nullcontext():
            yield
            dist.barrier()
    finally:
        leave_group()
        if rank == 0 and size > 1 and _failure(store) is not None:
            _await_heard(store, size)


@contextmanager
def _failing_together(store: dist.Store, rank: int) -> Iterator[None]:
    """An error of one rank, told to the others through the store, for they may wait for that rank.

    With gloo they notice by their connections that it is gone; with nccl they would wait for minutes. Stopping at a
    signal is no error: ranks agree on that.
    """
    ended = threading.Event()
    # a connection of its own: whoever waits for a key keeps the other one
    watch = threading.Thread(target=_end_with_others, args=(store.clone(), ended), daemon=True)
    watch.start()
    try:
        yield
    except Exception as error:
        other = _failure(store)
        if other is None:
            kind = "" if isinstance(error, (ValueError, OSError, FloatingPointError)) else f"{type(error).__name__}: "
            told = "\n".join([f"rank {rank}: {kind}{error}", *getattr(error, "__notes__", ())])
            with suppress(RuntimeError):  # rank 0, which has the store, is gone
                store.compare_set(_FAILURE, "", told)
        _has_heard(store)
        if other is not None and isinstance(error, RuntimeError):
            raise OtherRankFailed(other) from error
        raise
    finally:
        ended.set()
        watch.join(PATIENCE)


def _end_with_others(store: dist.Store, ended: threading.Event) -> None:
    """In a thread: end this process when another rank has failed and this one still waits for it."""
    while not ended.wait(LOOK):
        if (other := _failure(store)) is not None and not ended.wait(PATIENCE):
            print(f"error: {other}", file=sys.stderr, flush=True)
            _has_heard(store)
            os._exit(1)


def _failure(store: dist.Store) -> str | None:
    """What a rank told before it ended; None when there is nothing, or the store went with rank 0."""
    with suppress(RuntimeError):
        return store.get(_FAILURE).decode() if store.check([_FAILURE]) else None
    return None


def _has_heard(store: dist.Store) -> None:
    with suppress(RuntimeError):
        store.add(_HEARD, 1)


def _await_heard(store: dist.Store, size: int) -> None:
    """On the rank that has the store: until all have heard of a failure, or ought to have."""
    until = time.monotonic() + 2 * PATIENCE
    with suppress(RuntimeError):  # torchrun, which may have the store, is gone
        while store.add(_HEARD, 0) < size and time.monotonic() < until:
            time.sleep(0.05)


def leave_group() -> None:
    """Leave the process group.

    On torch 2.6 `destroy_process_group` waits for gloo's threads while it holds the GIL, which a thread needs to drop
    the tensors of the last message: both may wait for ever. The pause gives them the GIL before.
    """
    time.sleep(0.1)
    dist.destroy_process_group()


def _read_slurm() -> None:
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


def average(tensors: Tensors) -> Tensors:
    """Replace every tensor by its mean over ranks, in place, with one message; returns them."""
    if rank_and_size()[1] == 1:
        return tensors
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
    return tensors


def gather(rows: Float[Tensor, "rows dim"]) -> tuple[Float[Tensor, "all_rows dim"], int]:
    """(the rows of all ranks in rank order, where this rank's begin); ranks must hold equally many rows.

    Differentiable: the gradient flows back to the rank that made a row, summed over the ranks that use it.
    """
    rank, size = rank_and_size()
    return (rows, 0) if size == 1 else (torch.cat(all_gather(rows)), rank * len(rows))


def total(tensor: Tensor) -> Tensor:
    """The sum over ranks, differentiable as `gather` is."""
    return tensor if rank_and_size()[1] == 1 else all_reduce(tensor)


def largest(tensor: Tensor) -> Tensor:
    """The elementwise maximum over ranks, detached."""
    tensor = tensor.detach().clone()
    if rank_and_size()[1] > 1:
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor


def any_rank(value: int) -> int:
    """The largest value of any rank; collective with several ranks, else `value` itself."""
    if rank_and_size()[1] == 1:
        return value
    largest = torch.tensor(value, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest.item())
