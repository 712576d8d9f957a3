"""Work of one command as jobs of their own: Slurm arrays through submitit, or submitit's processes of this machine.

submitit writes into a folder, which all machines must see, what each job does, its log, and its result. Before Slurm
ends a job whose time is up, it sends a signal. The job then writes a checkpoint and goes back into the queue under its
own number. So its work must go on from what lies on the disk.
"""

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vssl.compat import add_note
from vssl.options import read_value
from vssl.parts import optional_package
from vssl.progress import say
from vssl.reports import read_json
from vssl.whole_files import write_json

EXECUTORS = ("slurm", "local")
FOLDER, NUMBERS = "cluster", "jobs.json"
REQUEUES = 1000  # after so many submitit gives up a job; each time it has got further
EARLY = 60  # seconds by which Slurm may send its signal before the `signal_delay_s` asked for (man sbatch)
GRACE = 900.0  # seconds for Slurm to end a job that it sent SIGTERM
POLL = 1.0  # seconds between two looks at jobs
A_YEAR = 365 * 24 * 60  # minutes: submitit's own limit for a process of this machine is two
# A job is deaf to these until submitit handles them: one that comes while Python still imports would end it for good.
HELD_BACK = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
FORGOTTEN = "FORGOTTEN"  # a job's state when neither squeue nor sacct knows it
_ONE_PROCESS = ("nodes", "ntasks_per_node", "tasks_per_node")

Work = Callable[[], None]


class Cluster:
    """Where jobs are sent.

    Args:
        executor: ``"slurm"``; or ``"local"``, which runs the same jobs on this machine.
        folder: of the jobs' files and logs; seen by all machines.
        parameters: of sbatch by submitit's names, as typed: ``{"partition": "gpu", "time": "240"}``; `time`
            is in minutes.
        side_by_side: how many jobs at a time; None for all with Slurm, and for one on this machine.

    Raises:
        ImportError: submitit is not installed.
        ValueError: there is no Slurm here, or a parameter that it does not have, or more than one process a job.
    """

    def __init__(
        self, executor: str, folder: Path, parameters: Mapping[str, str] | None = None, side_by_side: int | None = None
    ):
        self._submitit = optional_package("submitit", f"--executor {executor}")
        self._local, self._folder = executor == "local", folder
        given = {name: read_value(text) for name, text in (parameters or {}).items()}
        if side_by_side is not None and side_by_side < 1:
            raise ValueError(f"--jobs {side_by_side}: expected 1 or more")
        self._side_by_side = side_by_side or 1
        if self._local:
            if given:
                raise ValueError("--slurm belongs to --executor slurm; a job on this machine has no such settings")
            self._executor = self._on_this_machine()
            return
        given |= {} if side_by_side is None else {"array_parallelism": side_by_side}
        self._executor = self._slurm(given)

    def _on_this_machine(self) -> Any:
        # submitit hides GPUs that it was not told of
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        env = "env -u CUDA_VISIBLE_DEVICES" if seen is None else f"env CUDA_VISIBLE_DEVICES={shlex.quote(seen)}"
        made = self._submitit.LocalExecutor(self._folder, REQUEUES, python=f"{env} {shlex.quote(sys.executable)}")
        made.update_parameters(timeout_min=A_YEAR)
        return made

    def _slurm(self, given: dict[str, Any]) -> Any:
        _check_times(given)
        if not isinstance(given.get("additional_parameters", {}), dict):
            raise ValueError("--slurm additional_parameters: give settings, such as \"dict(reservation='name')\"")
        if several := [name for name in _ONE_PROCESS if given.get(name, 1) != 1]:
            raise ValueError(f"--slurm {several[0]}={given[several[0]]}: a job is one process here; leave it out")
        more = {"requeue": True} | given.pop("additional_parameters", {})  # some clusters ask for it
        try:
            made = self._submitit.SlurmExecutor(self._folder, REQUEUES, python=_holding_back(sys.executable))
        except RuntimeError as error:
            raise ValueError("--executor slurm: no srun here; give the command on a machine of the cluster") from error
        try:
            made.update_parameters(additional_parameters=more, **given)
        except (ValueError, TypeError) as error:
            raise ValueError(f"--slurm: {error}") from error
        return made

    def bring(self, stage: str, works: Mapping[str, Work], after_each: Callable[[], None] = lambda: None) -> None:
        """Have every work done by a job of its own, and wait for all of them.

        Jobs that an earlier command left in Slurm's queue are waited for, not sent again. One that fails holds up none.

        Args:
            stage: what squeue calls the jobs.
            works: by a name, for logs. A work is pickled.
            after_each: called whenever one has ended well.

        Raises:
            ChildProcessError: some failed; the message says what, and names the log.
        """
        running = {name: job for name in works if (job := self._under_way(name)) is not None}
        waiting, failed = {name: work for name, work in works.items() if name not in running}, []
        for name, job in running.items():
            say(f"{name}: job {job.job_id} of an earlier command is still there")
        try:
            while waiting or running:
                room = self._side_by_side - len(running) if self._local else len(waiting)
                running |= self._sent(stage, {name: waiting.pop(name) for name in list(waiting)[:room]})
                ended = [name for name, job in running.items() if job.done()]
                for name in ended:
                    job = running.pop(name)
                    if (what := _failure(job)) is None:
                        say(f"{name}: job {job.job_id} is done")
                        after_each()
                    else:
                        failed.append(f"{name}: job {job.job_id} {what} Log: {job.paths.stderr}")
                        say(failed[-1])
                if not ended:
                    time.sleep(POLL)
        except BaseException as error:
            self._leave(running, error)
            raise
        if failed:
            others = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
            raise ChildProcessError(f"{failed[0]}{others}")

    def _sent(self, stage: str, works: Mapping[str, Work]) -> dict[str, Any]:
        if not works:
            return {}
        if not self._local:
            self._executor.update_parameters(job_name=f"vssl-{stage}")
        try:
            jobs = self._executor.submit_array([ClusterTask(work) for work in works.values()])
        except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.FailedSubmissionError) as error:
            raise ValueError(f"sbatch refused the jobs: {error}") from error
        # submitit makes the jobs of an array its own kind, whatever the executor
        sent = {name: job if self._local else self._queued(job.job_id) for name, job in zip(works, jobs, strict=True)}
        for name, job in sent.items():
            say(f"{name}: job {job.job_id}, log {job.paths.stdout}")
        write_json(self._folder / NUMBERS, self._numbers() | {name: job.job_id for name, job in sent.items()})
        return sent

    def _under_way(self, name: str) -> Any:
        """The job that an earlier command sent for this, where Slurm still has it."""
        if self._local or name not in (numbers := self._numbers()):
            return None
        job = self._queued(numbers[name])
        if job.done():
            return None
        if not job.watcher.answered:
            raise ValueError(
                f"{name}: squeue does not say if job {job.job_id} of an earlier command is still there, and a new one "
                "might be its double; give the command again when squeue answers"
            )
        return None if job.state in ("UNKNOWN", FORGOTTEN) else job

    def _queued(self, number: str) -> Any:
        from vssl.comparison.slurm_jobs import QueuedJob  # needs submitit

        return QueuedJob(self._folder, number)

    def _numbers(self) -> dict[str, str]:
        file = self._folder / NUMBERS
        return read_json(file) if file.is_file() else {}

    def _leave(self, running: Mapping[str, Any], error: BaseException) -> None:
        if self._local:
            for job in running.values():
                job.cancel()
        elif running:
            numbers = " ".join(job.job_id for job in running.values())
            add_note(error, f"Jobs go on in Slurm: {numbers} (scancel ends them); the same command waits for them.")


class ClusterTask:
    """What a job does. submitit calls it, and asks it for a `checkpoint` before the job goes back into the queue."""

    def __init__(self, work: Work):
        self._work = work

    def __call__(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)  # submitit's handlers are in place
        try:
            self._work()
        except KeyboardInterrupt as stopped:
            self._stopped(getattr(stopped, "exit_code", None))
            raise

    def checkpoint(self) -> Any:
        """The same again: its work goes on from the disk."""
        return optional_package("submitit", "a job").helpers.DelayedSubmission(self)

    @staticmethod
    def _stopped(exit_code: int | None) -> None:
        """After a training run has written its checkpoint at a signal (vssl/engine/interruption.py)."""
        submitit = optional_package("submitit", "a job")
        if exit_code == 75:  # now to submitit's own handler, which requeues the job and ends this process
            signal.raise_signal(getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}"))
        elif exit_code == 143 and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            # Slurm requeues a job that it pushes aside, but not one that ends by itself before Slurm ends it.
            say(f"waiting for Slurm to end this job, {GRACE:.0f} s at most")
            time.sleep(GRACE)


def _failure(job: Any) -> str | None:
    """What a job that has ended says of its failure; None when there was none."""
    error = job.exception()
    if error is None:
        return None
    trace = re.search(r"-{22}\n(.*)\n-{22}", str(error), re.DOTALL)
    if type(error).__name__ == "FailedJobError" and trace is not None:
        return f"failed: {re.split(r'^ .*$', trace[1], flags=re.MULTILINE)[-1].strip()}"
    return f"ended without a result, Slurm's state for it is {job.state}."


def _holding_back(python: str) -> str:
    """A command for `python` that begins with `HELD_BACK` blocked. They stay pending, and reach the job later."""
    begin = (
        f"import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {[int(kind) for kind in HELD_BACK]}); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    return shlex.join([python, "-ISc", begin])


def _check_times(given: Mapping[str, Any]) -> None:
    if "time" not in given:
        raise ValueError("--slurm time=MINUTES is missing: how long a job may take before it goes back into the queue")
    minutes, delay = given["time"], given.get("signal_delay_s", 90)
    if type(minutes) is not int or minutes < 1:  # submitit reckons with it when the time is up
        raise ValueError(f"--slurm time={minutes}: give whole minutes, such as time=240 for four hours")
    if type(delay) is not int or delay < 0:
        raise ValueError(f"--slurm signal_delay_s={delay}: give whole seconds, such as signal_delay_s=90")
    if 60 * minutes <= (early := delay + EARLY):
        raise ValueError(
            f"--slurm time={minutes}: Slurm may ask a job to stop {early} s before its end, which leaves no time; "
            f"give time={early // 60 + 1} or more, or a smaller signal_delay_s"
        )
