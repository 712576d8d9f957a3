"""`overhead` on a few images: what the designer adds, by kind of step and over the schedule of a run."""

import pytest

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
