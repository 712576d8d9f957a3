"""Runs side by side in several processes, for budgets that do not depend on the neighbours."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed

from vssl.comparison.execute import execute
from vssl.comparison.plan import Arm, Comparison, run_order
from vssl.comparison.workers import Workers, default_workers
from vssl.processes import end_with_parent

_workers: Workers  # of this process, made once: its probes keep their decoded images


def execute_in_jobs(comparison: Comparison, workers: Workers, jobs: int, arms: list[str] | None = None) -> None:
    """As `execute`, with the runs shared out among `jobs` processes after the start checkpoint is there.

    An arm and those that take their steps or designer from it run in one process, one after the other.

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
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare) as pool:
        running = [pool.submit(_run, comparison, group, seed) for group, seed in shares(comparison, arms)]
        try:
            for share in as_completed(running):
                share.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # those under way finish, as their processes cannot be told apart
            raise


def shares(comparison: Comparison, arms: list[str] | None = None) -> list[tuple[list[str], int]]:
    """(arms, seed) that have to run in one process, in the order in which they are begun."""
    asked = {name: arm for name, arm in comparison.arms.items() if arms is None or name in arms}
    found: dict[tuple[str, int], list[str]] = {}
    for name, seed in run_order(comparison.arms, comparison.seeds):
        if name in asked:
            found.setdefault((_first(asked[name], asked), seed), []).append(name)
    return [(group, seed) for (_, seed), group in found.items()]


def _first(arm: Arm, asked: dict[str, Arm]) -> str:
    """The arm that this one waits for in the end; itself when it waits for none that is to be run."""
    for other in sorted(arm.follows):
        if other in asked:
            return _first(asked[other], asked)
    return arm.name


def _prepare() -> None:
    global _workers
    end_with_parent()
    _workers = default_workers()


def _run(comparison: Comparison, arms: list[str], seed: int) -> None:
    execute(comparison, _workers, arms, [seed])
