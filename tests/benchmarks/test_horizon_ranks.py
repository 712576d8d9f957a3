"""`horizon` on a few images: it measures, goes on after what was measured, and orders as numbers say."""

import json

import numpy as np
import pytest

from vssl.benchmarks.horizon_ranks import mean_rank_correlation, summary
from vssl.commands.benchmark import main

SMALL = (
    "batch_size=4", "value.batch_size=4", "value.burn_in=1", "budget.steps=4", "feedback.pools.segmentation.train=10",
    "feedback.pools.segmentation.meta=4", "feedback.pools.segmentation.batch_size=4",
    "feedback.pools.segmentation.heldout=4", "feedback.pools.depth.train=10", "feedback.pools.depth.meta=4",
    "feedback.pools.depth.batch_size=4", "feedback.pools.depth.heldout=4", "schedule.head_share=0.25",
)  # fmt: skip


@pytest.mark.slow
def test_targets_are_measured_once_and_the_command_goes_on(benchmark, data, capsys, tmp_path):
    words = ["horizon", "configs/scenes/mae_horizon.py", "--runs", "1", "--horizons", "0", "2"]
    words += ["--cfg-options", *SMALL, *data]
    result = benchmark(*words)
    names = ["high_bands", "hog", "low_bands", "normalised_pixels", "raw_pixels"]
    assert [row["construction"] for row in result["rows"]] == names
    first = result["rows"][0]
    assert (first["objective"], first["surface"], first["of"]) == ("MAE", "Choice", 5)
    assert first["values"].keys() == {"0", "2"} and first["outcome"].keys() == {"segmentation", "depth"}
    drops = {row["values"]["2"]["depth"] for row in result["rows"]}
    assert len(drops) == 5 and all(abs(drop) < 1 for drop in drops)
    assert "| configs/scenes/mae_horizon.py | MAE | Choice | depth | 2 | 5 | 1 |" in capsys.readouterr().out

    out = tmp_path / "out.json"
    cut = json.loads(out.read_text())
    cut["rows"] = [row | {"outcome": {"depth": 1.0, "segmentation": 1.0}} for row in cut["rows"][:3]]
    out.write_text(json.dumps(cut))
    again = benchmark(*words)
    assert again["rows"][:3] == cut["rows"] and again["rows"][3:] == result["rows"][3:]
    assert main([*words[:-1], "--out", str(out)]) == 1 and "other settings" in capsys.readouterr().err


@pytest.mark.slow
def test_perturbed_policies_are_compared_too(benchmark, data):
    words = ["horizon", "configs/scenes/simclr_policy.py", "--runs", "1", "--horizons", "2", "--constructions", "3"]
    result = benchmark(*words, "--cfg-options", *SMALL, *data)
    assert [row["construction"] for row in result["rows"]] == ["start", "perturbed 1", "perturbed 2"]
    assert len({row["values"]["2"]["depth"] for row in result["rows"]}) == 3


@pytest.mark.slow
def test_options_with_shares_are_compared_each_in_its_own_stream(benchmark, data):
    root, *labels = data
    roots = [f"unlabeled.roots.{name}={root.partition('=')[2]}" for name in ("scenes", "colours", "rooms")]
    words = ["horizon", "configs/scenes/mae_sources.py", "--runs", "1", "--horizons", "2"]
    small = [word for word in SMALL if "head_share" not in word]
    result = benchmark(*words, "--cfg-options", *small, *roots, *labels)
    assert [row["construction"] for row in result["rows"]] == ["colours", "equal", "rooms", "scenes"]
    assert len({row["values"]["2"]["depth"] for row in result["rows"]}) > 1  # the folders hold the same images


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused(data, capsys):
    assert main(["horizon", "configs/scenes/simclr_fixed.py"]) == 1
    assert "a horizon needs feedback" in capsys.readouterr().err
    assert main(["horizon", "configs/scenes/mae_horizon.py", "--cfg-options", *data]) == 1
    assert "give feedback.pools.segmentation.heldout=N" in capsys.readouterr().err
    assert main(["horizon", "configs/scenes/mae_horizon.py", "--horizons", "-1"]) == 1
    assert "-1 is too small" in capsys.readouterr().err


@pytest.mark.slow
def test_a_perfect_order_has_correlation_one_and_loses_nothing():
    value = np.arange(6.0)
    rho, low, high = mean_rank_correlation([np.stack([value, value**3], 1), np.stack([value, 2 * value], 1)])
    assert rho == 1 and high == 1 and low > 0.8
    assert mean_rank_correlation([np.stack([value, -value], 1)])[0] == -1
    assert mean_rank_correlation([np.stack([0 * value, value], 1)]) == (0, 0, 0)


@pytest.mark.slow
def test_the_table_says_what_the_choice_by_value_loses():
    def row(seed, name, value, outcome):
        about = {"config": "c", "objective": "MAE", "surface": "Choice", "of": 3, "seed": seed, "construction": name}
        return about | {"values": {"5": {"depth": value}}, "outcome": {"depth": outcome}}

    measured = [row(0, "a", 1, 10), row(0, "b", 2, 30), row(0, "c", 3, 20)]
    measured += [row(1, "a", 1, 10), row(1, "b", 3, 30), row(1, "c", 2, 20)]
    (line,) = summary(measured)
    assert line["outcome_lost"] == "5" and line["seeds"] == 2  # 10 in one seed, nothing in the other
    assert line["rank_correlation"].startswith("+0.75 [")
