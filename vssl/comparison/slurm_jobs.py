"""Slurm's jobs by submitit, with a job called ended only in a state that Slurm does not leave again."""

import time
from typing import Any

from submitit.slurm.slurm import SlurmExecutor, SlurmInfoWatcher, SlurmJob

# squeue's "job state codes" that are final. submitit takes every state that it does not know for the end of a job, and
# it knows neither SUSPENDED nor CONFIGURING.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "OUT_OF_MEMORY", "RECONFIG_FAIL",
    "REVOKED", "TIMEOUT",
}  # fmt: skip
# A job that was pushed aside or lost its machine is requeued, or stays in this state for ever: as a cluster is set up.
ASIDE, LONG_ASIDE = {"NODE_FAIL", "PREEMPTED"}, 900.0  # seconds


class StateWatcher(SlurmInfoWatcher):
    def __init__(self, delay_s: int):
        super().__init__(delay_s)
        self._aside: dict[str, float] = {}

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        state = self.get_state(job_id, mode).partition(" ")[0].upper()  # of "CANCELLED by 1000"
        if state not in ASIDE:
            self._aside.pop(job_id, None)
            return state in ENDED
        return time.monotonic() - self._aside.setdefault(job_id, time.monotonic()) > LONG_ASIDE


class QueuedJob(SlurmJob[Any]):
    watcher = StateWatcher(delay_s=600)  # submitit's own delay


class QueueExecutor(SlurmExecutor):
    job_class = QueuedJob
