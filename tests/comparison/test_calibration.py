"""Budgets in steps of the baseline. The fakes' V-Pretraining step costs 0.4 s, the fixed recipe's 0.25 s."""

import json
import shutil
from html import unescape
from pathlib import Path

import pytest

from vssl.comparison import execute, read_comparison
from vssl.comparison.listing import format_plan

FILE = Path("runs/vpretraining/calibration.json")


@pytest.fixture
def config(config):
    return {**config, "budget": {"baseline_steps": 40, "clock": "processor"}}


def run(config, fakes, **options) -> list[str]:
    said = []
    execute(read_comparison(config), fakes.workers(), say=said.append, **options)
    return said


def test_every_seed_of_an_arm_has_the_steps_that_take_as_long(config, fakes):
    said = run(config, fakes)
    for seed in (0, 1, 2):
        assert fakes.budgets["fixed", seed] == {"steps": 40, "clock": "processor"}
        assert fakes.budgets["vpretraining", seed] == {"steps": 25, "clock": "processor"}  # 40 · 0.25 / 0.4
        assert fakes.budgets["fixed_steps", seed] == {"steps": 25, "clock": "processor"}
    assert "vpretraining: 25 steps take as long as 40 steps of fixed" in said
    assert "vpretraining: checked again at the end, drift +0.0 %" in said


def test_timed_before_the_runs_and_checked_after_with_the_designer_they_ended_with(config, fakes):
    Path("runs/vpretraining/seed0").mkdir(parents=True)
    run(config, fakes, seeds=[1])  # one seed alone is checked too
    assert [entry[-1] for entry in fakes.compared] == [None, 25]
    assert all(entry[:4] == ("vpretraining", "fixed", 40, "processor") for entry in fakes.compared)
    made = json.loads(FILE.read_text())
    assert (made["steps"], made["baseline_steps"], made["baseline"]) == (25, 40, "fixed")
    assert made["end"]["seeds"] == [1] and made["begin"]["baseline_seconds"] == 10.0
    Path("runs/vpretraining/seed1/checkpoint.pth").write_text("φ")
    run(config, fakes)  # more seeds: the steps stay, the check is made anew
    assert [entry[-1] for entry in fakes.compared] == [None, 25, 25]
    run(config, fakes)
    assert len(fakes.compared) == 3
    Path("runs/vpretraining/seed0/checkpoint.pth").write_text("φ")
    FILE.write_text(json.dumps({**made, "end": None}))
    run(config, fakes)
    assert fakes.designers["vpretraining", "timed"] == "runs/vpretraining/seed0/checkpoint.pth"


def test_a_resumed_run_keeps_its_steps_whatever_the_machine_does(config, fakes):
    fakes.fail_at = ("vpretraining", 1)
    with pytest.raises(FloatingPointError):
        run(config, fakes)
    fakes.fail_at, fakes.slower = None, 2.0
    said = run(config, fakes)
    assert ("vpretraining", 1, True) in fakes.trained
    assert {fakes.budgets["vpretraining", seed]["steps"] for seed in (0, 1, 2)} == {25}
    assert "vpretraining: checked again at the end, drift +100.0 %" in said
    origin = json.loads(Path("runs/vpretraining/seed1/origin.json").read_text())
    assert origin["budget"] == {"baseline_steps": 40, "clock": "processor"} and origin["settings"]["budget.steps"] == 25


def test_steps_for_another_budget_or_other_settings_are_refused(config, fakes):
    run(config, fakes, seeds=[0])
    other = {**config, "budget": {"baseline_steps": 50, "clock": "processor"}}
    with pytest.raises(ValueError, match=r"calibration.json was made.*budget.baseline_steps: 40 then, 50 now"):
        run(other, fakes, seeds=[0])
    Path("fixed.py").write_text(Path("fixed.py").read_text().replace("1e-3", "1e-4"))
    with pytest.raises(ValueError, match=r"baseline\.designer\.lr: 0\.001 then, 0\.0001 now"):
        run(config, fakes, seeds=[0])
    shutil.rmtree("runs")
    run(config, fakes, seeds=[0])


def test_the_baseline_is_timed_even_where_it_is_not_run(config, fakes):
    run(config, fakes, arms=["vpretraining"], seeds=[0])
    assert fakes.trained == [("vpretraining", 0, False)] and fakes.budgets["vpretraining", 0]["steps"] == 25


def test_a_failing_timing_says_what_was_timed(config, fakes):
    fakes.compare_cost = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError) as caught:
        run(config, fakes)
    assert caught.value.__notes__ == ["while timing arm 'vpretraining' beside 'fixed'"] and fakes.trained == []


def test_list_shows_the_budget(config, fakes):
    comparison = read_comparison(config)
    before = format_plan(comparison).splitlines()
    assert "fixed                 seed 0     40 steps" in before[1]
    assert "as long as 40 baseline steps" in before[2] and before[2].endswith("?")
    run(config, fakes, seeds=[0])
    after = format_plan(comparison).splitlines()
    waiting = next(line for line in after if "vpretraining          seed 1" in line)
    assert "25 steps (as 40 of the baseline)" in waiting and waiting.endswith("10 s")  # 40 · 0.25 s


@pytest.mark.slow
def test_table_page_and_json_say_how_long_it_was_and_the_drift(config, fakes, capsys, compare):
    Path("compare.py").write_text("\n".join(f"{key} = {value!r}" for key, value in config.items()) + "\n")
    compare(["compare.py"], fakes.workers())
    out, page = capsys.readouterr().out, Path("runs/index.html").read_text()
    about = "Budget: as long as 40 steps of fixed recipe took on this machine: 10.0 seconds of processor time."
    drift = "V-Pretraining: 25 steps; drift when measured again at the end +0.0 %, by the runs' own clocks +0.0 %"
    for text in (out, unescape(page)):
        assert about in text and drift in text
    results = json.loads(Path("runs/results.json").read_text())
    assert results["arms"]["vpretraining"]["calibration"] == {
        "steps": 25, "baseline_steps": 40, "baseline": "fixed", "clock": "processor", "baseline_seconds": 10.0,
        "drift": 0.0,
    }  # fmt: skip
    assert results["arms"]["fixed"]["calibration"] is None
    assert results["verdict"]["compared"].startswith("V-Pretraining − fixed recipe at matched cost")
    assert results["verdict"]["firm"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drift", "matched", "noted"),
    [
        (0.04, "at matched cost", False),
        (-0.06, "at a cost budget that was not kept", True),
        (None, "at matched cost that has not been checked at the end", False),
    ],
)
def test_a_verdict_is_firm_only_where_the_cost_was_checked_and_kept(
    config, fakes, drift, matched, noted, capsys, compare
):
    Path("compare.py").write_text("\n".join(f"{key} = {value!r}" for key, value in config.items()) + "\n")
    compare(["compare.py"], fakes.workers())
    made = json.loads(FILE.read_text())
    FILE.write_text(json.dumps({**made, "end": None if drift is None else {"drift": drift, "seeds": [0, 1, 2]}}))
    compare(["compare.py", "--collect-only"], fakes.workers())
    results = json.loads(Path("runs/results.json").read_text())
    assert results["verdict"]["compared"].startswith(f"V-Pretraining − fixed recipe {matched} ")
    assert results["verdict"]["firm"] == (drift == 0.04)
    note = "V-Pretraining took another time than 40 steps of fixed recipe (-6.0 % measured again at the end"
    assert any(line.startswith(note) for line in results["notes"]) == noted
