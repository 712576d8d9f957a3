"""Several processes, of one machine or of several, at the trials of one sweep.

Who works on a trial holds the lock of its folder, which ends with the process, whatever ends it. A trial that the study
calls running and whose lock is free was broken off: the next process takes it.
"""

import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.comparison.worker_pool import own_workers, worker_pool
from vssl.engine.run_directory import claimed
from vssl.sweep.study import Study
from vssl.sweep.sweep_plan import Sweep, trial_name


@contextmanager
def one_at_a_time(work_dir: Path) -> Iterator[None]:
    """Waits for its turn among all processes of the sweep. Not to be nested."""
    with (work_dir / ".turn").open("a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def taken(sweep: Sweep, study: Study) -> Iterator[Any]:
    """A trial to run now, which is nobody else's inside the block; None when there is none left."""
    with ExitStack() as claims:

        def claim(number: int) -> bool:
            try:
                claims.enter_context(claimed(sweep.work_dir / trial_name(number)))
            except FileExistsError:
                return False
            return True

        with one_at_a_time(sweep.work_dir):
            trial = study.next(claim)
        yield trial


@dataclass(frozen=True)
class Opening:
    """How a process opens the study: the arguments of `Study` after the sweep."""

    directions: list[str]
    settings: dict[str, Any]
    url: str
    name: str

    def open(self, sweep: Sweep) -> Study:
        return Study(sweep, self.directions, self.settings, self.url, self.name)


def run_in_jobs(
    sweep: Sweep, opening: Opening, one_trial: Callable[..., bool], jobs: int, after_each: Callable[[], None]
) -> None:
    """Trials side by side in `jobs` processes until none is left. After an error no other is begun; those under way
    end.

    Args:
        one_trial: (sweep, study, workers) → whether there was one.
    """
    with worker_pool(jobs) as pool:
        running: set[Future] = {pool.submit(_one, sweep, opening, one_trial) for _ in range(jobs)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    if future.result():
                        after_each()
                        running.add(pool.submit(_one, sweep, opening, one_trial))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _one(sweep: Sweep, opening: Opening, one_trial: Callable[..., bool]) -> bool:
    return one_trial(sweep, opening.open(sweep), own_workers())
