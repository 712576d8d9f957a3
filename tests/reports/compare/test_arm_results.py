import json
import shutil

import numpy as np
import pytest
from scipy import stats

from vssl.reports import collect, format_table, write_results
from vssl.reports.compare.comparison_page import render_page
from vssl.reports.compare.matched_budgets import time_unit
from vssl.reports.metrics import scores_of

FIXED, VP = [41.0, 42.0, 43.0], [42.1, 42.9, 44.0]  # mIoU of the fabricated folder


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_means_spreads_and_paired_differences(folder, layout):
    results = collect(folder, layout)
    fixed, vp = results["arms"]["fixed"], results["arms"]["vpretraining"]
    assert fixed["aggregate"]["segmentation/mIoU"] == {"mean": 42.0, "std": 1.0, "n": 3, "seeds": [0, 1, 2]}
    difference, reference = vp["difference"]["segmentation/mIoU"], stats.ttest_rel(VP, FIXED)
    interval = reference.confidence_interval()
    assert difference["mean"] == pytest.approx(1.0)
    assert (difference["low"], difference["high"]) == pytest.approx((interval.low, interval.high))
    assert difference["p"] == pytest.approx(reference.pvalue)
    assert fixed["difference"] == {} and results["missing"] == [] and results["notes"] == []


def test_an_arm_can_be_set_against_another_than_the_baseline(folder, layout):
    layout["arms"]["random_feedback"]["against"] = "vpretraining"
    results = collect(folder, layout)
    random, vp = results["arms"]["random_feedback"], results["arms"]["vpretraining"]
    own = scores_of(random, "segmentation/mIoU")
    expected = np.mean([own[seed] - score for seed, score in scores_of(vp, "segmentation/mIoU").items()])
    assert random["difference"]["segmentation/mIoU"]["mean"] == pytest.approx(expected)
    assert vp["difference"]["segmentation/mIoU"]["mean"] == pytest.approx(1.0)  # to the baseline still
    text, page = format_table(results), render_page(results, folder)
    assert f"− {vp['label']}" in text and "(or to the arm named there)" in text
    assert f"difference to {vp['label']}</small>" in page and "or to the arm that is named there" in page


def test_steps_seconds_and_phases_come_from_the_runs(folder, layout):
    run = collect(folder, layout)["arms"]["vpretraining"]["runs"]["2"]
    assert (run["steps"], run["seconds"], run["run_dir"]) == (202, 60.2, "vpretraining/seed2")
    assert run["clock"] == "elapsed" and run["seconds_per_step"] == pytest.approx(60.2 / 202)
    assert run["seconds_per_phase"]["learner"] == pytest.approx(0.19)
    assert run["seconds_per_phase"]["designer"] == pytest.approx(0.025)
    assert run["probe_seconds"] == {"segmentation": 8.5, "depth": 7.0}


def test_results_are_strict_json_and_the_same_every_time(folder, layout, environment, tmp_path):
    for name in ("a.json", "b.json"):
        write_results(collect(folder, layout, environment), tmp_path / name)
    text = (tmp_path / "a.json").read_text()
    assert text == (tmp_path / "b.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert content["arms"]["fixed"]["runs"]["0"]["scores"]["segmentation"]["mIoU"] == 41.0
    assert content["environment"] == environment


def test_missing_seeds_are_left_out_of_the_pairs_and_said(folder, layout):
    shutil.rmtree(folder / "vpretraining" / "seed1")
    results = collect(folder, layout)
    difference = results["arms"]["vpretraining"]["difference"]["segmentation/mIoU"]
    assert (difference["seeds"], difference["mean"]) == ([0, 2], pytest.approx(1.05))
    assert results["arms"]["fixed"]["aggregate"]["segmentation/mIoU"]["n"] == 3
    assert results["missing"] == [{"arm": "vpretraining", "seed": 1, "why": "not run"}]
    assert any("paired over the shared seeds only (0, 2)" in note for note in results["notes"])
    assert any("Missing, not run: vpretraining seed 1" in note for note in results["notes"])


def test_one_shared_seed_gives_a_difference_without_interval(folder, layout):
    results = collect(folder, {**layout, "seeds": [2]})
    difference = results["arms"]["vpretraining"]["difference"]["segmentation/mIoU"]
    assert difference["mean"] == pytest.approx(1.0) and difference["low"] is None
    assert results["verdict"]["outcome"] == "undecided"


def test_an_empty_folder_gives_empty_results(tmp_path, layout):
    results = collect(tmp_path, layout)
    assert results["metrics"] == [] and len(results["missing"]) == 15
    assert results["verdict"]["headline"] == "Undecided: no seed has finished in both arms."


def test_a_start_probed_once_is_compared_with_every_seed(folder, layout):
    for seed in (1, 2):
        shutil.rmtree(folder / "start" / f"seed{seed}")
    layout["start"]["probe_seeds"] = [0]
    results = collect(folder, layout)
    difference = results["arms"]["vpretraining"]["difference_to_start"]["segmentation/mIoU"]
    expected = stats.ttest_1samp(np.array(VP) - 40.0, 0).confidence_interval()
    assert (difference["n"], difference["low"]) == (3, pytest.approx(expected.low))
    assert results["missing"] == []


def test_holm_corrects_over_arms_metric_by_metric(folder, layout):
    results = collect(folder, {**layout, "correction": "holm"})
    differences = {name: arm["difference"]["depth/RMSE"] for name, arm in results["arms"].items() if name != "fixed"}
    p = {name: difference["p"] for name, difference in differences.items()}
    assert p["vpretraining"] == min(p.values())
    assert differences["vpretraining"]["p_corrected"] == pytest.approx(3 * p["vpretraining"])
    assert "p_corrected" not in collect(folder, layout)["arms"]["vpretraining"]["difference"]["depth/RMSE"]


def test_a_score_that_is_not_finite_is_left_out_and_said(folder, layout):
    edit_json(folder / "fixed" / "seed0" / "probes" / "depth.json", scores={"RMSE": None, "delta1": 0.7})
    results = collect(folder, layout)
    assert scores_of(results["arms"]["fixed"], "depth/RMSE") == {1: 0.59, 2: 0.57}
    assert results["arms"]["vpretraining"]["difference"]["depth/RMSE"]["seeds"] == [1, 2]
    assert any("not finite" in note and "fixed seed 0 depth RMSE" in note for note in results["notes"])


def on_the_processor(folder, layout, arms):
    """The same runs, with their budget on the processor's clock."""
    for arm in arms:
        layout["arms"][arm]["budget"] = {"seconds": 60, "clock": "processor"}
        for path in (folder / arm).glob("seed*/run.json"):
            edit_json(path, budget=layout["arms"][arm]["budget"])


@pytest.mark.slow
def test_processor_seconds_are_never_called_wall_clock(folder, layout):
    on_the_processor(folder, layout, layout["arms"])
    edit_json(folder / "vpretraining" / "seed1" / "run.json", seconds=66.11)
    results = collect(folder, layout)
    assert {run["clock"] for arm in results["arms"].values() for run in arm["runs"].values()} == {"processor"}
    assert results["notes"] == ["Processor time of the two compared arms is not matched within 2 % (seed 1: 10.0 %)."]
    said = format_table(results) + render_page(results, folder)
    assert "processor-time budget that was not kept" in said and "processor seconds" in said
    assert "wall-clock" not in said and "elapsed" not in said
    edit_json(folder / "vpretraining" / "seed1" / "run.json", seconds=60.1)
    assert "at matched processor time" in collect(folder, layout)["verdict"]["sentence"]


def test_arms_on_different_clocks_are_marked(folder, layout):
    on_the_processor(folder, layout, ["fixed", "vpretraining", "random_feedback"])
    assert time_unit(collect(folder, layout)) == "seconds (of each arm's own clock)"
    lines = format_table(collect(folder, layout)).splitlines()
    assert "60.1 (processor)" in next(line for line in lines if line.startswith("fixed recipe"))
    assert "(processor)" not in next(line for line in lines if line.startswith("fixed, step-matched"))


def test_the_environment_is_that_of_the_runs(folder, layout, environment):
    """A process that only collects has its own number of threads."""
    for path in folder.glob("*/seed*/origin.json"):
        edit_json(path, environment={"machine": "a CPU, 2 CPUs, 1 threads", "threads": 1})
    shown = collect(folder, layout, environment)["environment"]
    assert (shown["machine"], shown["threads"]) == ("a CPU, 2 CPUs, 1 threads", 1)
    assert shown["date"] == environment["date"]


def test_unmatched_time_is_said(folder, layout):
    edit_json(folder / "vpretraining" / "seed1" / "run.json", seconds=66.11)
    (note,) = collect(folder, layout)["notes"]
    assert "not matched within 2 % (seed 1: 10.0 %)" in note


def test_another_protocol_machine_or_start_is_said(folder, layout):
    probe = folder / "fixed" / "seed2" / "probes" / "depth.json"
    edit_json(probe, card={**json.loads(probe.read_text())["card"], "steps": 100})
    edit_json(folder / "fixed" / "seed2" / "origin.json", environment={"machine": "another"}, start_sha256="cd" * 32)
    notes = "\n".join(collect(folder, layout)["notes"])
    assert "The depth probe of fixed seed 2 had another protocol (steps)" in notes
    assert "fixed seed 2 on another" in notes
    assert "fixed seed 2 from cdcdcdcdcdcd" in notes


def test_a_broken_file_stops_with_its_name(folder, layout):
    (folder / "random_feedback" / "seed1" / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"random_feedback/seed1/run\.json is not readable JSON"):
        collect(folder, layout)
