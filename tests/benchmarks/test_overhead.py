"""`overhead` on a few images: what the designer adds, by kind of step and over the schedule of a run."""

from functools import partial

import pytest
import torch

from vssl.benchmarks.overhead import _fixed
from vssl.benchmarks.step_memory import StepMemory, measure_memory
from vssl.commands.benchmark import main

_POOL = dict(train=10, meta=4, batch_size=4, meta_batch_size=4)
SMALL = [f"feedback.pools.{task}.{key}={n}" for task in ("segmentation", "depth") for key, n in _POOL.items()]
SMALL += ["batch_size=4", "value.batch_size=4", "value.burn_in=2", "value.freeze_after=5", "value.g_down_every=2"]


@pytest.mark.slow
def test_the_designer_s_share_is_that_of_its_schedule(benchmark, data, capsys):
    result = benchmark("overhead", "scenes/mae_vpretraining", "--steps", "8", "--cfg-options", *SMALL, *data)
    (row,) = result["rows"]
    assert (row["config"], row["steps"], row["meta_steps"]) == ("scenes/mae_vpretraining", 8, 3)
    # 5 steps of the learner alone, a meta step that uses g_down again, and two that take it anew
    assert row["first_meta_step"] > row["with_a_meta_step"] > row["learner"] > 0
    assert row["and_g_down"] > row["with_a_meta_step"]
    parts = 5 * row["learner"] + row["first_meta_step"] + row["with_a_meta_step"] + row["and_g_down"]
    assert row["whole_run"] == pytest.approx(parts / 8)
    assert "| scenes/mae_vpretraining | 8 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_whose_steps_have_no_meta_step_is_refused(data, capsys):
    assert main(["overhead", "scenes/mae_vpretraining", "--steps", "2", "--cfg-options", *SMALL, *data]) == 1
    assert "no meta step comes in 2 steps" in capsys.readouterr().err


def test_a_run_without_a_designer_is_refused(capsys):
    assert main(["overhead", "scenes/mae_start"]) == 1
    assert "mae_start.py has no feedback" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_is_that_of_weights_gradients_and_moments_and_a_little_more(data):
    options = dict(option.split("=", 1) for option in data)
    options |= {"batch_size": 4, "threads": 1, "backbone.embed_dim": 576, "backbone.depth": 2}
    found = measure_memory(partial(_fixed, "scenes/mae_vpretraining", options), torch.device("cpu"), seed=0)
    of_blocks = 2 * 12 * 576**2 * 4 * 4 / 2**20  # MiB of two blocks' matrices, each four times in fp32
    assert of_blocks < found.learner < 2 * of_blocks and found.whole == found.learner


def test_memory_is_told_of_both_runs(benchmark, monkeypatch, data, capsys):
    found = {"_fixed": [StepMemory(7, 7), StepMemory(9, 9)], "_designed": [StepMemory(10, 30), StepMemory(20, 50)]}
    monkeypatch.setattr("vssl.benchmarks.overhead.measure_memory", lambda load, *_: found[load.func.__name__].pop(0))
    options = ["--cfg-options", *SMALL, *data]
    (row,) = benchmark("overhead", "scenes/mae_vpretraining", "--memory", "2", *options)["rows"]
    told = {"without_a_designer": [7.5, 8, 8.5], "learner_step": [12.5, 15, 17.5], "with_meta_steps": [35, 40, 45]}
    assert row == {"config": "scenes/mae_vpretraining", **told}
    assert "| scenes/mae_vpretraining | 8 [8, 8] | 15 [12, 18] | 40 [35, 45] |" in capsys.readouterr().out
    assert main(["overhead", "scenes/mae_vpretraining", "--memory", "0", *options]) == 1
    assert "--memory 0: give 1 or more" in capsys.readouterr().err
