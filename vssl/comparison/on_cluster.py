"""A comparison whose pieces are jobs of a cluster."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from vssl.comparison.cluster import FOLDER, Cluster
from vssl.comparison.execute import Execution, check_sources
from vssl.comparison.pieces import Piece, refuse_elapsed, runs, timings
from vssl.comparison.plan import Comparison, run_order
from vssl.comparison.workers import Workers, default_workers
from vssl.engine.run_directory import claimed

LATE = 60.0  # seconds until a network's file system shows what another machine wrote


def execute_on_cluster(
    comparison: Comparison,
    workers: Workers,
    cluster: Cluster,
    arms: list[str] | None = None,
    after_each: Callable[[], None] = lambda: None,
) -> None:
    """As `execute`, with each piece that is not done as a job of its own, and this process waiting for them.

    Configs, data and probes are checked here, before a job is sent. So are the settings that finished pieces were made
    with, once more when the jobs have ended: a config may have changed since they were sent.

    Args:
        after_each: called in this process whenever a job has ended well.

    Raises:
        ChildProcessError: a job failed; those beside it ended first.
        RuntimeError: a job ended well, but what it should have written is not there.
        ValueError: a budget in elapsed seconds: jobs may share a machine, or be on machines that differ. Or what a job
            wrote was made with other settings.
    """
    refuse_elapsed(comparison, "no --executor")
    check_sources(comparison, run_order(comparison.arms, comparison.seeds, arms))
    Execution(comparison, workers, arms)  # a broken config or missing data fails here, before any job
    stages: dict[str, list[Piece]] = {
        "start": [Piece(comparison, "start")],
        "timing": timings(comparison, arms, "timing"),
        "runs": runs(comparison, arms),
        "drift": timings(comparison, arms, "drift"),
    }
    for stage, pieces in stages.items():
        left = {piece.name: Job(piece) for piece in pieces if not piece.is_done}
        for piece in pieces:
            if piece.name not in left:
                piece.bring(workers)
        cluster.bring(stage, left, after_each if stage in ("start", "runs") else lambda: None)
        for job in left.values():
            _await(job.piece)
            job.piece.bring(workers)


def _await(piece: Piece) -> None:
    waited = 0.0
    while not piece.is_done:
        if waited >= LATE:
            raise RuntimeError(
                f"{piece.name}: its job ended well, but what it should have written is not in "
                f"{piece.comparison.work_dir}. All machines must see this folder by the same path"
            )
        time.sleep(1.0)
        waited += 1.0


@dataclass(frozen=True)
class Job:
    """What one job does."""

    piece: Piece

    def __call__(self) -> None:
        with claimed(self.piece.comparison.work_dir / FOLDER / self.piece.name):  # against a job sent twice
            self.piece.bring(default_workers())
