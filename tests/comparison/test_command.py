import json
from pathlib import Path

import pytest

from vssl.commands.compare import main
from vssl.comparison import default_workers
from vssl.comparison.listing import format_plan
from vssl.engine.config import ConfigError
from vssl.results.store import Store


@pytest.fixture
def config_file(config) -> str:
    Path("compare.py").write_text("\n".join(f"{key} = {value!r}" for key, value in config.items()) + "\n_own = 1\n")
    return "compare.py"


@pytest.mark.slow
def test_run_writes_results_page_and_table(config_file, fakes, capsys, compare):
    compare([config_file], fakes.workers())
    out = capsys.readouterr().out
    results = json.loads(Path("runs/results.json").read_text())
    # 10 s: 40 steps at 0.25 s for the fixed recipe, 25 at 0.4 s for V-Pretraining, 25 for the step-matched arm
    steps = {arm: {run["steps"] for run in about["runs"].values()} for arm, about in results["arms"].items()}
    assert steps == {"fixed_steps": {25}, "fixed": {40}, "vpretraining": {25}}
    assert results["arms"]["vpretraining"]["difference"]["segmentation/mIoU"]["mean"] == pytest.approx(1.1)
    assert results["command"] == "python tools/compare.py compare.py"
    assert "+1.10 [0.85, 1.35]" in out and "+1.10 [0.85, 1.35]" in Path("runs/index.html").read_text()
    assert out.rstrip().endswith("runs/index.html")


@pytest.mark.slow
def test_a_store_that_is_named_gets_every_run_and_probe_result(config_file, fakes, compare, monkeypatch):
    monkeypatch.setenv("VSSL_RESULTS", "team.sqlite")
    compare([config_file], fakes.workers())
    store = Store("team.sqlite")
    assert [(run["arm"], run["seed"]) for run in store.runs()] == [
        (arm, seed) for arm in ("fixed", "fixed_steps", "vpretraining") for seed in range(3)
    ]
    assert {run["about"]["label"] for run in store.runs()} == {"fixed recipe", "V-Pretraining", "fixed steps"}
    assert [result["run"] is None for result in store.probes()].count(True) == 1  # of the start


@pytest.mark.slow
def test_results_so_far_remain_when_a_run_fails(config_file, fakes, compare):
    fakes.fail_at = ("fixed", 2)
    with pytest.raises(FloatingPointError) as caught:
        compare([config_file], fakes.workers())
    assert any("the same command goes on from here" in note for note in caught.value.__notes__)
    results = json.loads(Path("runs/results.json").read_text())
    assert list(results["arms"]["fixed"]["runs"]) == ["0", "1"]
    assert {"arm": "fixed", "seed": 2, "why": "not finished (step 20)"} in results["missing"]
    assert Path("runs/index.html").is_file()
    fakes.fail_at = None
    compare([config_file], fakes.workers())
    assert json.loads(Path("runs/results.json").read_text())["missing"] == []


@pytest.mark.slow
def test_collect_only_runs_nothing(config_file, fakes, compare):
    compare([config_file], fakes.workers())
    before = list(fakes.trained)
    Path("runs/results.json").unlink()
    compare([config_file, "--collect-only"], fakes.workers())
    assert fakes.trained == before and Path("runs/results.json").is_file()


@pytest.mark.slow
def test_list_prints_order_state_and_time_and_runs_nothing(config_file, fakes, comparison, capsys, compare):
    compare([config_file, "--list"], fakes.workers())
    out = capsys.readouterr().out
    assert fakes.trained == [] and not Path("runs").exists()
    assert "training time still to come: 90 s" in out and "probe sets still to come: 10 (length not measured" in out
    compare([config_file, "--seeds", "0"], fakes.workers())
    lines = format_plan(comparison).splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["fixed", "vpretraining", "fixed_steps"]
    assert all("finished" in line for line in lines[1:4]) and "steps of vpretraining" in lines[3]
    assert lines[-2] == "training time still to come: 60 s"
    assert lines[-1] == "probe sets still to come: 6 (about 2 s each)"


def test_list_learns_the_length_of_step_budgets_from_finished_seeds(config, fakes):
    from vssl.comparison import execute, read_comparison

    config["budget"] = {"steps": 100}
    comparison = read_comparison(config)
    assert format_plan(comparison).splitlines()[-2] == "training time still to come: 0 s, and 9 runs of unknown length"
    execute(comparison, fakes.workers(), seeds=[0], say=lambda line: None)
    # two seeds left: 100 steps at 0.25 s and at 0.4 s, and the step-matched arm at most the latter
    assert format_plan(comparison).splitlines()[-2] == "training time still to come: 210 s"


def test_seeds_and_arms_on_the_command_line(config_file, fakes, compare):
    compare([config_file, "--seeds", "4", "--arms", "fixed", "vpretraining", "--work-dir", "other"], fakes.workers())
    assert [pair[:2] for pair in fakes.trained] == [("fixed", 4), ("vpretraining", 4)]
    assert json.loads(Path("other/results.json").read_text())["seeds"] == [4]


def test_errors_are_one_message_and_status_one(config_file, capsys):
    assert main([config_file, "--arms", "fixd"]) == 1
    assert "--arms: no arm named 'fixd'" in capsys.readouterr().err
    assert main([config_file, "--seeds", "1", "1"]) == 1
    assert "seed 1 is given twice" in capsys.readouterr().err
    assert main(["nothing.py"]) == 1
    assert capsys.readouterr().err.startswith("error: config nothing.py does not exist")


@pytest.mark.slow
def test_a_comparison_that_is_refused_before_any_run_leaves_no_report(config_file, fakes, monkeypatch, compare):
    def refuse(path, options):
        raise ValueError("no such folder")

    workers = fakes.workers()
    monkeypatch.setattr(fakes, "load_config", refuse)
    with pytest.raises(ValueError, match="no such folder") as caught:
        compare([config_file], fakes.workers())
    assert not any("goes on from here" in note or "index.html" in note for note in caught.value.__notes__)
    assert not Path("runs/index.html").exists()
    compare([config_file], workers)


def test_an_option_of_an_arm_is_named_as_the_comparison_names_it():
    with pytest.raises(ConfigError, match=r"^cfg_options: objective\.pol: objective has no 'pol'; did you mean 'pool'"):
        default_workers().load_config(Path("configs/scenes/simclr_fixed.py"), {"objective.pol": "class"})
