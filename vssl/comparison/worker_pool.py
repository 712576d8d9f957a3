"""Processes that do runs side by side, each with workers of its own."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, set_start_method
from multiprocessing.queues import Queue

from vssl import progress
from vssl.comparison.workers import Workers, default_workers
from vssl.processes import end_with_parent

_workers: Workers  # of this process, made once: its probes keep their decoded images


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end with this one and say here what they do. What is submitted finds `own_workers`."""
    context = get_context("spawn")  # a fork would copy the locks of torch's threads
    queue = context.Queue()
    with (
        progress.receiving(queue),
        ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare, initargs=(queue,)) as pool,
    ):
        yield pool


def own_workers() -> Workers:
    """Those of this process of a pool."""
    return _workers


def _prepare(queue: Queue) -> None:
    global _workers
    end_with_parent()
    progress.send_to(queue)
    set_start_method("fork", force=True)  # as mmengine's Runner sets it, with a warning, in a spawned one
    _workers = default_workers()
