"""A comparison whose pieces are jobs of a cluster."""

from collections.abc import Callable
from dataclasses import dataclass

from vssl.comparison.cluster import FOLDER, Cluster
from vssl.comparison.execute import Execution, check_sources
from vssl.comparison.pieces import Piece, refuse_elapsed, runs, timings, wanted
from vssl.comparison.plan import Comparison
from vssl.comparison.workers import Workers, default_workers
from vssl.engine.run_directory import claimed


def execute_on_cluster(
    comparison: Comparison,
    workers: Workers,
    cluster: Cluster,
    arms: list[str] | None = None,
    after_each: Callable[[], None] = lambda: None,
) -> None:
    """As `execute`, with each piece that is not done as a job of its own, and this process waiting for them.

    Configs, data and probes are checked here, before a job is sent. So are the settings that finished pieces were made
    with.

    Args:
        after_each: called in this process whenever a job has ended well.

    Raises:
        ChildProcessError: a job failed; those beside it ended first.
        ValueError: a budget in elapsed seconds: jobs may share a machine, or be on machines that differ.
    """
    refuse_elapsed(comparison, "no --executor")
    check_sources(comparison, wanted(comparison, arms))
    Execution(comparison, workers, arms)  # a broken config or missing data fails here, before any job
    stages: dict[str, list[Piece]] = {
        "start": [Piece(comparison, "start")],
        "timing": timings(comparison, arms, "timing"),
        "runs": runs(comparison, arms),
        "drift": timings(comparison, arms, "drift"),
    }
    for stage, pieces in stages.items():
        for piece in pieces:
            if piece.is_done:
                piece.bring(workers)
        left = {piece.name: Job(piece) for piece in pieces if not piece.is_done}
        cluster.bring(stage, left, after_each if stage in ("start", "runs") else lambda: None)


@dataclass(frozen=True)
class Job:
    """What one job does."""

    piece: Piece

    def __call__(self) -> None:
        with claimed(self.piece.comparison.work_dir / FOLDER / self.piece.name):  # against a job sent twice
            self.piece.bring(default_workers())
