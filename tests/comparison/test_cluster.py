"""Comparisons whose runs are jobs: by submitit's processes of this machine, and by a stand-in for Slurm's commands."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import submitit
from PIL import Image
from safetensors.torch import load_file
from submitit.core.submission import process_job

from vssl.commands.compare import parser
from vssl.comparison import cluster as cluster_module
from vssl.comparison import default_workers, on_cluster, read_comparison
from vssl.comparison.cluster import Cluster
from vssl.comparison.command import run_command
from vssl.comparison.on_cluster import execute_on_cluster
from vssl.comparison.slurm_jobs import LONG, QueuedJob
from vssl.engine.interruption import Interrupted

ROOT = Path(__file__).parents[2]

TRAINING = """
from mmengine.config import read_base

with read_base():
    from vssl.configs.scenes.mae_start import *

import preempted

unlabeled.update(root="images/train")
backbone.update(embed_dim=16, depth=2, aligned_blocks=2)
objective.update(decoder_dim=16, decoder_heads=2)
batch_size, threads, budget, checkpoint_interval = 8, 1, dict(steps=6), 100
log_interval, rankme_interval, sample_views, snapshots, collapse = 1, 0, 0, 0, "off"
custom_hooks = [dict(type=preempted.Preempted)]
"""

PREEMPTED = '''
import os
import signal
from pathlib import Path

from mmengine.hooks import Hook


class Preempted(Hook):
    """Slurm's signals for one run, once, in its third step."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        place = Path(runner.work_dir)
        if runner.train_loop.step == 3 and place.parts[-3:] == ("runs", "fixed", "seed0"):
            with open("stops", "a") as log:
                print("once", file=log)
            if len(open("stops").readlines()) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGUSR2)
'''

PROBES = """
from mmengine.config import read_base

with read_base():
    from vssl.configs.probes.scenes import *

probes = dict(knn=dict(probes["knn"], data_root="images", train="images/train", val="images/val", k=[2]))
"""

COMPARISON = """
start = dict(config="training.py", budget=dict(steps=2))
arms = dict(
    fixed=dict(config="training.py"),
    vpretraining=dict(like="fixed", cfg_options={"objective.mask_ratio": 0.5}),
)
budget = dict(steps=6)
continues = "run"
seeds = [0]
probes = "probes.py"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def compare(folder):
    """tools/compare.py on `COMPARISON`, on a few images of noise."""
    noise = np.random.default_rng(0)
    for split, kind, k in product(("train", "val"), ("brick", "wood"), range(6)):
        Path("images", split, kind).mkdir(parents=True, exist_ok=True)
        picture = noise.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(picture).save(Path("images", split, kind, f"{k}.png"))
    for name, text in {"training": TRAINING, "preempted": PREEMPTED, "probes": PROBES, "compare": COMPARISON}.items():
        Path(f"{name}.py").write_text(text)

    def run(*arguments: str) -> dict:
        workers = default_workers()
        run_command(parser().parse_args(["compare.py", *arguments]), "python tools/compare.py compare.py", workers)
        return json.loads((Path(arguments[1]) / "results.json").read_text())

    return run


@pytest.mark.slow
def test_runs_as_jobs_are_those_of_one_process_also_when_one_is_preempted(compare, capfd, monkeypatch):
    """The first run gets Slurm's signals and is requeued."""
    monkeypatch.setattr(cluster_module, "POLL", 0.1)
    alone = compare("--work-dir", "alone")
    shutil.copytree("alone/start", "runs/start")  # and so is no job
    results = compare("--work-dir", "runs", "--executor", "local", "--jobs", "2")
    said = capfd.readouterr().out
    assert said.count(" is done") == 2 and "runs-fixed-seed0: job" in said
    for arm, about in alone["arms"].items():
        assert about["runs"]["0"]["scores"] == results["arms"][arm]["runs"]["0"]["scores"]
        assert about["runs"]["0"]["steps"] == results["arms"][arm]["runs"]["0"]["steps"] == 6
        a, b = (load_file(f"{place}/{arm}/seed0/backbone.safetensors") for place in ("alone", "runs"))
        assert all((a[name] == b[name]).all() for name in a)
    log = "".join(path.read_text() for path in Path("runs/cluster").glob("*_log.out"))
    assert log.count("Requeued job") == 1
    assert Path("stops").read_text().count("once") == 1  # the third step was not taken again
    assert Path("runs/index.html").is_file()

    compare("--work-dir", "runs", "--executor", "local")
    assert ": job " not in capfd.readouterr().out


SRUN = 'while [ "${1#-}" != "$1" ]; do case $1 in --output | --error) shift ;; esac; shift; done; exec "$@"'


class Slurm:
    """Stands in for sbatch, srun, squeue, sacct and scontrol. Jobs are run here, when this process waits for them."""

    def __init__(self, folder: Path, monkeypatch):
        self.folder, self._monkeypatch, self.plays = folder, monkeypatch, []
        commands = {
            "sbatch": "echo Submitted batch job $(cat number)", "srun": SRUN, "squeue": "cat queue",
            "sacct": "cat accounts",
        }  # fmt: skip
        (folder / "bin").mkdir()
        for name, line in (commands | {"scontrol": 'echo "$@" >> scontrol.log'}).items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
            (folder / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(cluster_module, "time", SimpleNamespace(sleep=self._wait))
        monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0)

    def next_number(self, number: int, **states: str) -> None:
        Path("number").write_text(f"{number}\n")
        self.queue(**(states or {f"{number}": "RUNNING"}))

    def queue(self, **states: str) -> None:
        """What squeue lists. Slurm has no accounts."""
        Path("queue").write_text("".join(f"{job}|{state}|node1\n" for job, state in states.items()))
        Path("accounts").write_text("JobID|State|NodeList\n")

    def play(self, number: str) -> None:
        """What a node does with a job."""
        array, _, place = number.partition("_")
        told = {"SLURM_JOB_ID": array, "SUBMITIT_EXECUTOR": "slurm"}
        told |= {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": place} if place else {}
        handlers = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR2)}
        try:
            with self._monkeypatch.context() as environment:
                for name, value in told.items():
                    environment.setenv(name, value)
                process_job(self.folder / "cluster")
        finally:
            for kind, handler in handlers.items():
                signal.signal(kind, handler)

    def _wait(self, seconds: float) -> None:
        match self.plays.pop(0):
            case str(number):
                with suppress(ValueError):
                    self.play(number)
            case error:
                raise error


@pytest.fixture
def slurm(folder, monkeypatch) -> Slurm:
    return Slurm(folder, monkeypatch)


def written(name: str) -> partial:
    return partial(Path.write_text, Path(name).absolute(), f"did {name}")


def test_an_array_of_jobs_with_what_sbatch_is_told(slurm, capsys):
    slurm.next_number(7)
    told = {"partition": "gpu", "gpus_per_node": "1", "cpus_per_task": "8", "time": "240", "mem": "32GB"}
    cluster = Cluster("slurm", Path("cluster"), told, side_by_side=3)
    slurm.plays, ended = ["7_0", "7_1"], []
    with pytest.raises(ChildProcessError, match=r"^b: job 7_1 failed: ValueError: invalid literal .* Log: .*7_1_0_log"):
        cluster.bring("runs", {"a": written("a"), "b": partial(int, "five")}, lambda: ended.append(1))
    assert Path("a").read_text() == "did a" and ended == [1]
    assert "a: job 7_0 is done" in capsys.readouterr().out
    lines = Path("cluster/7_submission.sh").read_text().splitlines()
    for line in (
        "array=0-1%2", "partition=gpu", "gpus-per-node=1", "cpus-per-task=8", "time=240", "mem=32GB", "requeue",
        "job-name=vssl-runs", "signal=USR2@90", "open-mode=append",
    ):  # fmt: skip
        assert f"#SBATCH --{line}" in lines
    (command,) = (line for line in lines if line.startswith("srun "))
    assert command.endswith(f" -u -m submitit.core._submit {slurm.folder / 'cluster'}")
    assert f" {sys.executable} -ISc " in command


def test_jobs_outlive_the_command_and_the_next_one_waits_for_them(slurm, capsys):
    slurm.next_number(21)
    slurm.plays = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt) as caught:
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a")})
    assert "Jobs go on in Slurm: 21 (scancel ends them)" in caught.value.__notes__[0]
    slurm.next_number(22, **{"21": "RUNNING"})
    slurm.plays = ["21"]
    Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a")})
    assert "a: job 21 of an earlier command is still there" in capsys.readouterr().out
    assert Path("a").exists() and not Path("cluster/22_submitted.pkl").exists()


def test_a_job_that_waits_in_the_queue_of_a_slurm_without_accounts_is_not_sent_twice(slurm):
    """sacct fails there. Nor is one sent while squeue does not answer either."""
    (slurm.folder / "bin" / "sacct").write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2\nexit 1\n")
    slurm.next_number(71)
    slurm.plays = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a"), "b": written("b")})
    slurm.next_number(72, **{"71_0": "PENDING", "71_1": "PENDING"})
    answers = (slurm.folder / "bin" / "squeue").read_text()
    (slurm.folder / "bin" / "squeue").write_text("#!/bin/sh\necho Unable to contact slurm controller >&2\nexit 1\n")
    with pytest.raises(ValueError, match="a: squeue does not say if job 71_0 of an earlier command is still there"):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a"), "b": written("b")})
    (slurm.folder / "bin" / "squeue").write_text(answers)
    QueuedJob.watcher.clear()
    slurm.plays = ["71_0", "71_1"]
    Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a"), "b": written("b")})
    assert Path("a").exists() and Path("b").exists() and not list(Path("cluster").glob("72*"))


@pytest.mark.parametrize("accounts", [True, False])
def test_a_job_that_squeue_does_not_list_any_more_has_ended(slurm, accounts, monkeypatch):
    """By its account, or where there is none after a while; then it may have written nothing."""
    monkeypatch.setitem(LONG, "FORGOTTEN", -1.0)
    number, state = (81, "OUT_OF_MEMORY") if accounts else (82, "FORGOTTEN")
    slurm.next_number(number)
    slurm.queue()
    if accounts:
        Path("accounts").write_text("JobID|State|NodeList\n81|OUT_OF_MEMORY|node1\n81.0|OUT_OF_MEMORY|node1\n")
    with pytest.raises(
        ChildProcessError, match=f"job {number} ended without a result, Slurm's state for it is {state}"
    ):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a")})


def test_a_job_of_an_array_that_is_suspended_is_waited_for_and_one_that_was_cancelled_is_not(slurm, capsys):
    """submitit makes the jobs of an array its own kind, which would take both for the end."""
    slurm.next_number(91, **{"91_0": "SUSPENDED", "91_1": "CANCELLED"})
    slurm.plays = ["91_0"]
    with pytest.raises(ChildProcessError, match="b: job 91_1 ended without a result"):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a"), "b": written("b")})
    assert Path("a").exists() and not Path("b").exists()


SIGNALLED = '''
import os
import signal
from pathlib import Path


class Work:
    """A work of a job that is sent Slurm's signal when it is read, before submitit handles signals."""

    def __call__(self):
        Path("began").touch()

    def __getstate__(self):
        return {"a": "state"}

    def __setstate__(self, state):
        os.kill(os.getpid(), signal.SIGUSR2)
'''


@pytest.mark.slow
def test_a_signal_while_a_job_still_imports_does_not_end_it_but_requeues_it(slurm):
    """What sbatch was given is run here."""
    Path("signalled.py").write_text(SIGNALLED)
    from signalled import Work  # type: ignore[import-not-found]  # written above

    slurm.next_number(95)
    slurm.plays = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": Work()})
    place = os.environ | {"SLURM_JOB_ID": "95"}
    done = subprocess.run(["bash", "cluster/95_submission.sh"], env=place, capture_output=True, text=True, check=False)
    assert Path("scontrol.log").is_file() and Path("scontrol.log").read_text() == "requeue 95\n", done.stderr
    assert not Path("began").exists() and not Path("cluster/95_0_result.pkl").exists()


def test_a_job_that_is_gone_is_sent_again_and_one_that_was_cancelled_is_a_failure(slurm):
    slurm.next_number(31)
    slurm.plays = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a")})
    slurm.next_number(32, **{"31": "TIMEOUT", "32": "CANCELLED"})
    with pytest.raises(ChildProcessError, match="a: job 32 ended without a result, Slurm's state for it is CANCELLED"):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a")})


@pytest.mark.parametrize("state", ["SUSPENDED", "CONFIGURING", "STAGE_OUT", "PREEMPTED", "NODE_FAIL"])
def test_a_job_that_may_go_on_is_waited_for(slurm, state):
    slurm.next_number(51, **{"51": state})
    slurm.plays = ["51"]
    Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a")})
    assert Path("a").exists()


def test_a_job_that_stays_aside_has_failed(slurm, monkeypatch):
    slurm.next_number(61, **{"61": "PREEMPTED"})
    monkeypatch.setitem(LONG, "PREEMPTED", -1.0)
    with pytest.raises(ChildProcessError, match="job 61 ended without a result, Slurm's state for it is PREEMPTED"):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": written("a")})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_run_that_stopped_with_its_checkpoint_is_requeued_or_waits_for_slurm(slurm, number):
    slurm.next_number(40 + number)
    slurm.plays = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        Cluster("slurm", Path("cluster"), {"time": "60"}).bring("runs", {"a": partial(stopped, number)})
    if number == signal.SIGUSR2:
        with pytest.raises(SystemExit):
            slurm.play(str(40 + number))
        assert Path("scontrol.log").read_text() == f"requeue {40 + number}\n"
    else:
        slurm.plays = [TimeoutError("Slurm did not end it")]
        with pytest.raises(TimeoutError, match="Slurm did not end it"):
            slurm.play(str(40 + number))
        assert not Path("scontrol.log").exists()


def stopped(number: int) -> None:
    raise Interrupted(number, 3, "runs/fixed/seed0")


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({}, "time=MINUTES is missing"),
        ({"time": "4:00:00"}, "time=4:00:00: give whole minutes"),
        ({"time": "0"}, "time=0: give whole minutes"),
        ({"time": "2"}, "time=2: Slurm may ask a job to stop 150 s before .*; give time=3 or more"),
        ({"time": "20", "signal_delay_s": "1140"}, "may ask a job to stop 1200 s before .*; give time=21 or more"),
        ({"time": "5", "signal_delay_s": "soon"}, "signal_delay_s=soon: give whole seconds"),
        ({"time": "5", "additional_parameters": "gpu"}, "additional_parameters: give settings"),
        ({"time": "5", "nodes": "2"}, "nodes=2: a job is one process"),
        ({"time": "5", "partitoin": "gpu"}, r"Unavailable parameter\(s\): \['partitoin'\]"),
    ],
)
def test_what_sbatch_cannot_be_told_is_refused(slurm, told, match):
    with pytest.raises(ValueError, match=match):
        Cluster("slurm", Path("cluster"), told)


def test_what_sbatch_refuses_is_one_line(slurm):
    (slurm.folder / "bin" / "sbatch").write_text("#!/bin/sh\necho Invalid partition name specified >&2\nexit 1\n")
    with pytest.raises(ValueError, match=r"sbatch refused the jobs: .*Invalid partition name specified"):
        Cluster("slurm", Path("cluster"), {"time": "5"}).bring("runs", {"a": written("a")})


def test_refusals_before_any_job(config, fakes, monkeypatch):
    Path("compare.py").write_text("\n".join(f"{key} = {value!r}" for key, value in config.items()))

    def run(*arguments: str) -> None:
        run_command(parser().parse_args(["compare.py", *arguments]), "python tools/compare.py", fakes.workers())

    monkeypatch.setenv("PATH", "")
    for arguments, match in [
        (["--slurm", "time=5"], "give --executor slurm too"),
        (["--executor", "local", "--slurm", "time=5"], "--slurm belongs to --executor slurm"),
        (["--executor", "local", "--jobs", "0"], "--jobs 0"),
        (["--executor", "local"], "elapsed seconds, which runs side by side take from each other"),
        (["--executor", "slurm", "--slurm", "time=5"], "no srun here"),
    ]:
        with pytest.raises(ValueError, match=match):
            run(*arguments)
    assert fakes.trained == [] and not Path("runs/results.json").exists()


class Done:
    """Stands in for a `Cluster` whose jobs all end well: `does` is what each does to its piece."""

    def __init__(self, does):
        self._does = does

    def bring(self, stage, works, after_each) -> None:
        for job in works.values():
            self._does(job.piece)
            after_each()


def test_jobs_that_an_earlier_command_sent_with_other_settings_are_refused(config, fakes):
    """Or that read a config which was changed while they waited."""
    config["budget"], config["arms"] = (
        {"steps": 5},
        {"fixed": {"config": "fixed.py"}, "vpretraining": {"config": "vp.py"}},
    )
    earlier = read_comparison({**config, "budget": {"steps": 4}})
    does = Done(lambda piece: replace(piece, comparison=earlier).bring(fakes.workers()))
    with pytest.raises(ValueError, match=r"made with other settings \(budget.steps: 4 then, 5 now\)"):
        execute_on_cluster(read_comparison(config), fakes.workers(), does)


def test_a_job_that_wrote_nothing_is_a_failure(config, fakes, monkeypatch):
    monkeypatch.setattr(on_cluster, "LATE", 0)
    config["budget"] = {"steps": 5}
    with pytest.raises(RuntimeError, match=r"start: its job ended well, but .* is not in runs"):
        execute_on_cluster(read_comparison(config), fakes.workers(), Done(lambda piece: None))
    assert fakes.trained == fakes.probed == []
