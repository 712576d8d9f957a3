"""The most memory that a run's steps hold, each run in a fresh process: for ``overhead --memory``."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config

from vssl.engine.hooks import peak_memory_mb
from vssl.engine.step_cost import LEARNER, stepped
from vssl.processes import end_with_parent

# Of each kind: the first steps make the optimizer's moments, and views differ in what they need.
LEARNER_STEPS, META_STEPS = 5, 3
_LATE = ("mmcv", "matplotlib.pyplot", "torch.utils.tensorboard")
"""What a run imports when it is built; here it comes before, so that it does not count."""


class StepMemory(NamedTuple):
    """MiB above what the process held before the run was built.

    On a CPU they are of resident memory: learner, optimizer, teacher, batches, activations, labeled images that the
    feedback keeps, and what the allocator does not give back. On a GPU they are of allocated memory. Later numbers
    include earlier ones, since a process keeps what it held.

    learner: after learner steps alone.
    whole: after meta steps too; the same without a designer.
    """

    learner: float
    whole: float


def measure_memory(load: Callable[[], Config], device: torch.device, seed: int) -> StepMemory:
    """Of the run that `load` (which must be picklable) gives, in a new process.

    Raises:
        MemoryError: the process was ended from outside.
        What building the run raises.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        try:
            return pool.submit(_measure, load, device, seed).result()
        except BrokenProcessPool as error:
            raise MemoryError("the process of a run was ended, as it is where memory runs out") from error


def _measure(load: Callable[[], Config], device: torch.device, seed: int) -> StepMemory:
    set_start_method("fork", force=True)  # what mmengine sets for a run, with a warning where another one is set
    config = load()
    for name in _LATE:
        with suppress(ImportError):  # TensorBoard is an extra
            import_module(name)
    before = _peak_mb(device)
    with tempfile.TemporaryDirectory(prefix="vssl-memory-") as folder, stepped(config, Path(folder), seed) as run:
        for _ in range(LEARNER_STEPS):
            run.take(LEARNER)
        learner = _peak_mb(device) - before
        for kind in run.known:
            for _ in range(0 if kind == LEARNER else META_STEPS):
                run.take(kind)
        return StepMemory(learner, _peak_mb(device) - before)


def _peak_mb(device: torch.device) -> float:
    """Linux counts what the parent held among what `getrusage` gives for a child, and not in VmHWM."""
    status = Path("/proc/self/status")
    if device.type == "cuda" or not status.is_file():
        return peak_memory_mb(device)
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10
