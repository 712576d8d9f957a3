"""Slurm's jobs by submitit, with states by squeue, and a job called ended in a state only that Slurm does not leave."""

import os
import subprocess
import time
from typing import Any

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from vssl.comparison.cluster import FORGOTTEN
from vssl.progress import say

# squeue's "job state codes" that are final. submitit takes every state that it does not know for the end of a job, and
# it knows neither SUSPENDED nor CONFIGURING.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "OUT_OF_MEMORY", "RECONFIG_FAIL",
    "REVOKED", "TIMEOUT",
}  # fmt: skip
# Seconds in a state after which a job does not come back. One that was pushed aside or lost its machine is requeued, or
# stays so for ever, as a cluster is set up. One that is forgotten may have written a result that is not to be seen yet.
LONG = {"NODE_FAIL": 900.0, "PREEMPTED": 900.0, FORGOTTEN: 60.0}
DELAY = 120  # seconds between two looks at jobs that were sent long ago


class StateWatcher(SlurmInfoWatcher):
    """By squeue, and by sacct for what squeue does not list any more.

    Slurm forgets a job some minutes after its end (``MinJobAge``). Its accounts do not, but not every Slurm keeps them.
    submitit asks for the accounts alone.

    Attributes:
        answered: squeue answered when it was asked last.
    """

    def __init__(self, delay_s: int):
        super().__init__(delay_s)
        self.answered = True
        self._since: dict[str, tuple[str, float]] = {}

    def update(self) -> None:
        self._num_calls += 1
        self._last_status_check = time.time()
        asked = self._registered - self._finished
        queue, error = _answer(
            "squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%N"
        )
        if error and self.answered:
            say(f"squeue does not answer and is asked again: {error}")
        self.answered = not error
        found = self.read_info(f"JobID|State|NodeList\n{queue}")
        if unlisted := sorted({job_id.partition("_")[0] for job_id in asked - found.keys()}):
            columns = "--format=JobID,State,NodeList"
            accounts, _ = _answer("sacct", columns, "--parsable2", f"--jobs={','.join(unlisted)}")
            found = self.read_info(accounts) | found
        if self.answered:
            found = {job_id: {"State": FORGOTTEN} for job_id in asked} | found
        self._info_dict.update({job_id: found[job_id] for job_id in asked & found.keys()})
        self._finished |= {job_id for job_id in asked if self.is_done(job_id, mode="cache")}

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        state = self.get_state(job_id, mode).partition(" ")[0].upper()  # of "CANCELLED by 1000"
        before, since = self._since.get(job_id, (None, 0.0))
        if state != before:
            since = time.monotonic()
            self._since[job_id] = state, since
        return state in ENDED or time.monotonic() - since > LONG.get(state, float("inf"))


def _answer(*command: str) -> tuple[str, str]:
    """What a command of Slurm printed, and why it failed; one of both is empty."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if done.returncode != 0:
        return "", done.stderr.strip() or f"{command[0]} ended with {done.returncode}"
    return done.stdout, ""


class QueuedJob(SlurmJob[Any]):
    watcher = StateWatcher(DELAY)
