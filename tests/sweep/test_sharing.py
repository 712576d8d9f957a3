"""Several processes at one sweep: each trial is run once, and one that was killed is gone on with."""

import fcntl
import json
import multiprocessing
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.hooks import Hook

from vssl.comparison import worker_pool
from vssl.engine.run_directory import claimed
from vssl.sweep.study import Study
from vssl.sweep.sweep_plan import trial_name

pytestmark = pytest.mark.slow


def forked(work) -> int:
    """The number of a process that does `work` and ends."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return process


def trials(run: Path) -> list[dict]:
    return json.loads((run / "results.json").read_text())["trials"]


def test_processes_share_the_trials(with_scenes, sweep, capfd):
    """Three processes; the draws are those of one process alone."""
    alone = sweep("--work-dir", "alone", "--study", "runs", trials=4)
    capfd.readouterr()
    helpers = [forked(lambda: sweep(trials=4)) for _ in range(2)]
    run = sweep(trials=4)
    assert [os.waitpid(helper, 0)[1] for helper in helpers] == [0, 0]
    begun = re.findall(r"\[(\d)/4\] trial_\d+: \S+=", capfd.readouterr().out)
    assert sorted(begun) == ["1", "2", "3", "4"]
    sweep(trials=4)  # whoever came last may have been a helper: the report of now
    assert [trial["state"] for trial in trials(run)] == ["finished"] * 4
    assert [trial["values"] for trial in trials(run)] == [trial["values"] for trial in trials(alone)]


def test_a_trial_ends_when_nobody_else_has_the_turn(with_scenes, sweep, monkeypatch):
    """Otherwise it could end while another process looks for a broken trial, or between two parts of a report."""
    tell, ends_alone = Study.tell, []

    def told(study, *arguments):
        ends_alone.append(os.waitpid(forked(take_the_turn), 0)[1] != 0)
        tell(study, *arguments)

    def take_the_turn() -> None:
        with Path("runs/.turn").open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr(Study, "tell", told)
    sweep(trials=1)
    assert ends_alone == [True]


def test_jobs(with_scenes, sweep, workers, monkeypatch, capfd):
    """Spawned processes would import everything anew: here they are forked, and steps cost the same."""
    monkeypatch.setattr(worker_pool, "get_context", lambda kind: multiprocessing.get_context("fork"))
    monkeypatch.setattr(worker_pool, "default_workers", lambda: workers)
    run = sweep("--jobs", "2", trials=3)
    assert [trial["state"] for trial in trials(run)] == ["finished"] * 3


def test_jobs_of_a_cluster(with_scenes, sweep, monkeypatch, capfd):
    """On this machine; they find the storage by their environment."""
    monkeypatch.setenv("OUR_STORAGE", f"sqlite:///{with_scenes}/shared.db")
    run = sweep("--executor", "local", "--jobs", "2", "--storage", "env:OUR_STORAGE", trials=2)
    assert [trial["state"] for trial in trials(run)] == ["finished"] * 2
    told = capfd.readouterr().out
    assert "process_0: job" in told and "process_1: job" in told
    assert (with_scenes / "shared.db").is_file() and not (run / "study.db").exists()


def test_a_killed_trial_is_gone_on_with_and_its_steps_count_twice(with_scenes, sweep, workers):
    def killed_in_step_5(config, run_dir, seed, resume, hooks=()):
        config.checkpoint_interval = 3
        os.waitpid(forked(lambda: workers.train(config, run_dir, seed, resume, [*hooks, Kill()])), 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(trials=1, instead=replace(workers, train=killed_once(workers, killed_in_step_5)))
    run = sweep(trials=1)
    (trial,) = trials(run)
    assert trial["state"] == "finished" and trial["redone_steps"] == 2  # steps 4 and 5
    assert trial["steps"] == 8 and trial["baseline_steps"] == pytest.approx(10)


class Kill(Hook):
    priority = "LOWEST"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.train_loop.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_once(workers, instead):
    """`instead` for trials, the real one for the start."""

    def train(config, run_dir, seed, resume, hooks=()):
        chosen = instead if "trial_" in str(run_dir) else workers.train
        return chosen(config, run_dir, seed, resume, hooks)

    return train


def test_a_trial_that_somebody_runs_is_left_alone(with_scenes, sweep, workers, capsys):
    """Two trials are wanted and one is under way elsewhere: this process runs the other one and says so."""
    with pytest.raises(KeyboardInterrupt):
        sweep(trials=2, instead=replace(workers, train=killed_once(workers, interrupted)))
    ready, done = os.pipe()

    def hold() -> None:
        with claimed(Path("runs") / trial_name(0)):
            os.write(done, b"1")
            time.sleep(600)

    holder = forked(hold)
    os.read(ready, 1)
    try:
        run = sweep(trials=2)
        assert [trial["state"] for trial in trials(run)] == ["running", "finished"]
        assert "1 trial still run by other processes" in capsys.readouterr().out
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
    assert [trial["state"] for trial in trials(sweep(trials=2))] == ["finished", "finished"]


def interrupted(config, run_dir, seed, resume, hooks=()):
    raise KeyboardInterrupt
