"""Runs side by side in several processes, for budgets that do not depend on the neighbours."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from vssl import progress
from vssl.comparison.calibration import needs_calibration
from vssl.comparison.execute import Execution, check_sources
from vssl.comparison.plan import Arm, Comparison, run_order
from vssl.comparison.workers import Workers, default_workers
from vssl.processes import end_with_parent

_workers: Workers  # of this process, made once: its probes keep their decoded images


def execute_in_jobs(
    comparison: Comparison,
    workers: Workers,
    jobs: int,
    arms: list[str] | None = None,
    after_each: Callable[[], None] = lambda: None,
) -> None:
    """As `execute`, with the runs shared out among `jobs` processes after the start checkpoint is there.

    An arm and those that take their steps or designer from it run in one process, one after the other. Arms are timed
    against the baseline before the first run and after the last, as many side by side as runs are.

    Args:
        after_each: called in this process whenever a share of the runs is done.

    Raises:
        ValueError: fewer than one job, or a budget in elapsed seconds, which processes side by side would take from
            each other.
    """
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected 1 or more")
    for arm in comparison.arms.values():
        if "seconds" in arm.budget and arm.budget.get("clock") != "processor":
            raise ValueError(
                f"arm {arm.name!r} has a budget in elapsed seconds, which runs side by side take from each other; use "
                "budget=dict(baseline_steps=N), budget=dict(seconds=S, clock='processor') or --jobs 1"
            )
    places = {pair: place for place, pair in enumerate(_wanted(comparison, arms), start=1)}
    check_sources(comparison, list(places))
    Execution(comparison, workers, arms=[]).bring_start()
    timed = [name for name in dict.fromkeys(name for name, _ in places) if needs_calibration(comparison, name)]
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
    queue = context.Queue()
    with (
        progress.receiving(queue),
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare, initargs=(queue,)) as pool,
    ):
        _all(pool, [pool.submit(_calibrate, comparison, name) for name in timed])  # beside each other, as the runs are
        dealt = shares(comparison, arms)
        _all(pool, [pool.submit(_run, comparison, group, seed, places) for group, seed in dealt], after_each)
        _all(pool, [pool.submit(_check, comparison, name) for name in timed])


def _all(pool: ProcessPoolExecutor, running: list[Future], after_each: Callable[[], None] = lambda: None) -> None:
    try:
        for done in as_completed(running):
            done.result()
            after_each()
    except BaseException:
        pool.shutdown(cancel_futures=True)  # those under way finish, as their processes cannot be told apart
        raise


def _wanted(comparison: Comparison, arms: list[str] | None) -> list[tuple[str, int]]:
    return [pair for pair in run_order(comparison.arms, comparison.seeds) if arms is None or pair[0] in arms]


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


def _prepare(queue: multiprocessing.Queue) -> None:
    global _workers
    end_with_parent()
    progress.send_to(queue)
    multiprocessing.set_start_method(
        "fork", force=True
    )  # as mmengine's Runner sets it, with a warning, in a spawned one
    _workers = default_workers()


def _calibrate(comparison: Comparison, arm: str) -> None:
    Execution(comparison, _workers, [arm]).calibrate(arm)


def _run(comparison: Comparison, arms: list[str], seed: int, places: dict[tuple[str, int], int]) -> None:
    execution = Execution(comparison, _workers, arms, [seed])
    for arm, _ in execution.wanted:
        execution.bring_run(arm, seed, f"[{places[arm, seed]}/{len(places)}]")


def _check(comparison: Comparison, arm: str) -> None:
    Execution(comparison, _workers, [arm]).check_calibration(arm)
