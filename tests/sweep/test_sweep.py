"""Whole sweeps of tiny runs: what they leave, how they go on, what they give up, and what they hand over."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from safetensors.torch import load_file

from vssl.comparison import execute, read_comparison
from vssl.engine import load_config, train

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def results(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def table(run: Path) -> list[dict]:
    """What does not depend on how fast the machine was."""
    same = ("number", "state", "values", "scores", "per_seed", "on_the_way", "steps")
    return [{key: trial[key] for key in same} for trial in results(run)["trials"]]


def test_a_sweep_leaves_runs_tables_and_a_config_that_trains(with_scenes, sweep, timing_workers, capsys):
    run = sweep(seeds=[0, 1], instead=timing_workers)
    found = results(run)
    assert found["cost"]["trials"] == {"finished": 3, "pruned": 0, "failed": 0, "running": 0}
    scores = [trial["scores"]["segmentation/mIoU"] for trial in found["trials"]]
    best = max(range(3), key=lambda i: scores[i])
    assert found["best"] == [best]
    # two runs a trial, each as long as 8 steps of the baseline, whatever a step of its own costs
    assert found["cost"]["baseline_steps"] == pytest.approx(48) and found["cost"]["budgets"] == pytest.approx(6)
    assert found["cost"]["training_seconds"] < found["cost"]["processor_seconds"]
    for trial in found["trials"]:
        assert trial["scores"]["segmentation/mIoU"] == pytest.approx(sum(trial["per_seed"]["segmentation/mIoU"]) / 2)
        for seed in (0, 1):
            folder = run / trial["run"] / f"seed{seed}"
            for file in ("config.py", "metrics.jsonl", "checkpoint.pth", "backbone.safetensors", "run.json"):
                assert (folder / file).is_file(), file
            score = json.loads((folder / "probes/segmentation.json").read_text())["scores"]["mIoU"]
            assert score == trial["per_seed"]["segmentation/mIoU"][seed]
            config, values = load_config(folder / "config.py"), trial["values"]
            assert config.objective.mask_ratio == values["objective.mask_ratio"]
            assert config.recipe.global_scale == (values["recipe.global_scale.0"], 1.0)
            assert config.recipe.jitter.brightness == values["recipe.jitter.brightness"]
    rows = list(csv.DictReader((run / "trials.csv").open()))
    assert [float(row["segmentation/mIoU"]) for row in rows] == scores
    assert [float(row["optimizer.lr"]) for row in rows] == [t["values"]["optimizer.lr"] for t in found["trials"]]
    said = (run / "results.md").read_text()
    assert f"| {best} | finished (best) | {scores[best]:.2f} |" in said
    assert (
        'searched=dict(config="runs/best.py", continues="run", label="best of 3 trials by search (6.0 budgets)")'
        in said
    )
    assert "cost 48 steps of the baseline" in capsys.readouterr().out
    again = train(load_config(run / "best.py"), with_scenes / "again", seed=0)
    weights, before = (load_file(at / "backbone.safetensors") for at in (again, run / f"trial_{best:03d}/seed0"))
    assert all((weights[name] == before[name]).all() for name in before)


def test_the_best_is_an_arm_of_a_comparison(with_scenes, sweep, workers, written):
    run = sweep(trials=2)
    values = results(run)["trials"][results(run)["best"][0]]["values"]
    arms = {
        "fixed": {"config": "training.py", "continues": "run"},
        "searched": {"config": str(run / "best.py"), "continues": "run", "cfg_options": {"unlabeled.skip_corrupt": 0}},
    }
    rest = {"start": written["start"], "probes": "probes.py", "seeds": [0], "budget": {"baseline_steps": 4}}
    comparison = read_comparison({**rest, "arms": arms, "candidate": "searched"}, work_dir="compared")
    execute(comparison, workers, say=lambda line: None)
    config = load_config("compared/searched/seed0/config.py")
    assert config.budget.steps == 4 and config.arm == "searched"
    assert config.backbone.checkpoint == "compared/start/run/backbone.safetensors"
    assert config.continue_run == "compared/start/run"
    assert config.objective.mask_ratio == values["objective.mask_ratio"]
    assert Path("compared/searched/seed0/probes/segmentation.json").is_file()


def test_more_trials_are_added_to_those_that_are_there(with_scenes, sweep, workers):
    run = sweep(trials=1)
    first, trained = table(run), []

    def count(config, run_dir, *more, **hooks):
        trained.append(run_dir.parent.name)
        workers.train(config, run_dir, *more, **hooks)

    sweep("--trials", "2", instead=replace(workers, train=count), trials=1)
    assert trained == ["trial_001"] and table(run)[:1] == first and len(table(run)) == 2
    with pytest.raises(ValueError, match=r"space.optimizer/lr.high: 0.1 then, 0.2 now"):
        sweep(space={"optimizer.lr": {"low": 1e-3, "high": 2e-1, "log": True}})


def test_a_sweep_that_was_stopped_anywhere_ends_as_one_that_was_not(with_scenes, sweep, workers):
    """Pruned at shares 1 and 3 of 4 unless it is the best so far (of three, the best third goes on)."""
    pruning = {"count": 4, "reduction": 3}
    whole = sweep("--work-dir", "whole", trials=4, pruning=pruning)
    stops = {(f"trial_{number:03d}", what) for number in range(4) for what in ("time", "train", "probe")}

    def stop_once(place: str, what: str) -> None:
        if (place, what) in stops:
            stops.remove((place, what))
            raise KeyboardInterrupt

    def train_half(config, run_dir, *more, hooks=()):
        stop = StopAt(6, (run_dir.parent.name, "train"), stops)  # a checkpoint and a probe later: nothing was asked yet
        workers.train(config, run_dir, *more, hooks=[stop, *hooks])

    def probe(backbone, config, run_dir, seed):
        stop_once(run_dir.parent.name, "probe")
        workers.probe(backbone, config, run_dir, seed)

    def compare_cost(config, *more):
        stop_once(config.arm, "time")
        return workers.compare_cost(config, *more)

    stopping = replace(workers, train=train_half, probe=probe, compare_cost=compare_cost)
    stopped = 0
    while True:
        try:
            broken = sweep("--work-dir", "broken", trials=4, pruning=pruning, instead=stopping)
            break
        except KeyboardInterrupt as error:
            stopped += 1
            assert any("the same command goes on from here" in note for note in error.__notes__)
    assert stopped >= 4 + 2  # all are timed, one at least is trained to its end and probed
    assert table(broken) == table(whole)
    assert {trial["state"] for trial in table(whole)} == {"finished", "pruned"}
    for trial in results(whole)["trials"]:
        folder, pruned = whole / trial["run"] / "seed0", trial["state"] == "pruned"
        assert (folder / "checkpoint.pth").is_file() and (folder / "backbone.safetensors").is_file()
        assert trial["steps"] in ((2, 6) if pruned else (8,))
        assert pruned == (not (folder / "probes").exists())
    assert results(whole)["cost"]["baseline_steps"] == sum(trial["steps"] for trial in table(whole)) < 32
    assert "probes = [" not in (whole / "best.py").read_text()


class StopAt(Hook):
    """Stops a run as Ctrl-C would, once: when its name is in `stops`, from which it is then removed."""

    priority = "VERY_LOW"

    def __init__(self, step: int, name: tuple[str, str], stops: set[tuple[str, str]]):
        self.step, self.name, self.stops = step, name, stops

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.train_loop.step == self.step and self.name in self.stops:
            self.stops.remove(self.name)
            raise KeyboardInterrupt


# `sweep` has written sweep.py
IN_ANOTHER_PROCESS = """
from dataclasses import replace
from vssl.commands.sweep import parser
from vssl.comparison import default_workers
from vssl.sweep.command import run_command

def equal_cost(arm, baseline, baseline_steps, clock, seed, steps=None):
    return {"steps": baseline_steps, "cost": 1.0, "kinds": {}, "baseline_seconds": 1.0}

options = parser().parse_args(["sweep.py", "--work-dir", "killed", "--trials", "2"])
run_command(options, "sweep", replace(default_workers(), compare_cost=equal_cost))
"""


def test_a_killed_sweep_goes_on(with_scenes, sweep):
    """SIGKILL in the middle of a trial's training, which has no checkpoint yet."""
    whole = sweep("--work-dir", "whole", trials=2)
    Path("killed.py").write_text(IN_ANOTHER_PROCESS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "killed.py"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log, deadline = Path("killed/trial_001/seed0/metrics.jsonl"), time.monotonic() + 240
    while not log.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [trial["state"] for trial in results(Path("killed"))["trials"]] == ["finished"]
    killed = sweep("--work-dir", "killed", trials=2)
    assert table(killed) == table(whole)


def test_two_scores_leave_a_config_for_each_trial_of_the_front(with_scenes, sweep):
    run = sweep("--storage", "sqlite:///other.db", "--study", "mine", scores=["segmentation/mIoU", "depth/RMSE"])
    assert Path("other.db").is_file() and not (run / "study.db").exists() and results(run)["study"] == "mine"
    points = [(-t["scores"]["segmentation/mIoU"], t["scores"]["depth/RMSE"]) for t in results(run)["trials"]]
    front = [i for i, (a, b) in enumerate(points) if not any(c <= a and d <= b for c, d in points if (c, d) != (a, b))]
    assert results(run)["best"] == front
    assert sorted(path.stem for path in run.glob("front/*.py")) == [f"trial_{i:03d}" for i in front]
    assert load_config(next(run.glob("front/*.py"))).arm == "searched"
    assert {score["better"] for score in results(run)["scores"].values()} == {"higher", "lower"}


def test_a_trial_that_cannot_be_trained_has_failed_and_counts(with_scenes, sweep, workers):
    def diverge(config, run_dir, *more, **hooks):
        workers.train(config, run_dir, *more, **hooks)
        if run_dir.parent.name == "trial_001":
            raise FloatingPointError("step 7: the loss is not finite")

    run = sweep(instead=replace(workers, train=diverge))
    states = [trial["state"] for trial in results(run)["trials"]]
    assert states == ["finished", "failed", "finished"]
    failed = results(run)["trials"][1]
    assert failed["why"] == "step 7: the loss is not finite" and failed["baseline_steps"] == pytest.approx(8)
    assert results(run)["cost"]["baseline_steps"] == pytest.approx(24)


def test_values_that_cannot_be_combined_fail_the_trial_alone(with_scenes, sweep):
    """Each end of each range is allowed, but a crop's range may not end before it begins."""
    space = {f"recipe.global_scale.{i}": {"low": low, "high": high} for i, low, high in ((0, 0.1, 0.95), (1, 0.3, 1.0))}
    fixed = {"recipe.global_scale": (0.3, 0.95)}  # where each end alone is allowed
    trial = {"config": "training.py", "cfg_options": fixed, "continues": "run"}
    run = sweep(space=space, trial=trial, trials=5)
    ordered = [
        t["values"]["recipe.global_scale.0"] <= t["values"]["recipe.global_scale.1"] for t in results(run)["trials"]
    ]
    assert set(ordered) == {True, False}
    assert [trial["state"] == "finished" for trial in results(run)["trials"]] == ordered
    failed = results(run)["trials"][ordered.index(False)]
    assert "global_scale" in failed["why"] and failed["baseline_steps"] == 0.0


def test_a_fault_of_the_machine_ends_the_sweep_and_not_the_trial(with_scenes, sweep, workers):
    def full(config, run_dir, *more, **hooks):
        if run_dir.parent.name == "trial_000":
            raise OSError(28, "No space left on device")
        workers.train(config, run_dir, *more, **hooks)

    with pytest.raises(OSError, match="No space left"):
        sweep(trials=1, instead=replace(workers, train=full))
    run = sweep(trials=1)
    assert table(run)[0]["state"] == "finished"
    (run / "trial_000/seed0/run.json").unlink()
    with pytest.raises(FileNotFoundError, match="trial_000/seed0: the study 'runs' has finished this trial"):
        sweep(trials=2)
