"""Seeds side by side: one process runs all arms of its seeds."""

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor, wait

from vssl.comparison.execute import execute
from vssl.comparison.plan import Comparison
from vssl.comparison.workers import Workers, default_workers


def execute_in_jobs(comparison: Comparison, workers: Workers, jobs: int, arms: list[str] | None = None) -> None:
    """As `execute`, with the seeds dealt to `jobs` processes after the start checkpoint is there.

    All arms of a seed run in one process, one after the other, so that pairs see the same neighbours.

    Raises:
        ValueError: fewer than one job, or a budget in elapsed seconds, which processes side by side would take from
            each other.
    """
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected 1 or more")
    for arm in comparison.arms.values():
        if arm.budget and "seconds" in arm.budget and arm.budget.get("clock") != "processor":
            raise ValueError(
                f"arm {arm.name!r} has a budget in elapsed seconds, which runs side by side take from each other; use "
                "budget=dict(seconds=S, clock='processor') or --jobs 1"
            )
    execute(comparison, workers, arms=[])
    shares = [comparison.seeds[job::jobs] for job in range(min(jobs, len(comparison.seeds)))]
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads' locks
    with ProcessPoolExecutor(len(shares), mp_context=context, initializer=_leave_interrupts_to_the_parent) as pool:
        running = [pool.submit(_run_seeds, comparison, arms, seeds) for seeds in shares]
        wait(running)
        for share in running:
            share.result()


def _run_seeds(comparison: Comparison, arms: list[str] | None, seeds: list[int]) -> None:
    execute(comparison, default_workers(), arms, seeds)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
