"""Runs side by side in several processes, for budgets that do not depend on the neighbours."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed

from vssl.comparison.execute import check_sources
from vssl.comparison.pieces import Piece, refuse_elapsed, runs, timings
from vssl.comparison.plan import Comparison, run_order
from vssl.comparison.worker_pool import own_workers, worker_pool
from vssl.comparison.workers import Workers


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
    refuse_elapsed(comparison, "--jobs 1")
    check_sources(comparison, run_order(comparison.arms, comparison.seeds, arms))
    Piece(comparison, "start").bring(workers)
    with worker_pool(jobs) as pool:
        _all(pool, timings(comparison, arms, "timing"))  # beside each other, as the runs are
        _all(pool, runs(comparison, arms), after_each)
        _all(pool, timings(comparison, arms, "drift"))


def _all(pool: ProcessPoolExecutor, pieces: list[Piece], after_each: Callable[[], None] = lambda: None) -> None:
    try:
        for done in as_completed([pool.submit(_bring, piece) for piece in pieces]):
            done.result()
            after_each()
    except BaseException:
        pool.shutdown(cancel_futures=True)  # those under way finish, as their processes cannot be told apart
        raise


def _bring(piece: Piece) -> None:
    piece.bring(own_workers())
