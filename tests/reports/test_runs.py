import json

import pytest

from vssl.reports.runs import read_metrics, read_probes, read_run, run_directory, seconds_per_phase


def test_a_finished_run_is_read_whole(folder):
    run = read_run(run_directory(folder, "vpretraining", 1))
    assert run.why_missing is None
    assert (run.info["steps"], len(run.metrics), list(run.probes)) == (201, 10, ["segmentation", "depth"])
    assert run.probes["segmentation"]["scores"]["mIoU"] == 42.9
    assert run.origin["arm"] == "vpretraining"


def test_what_is_missing_is_said(folder):
    assert read_run(folder / "fixed" / "seed9").why_missing == "not run"
    record = folder / "fixed" / "seed0" / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "finished": False}))
    assert read_run(record.parent).why_missing == "not finished (step 240)"
    for result in (folder / "fixed" / "seed1" / "probes").glob("*.json"):
        result.unlink()
    assert read_run(folder / "fixed" / "seed1").why_missing == "not probed"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", '{"steps": 3', "run.json is not readable JSON"),
        ("run.json", "[1]", "run.json holds a list, expected a JSON object"),
        ("run.json", '{"steps": 3}', "run.json: a run's record without seconds, finished"),
        ("probes/depth.json", '{"task": "depth"}', "depth.json: a probe result without scores"),
        ("probes/depth.json", '{"task": "depth", "scores": {"RMSE": "low"}}', "depth.json: the scores are not numbers"),
        ("metrics.jsonl", '{"step": 1}\nnonsense\n{"step": 2}\n', "metrics.jsonl, line 2: not a log row"),
        ("metrics.jsonl", '{"loss": 1}\n', "metrics.jsonl, line 1: not a log row with a step"),
    ],
)
def test_a_broken_file_is_named(folder, name, content, message):
    path = folder / "fixed" / "seed0" / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_run(path.parents[1] if "/" in name else path.parent)


def test_a_log_cut_off_by_a_kill_loses_its_last_line_only(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 10, "loss": 2}\n{"step": 20, "loss": 1}\n{"step": 30, "lo')
    assert [row["step"] for row in read_metrics(log)] == [10, 20]


def test_a_step_logged_again_after_a_resume_counts_once(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 10, "loss": 3}\n{"step": 20, "loss": 9}\n{"step": 20, "loss": 1}\n')
    assert [row["loss"] for row in read_metrics(log)] == [3, 1]


def test_scores_that_are_not_finite_become_none(folder):
    path = folder / "fixed" / "seed0" / "probes" / "depth.json"
    path.write_text('{"task": "depth", "scores": {"RMSE": NaN, "AbsRel": null, "delta1": 0.5}}')
    assert read_probes(path.parent)["depth"]["scores"] == {"RMSE": None, "AbsRel": None, "delta1": 0.5}


def test_older_results_are_described_and_strange_ones_name_the_way_out(folder):
    probes = folder / "fixed" / "seed0" / "probes"
    found = read_probes(probes)
    assert list(found) == ["segmentation", "depth"]
    assert found["depth"]["score_info"]["RMSE"] == {"title": "RMSE", "unit": "m", "better": "lower", "digits": 4}
    (probes / "depth.json").write_text('{"task": "depth", "scores": {"RMSE": 1, "surprise": 2}}')
    with pytest.raises(ValueError, match=r"depth\.json: no unit .*\['surprise'\].*probed\.json.*tools/compare\.py"):
        read_probes(probes)


def test_probes_come_in_the_order_of_their_set(tmp_path):
    for position, name in enumerate(("zebra", "ant", "mole")):
        info = {"speed": {"title": "speed", "unit": "m/s", "better": "higher", "digits": 1}}
        result = {"task": name, "position": position, "scores": {"speed": 1.0}, "score_info": info}
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    assert list(read_probes(tmp_path)) == ["zebra", "ant", "mole"]


def test_phase_seconds_are_weighted_by_steps():
    # 10 steps at 0.1 s and 30 steps at 0.2 s: (1 + 6) / 40; the designer ran in the second row only
    rows = [{"step": 10, "time/learner": 0.1}, {"step": 40, "time/learner": 0.2, "time/designer": 0.04}]
    assert seconds_per_phase(rows) == pytest.approx({"learner": 0.175, "designer": 0.03})
    assert seconds_per_phase([]) == {}
