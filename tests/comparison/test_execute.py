import copy
import json
import shutil
from pathlib import Path

import pytest
import torch

from vssl.comparison import execute, read_comparison
from vssl.comparison.jobs import execute_in_jobs
from vssl.comparison.pieces import shares
from vssl.comparison.plan import run_order
from vssl.engine.config import ConfigError


def run(comparison, fakes, **options):
    execute(comparison, fakes.workers(), say=lambda line: None, **options)


def test_everything_is_trained_once_and_probed_once(comparison, fakes):
    run(comparison, fakes)
    assert len(fakes.trained) == 9 and all(not resume for *_, resume in fakes.trained)
    assert sorted(fakes.probed) == sorted({(arm, seed) for arm, seed, _ in fakes.trained} | {("start", 0)})
    assert set(fakes.starts.values()) == {"start.safetensors"}


def test_a_second_call_does_nothing(comparison, fakes):
    run(comparison, fakes)
    trained, probed = list(fakes.trained), list(fakes.probed)
    run(comparison, fakes)
    assert (fakes.trained, fakes.probed) == (trained, probed)


def test_step_matched_arm_gets_the_steps_of_the_same_seed(comparison, fakes):
    run(comparison, fakes, seeds=[0])
    record = Path("runs/vpretraining/seed1/run.json")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"steps": 19, "seconds": 10.0, "finished": True}))
    (record.parent / "backbone.safetensors").write_text("by hand")
    run(comparison, fakes, seeds=[1])
    assert fakes.budgets["vpretraining", 0] == {"seconds": 10}
    assert fakes.budgets["fixed_steps", 0] == {"steps": 25}  # 10 s at 0.4 s per step
    assert fakes.budgets["fixed_steps", 1] == {"steps": 19}


def test_step_matched_arm_is_timed_by_the_clock_of_the_arm_it_follows(config, fakes):
    config["budget"]["clock"] = "processor"
    run(read_comparison(config), fakes, seeds=[0])
    assert fakes.budgets["fixed_steps", 0] == {"steps": 25, "clock": "processor"}


def test_a_run_is_described_with_the_threads_it_is_given(config, fakes):
    """Whatever this process, or the run before it, had: all runs of a comparison say the same."""
    for name in ("fixed", "vp"):
        Path(f"{name}.py").write_text(Path(f"{name}.py").read_text() + "threads = 3\n")
    train, before = fakes.train, torch.get_num_threads()

    def train_with_threads(config, *rest):
        torch.set_num_threads(config.threads)
        train(config, *rest)

    fakes.train = train_with_threads
    try:
        run(read_comparison(config), fakes, seeds=[0])
    finally:
        torch.set_num_threads(before)
    made = [json.loads(path.read_text())["environment"] for path in Path("runs").glob("*/seed0/origin.json")]
    assert [one["threads"] for one in made] == [3, 3, 3] and len({one["machine"] for one in made}) == 1


def test_the_one_step_probe_measures_every_arm(config, fakes):
    """Arms without feedback borrow the true feedback of another; what trains φ is nobody's but its own arm's."""
    pools = "pools=dict(depth=dict(type='vssl.feedback.Pool', meta=4))"
    Path("vp.py").write_text(Path("vp.py").read_text() + f"feedback = dict(control='negated', {pools})\n")
    config["one_step_probe"] = {"interval": 5, "batches": 2, "heldout": 16}
    run(read_comparison(config), fakes, seeds=[0])
    for arm, control in (("fixed", None), ("fixed_steps", None), ("vpretraining", "negated")):
        made = fakes.configs[arm, 0]
        assert made["one_step_probe"] == {"interval": 5, "batches": 2}
        assert made["feedback"]["pools"]["depth"] == {"type": "vssl.feedback.Pool", "meta": 4, "heldout": 16}
        assert made["feedback"].get("control") == control and "designer_optimizer" not in made
    config["one_step_probe"]["feedback_of"] = "fixed"
    with pytest.raises(ConfigError, match="feedback_of='fixed' names an arm without feedback"):
        run(read_comparison(config), fakes, seeds=[1])


@pytest.mark.parametrize("error", [FloatingPointError, KeyboardInterrupt])
def test_a_stopped_run_keeps_what_was_finished_and_resumes(comparison, fakes, error):
    fakes.fail_at, fakes.error = ("vpretraining", 1), error
    with pytest.raises(error, match="stopped halfway") as caught:
        run(comparison, fakes)
    assert "arm 'vpretraining', seed 1" in caught.value.__notes__[0]
    done = [pair[:2] for pair in fakes.trained[:-1]]
    assert done == [("fixed", 0), ("vpretraining", 0), ("fixed_steps", 0), ("fixed", 1)]
    fakes.fail_at, fakes.trained = None, []
    run(comparison, fakes)
    assert fakes.trained[0] == ("vpretraining", 1, True)
    assert [pair[:2] for pair in fakes.trained[1:]] == [
        ("fixed_steps", 1), ("vpretraining", 2), ("fixed_steps", 2), ("fixed", 2),
    ]  # fmt: skip


def test_a_run_killed_before_its_first_checkpoint_starts_again(comparison, fakes):
    fakes.fail_at = ("fixed", 0)
    with pytest.raises(FloatingPointError):
        run(comparison, fakes)
    Path("runs/fixed/seed0/checkpoint.pth").unlink()
    fakes.fail_at = None
    run(comparison, fakes, seeds=[0])
    assert fakes.trained[1] == ("fixed", 0, False)


def test_a_failed_probe_is_run_again_without_training(comparison, fakes):
    fakes.fail_probe_at = ("fixed", 0)
    with pytest.raises(RuntimeError, match="probe failed"):
        run(comparison, fakes)
    fakes.fail_probe_at, fakes.trained = None, []
    run(comparison, fakes, seeds=[0])
    assert ("fixed", 0, False) not in fakes.trained and fakes.probed.count(("fixed", 0)) == 2


def test_only_the_asked_arms_run(comparison, fakes):
    run(comparison, fakes, arms=["fixed"], seeds=[2])
    assert fakes.trained == [("fixed", 2, False)]
    with pytest.raises(ValueError, match="from 'vpretraining', which has not been run with seed 2"):
        run(comparison, fakes, arms=["fixed_steps"], seeds=[2])


def test_a_start_with_a_config_is_trained_first_and_once(config, fakes):
    config["start"] = {"config": "fixed.py", "budget": {"steps": 3}, "seed": 7, "probe_seeds": [0, 2]}
    run(read_comparison(config), fakes)
    assert fakes.trained[0] == ("start", 7, False) and fakes.budgets["start", 7] == {"steps": 3}
    assert fakes.starts["fixed", 0] == "runs/start/run/backbone.safetensors"
    assert fakes.probed[:2] == [("start", 0), ("start", 2)]
    run(read_comparison(config), fakes)
    assert sum(arm == "start" for arm, *_ in fakes.trained) == 1


def test_a_start_can_be_what_the_config_of_an_arm_begins_with(config, fakes):
    fixed = Path("fixed.py")
    fixed.write_text(fixed.read_text().replace("checkpoint=None", "pretrained=True"))
    config["start"] = {"backbone_of": "fixed"}
    for _ in range(2):
        run(read_comparison(config), fakes)
    assert fakes.exported == [{"depth": 4, "pretrained": True}], "once"
    assert set(fakes.starts.values()) == {"runs/start/run/backbone.safetensors"} and ("start", 0) in fakes.probed
    assert fakes.configs["fixed", 0]["backbone"]["pretrained"] is False, "the file's weights and no others"
    fixed.write_text(fixed.read_text().replace("depth=4", "depth=5"))
    with pytest.raises(ValueError, match=r"start/run/origin\.json .*depth: 4 then, 5 now"):
        run(read_comparison(config), fakes)


def test_an_arm_that_goes_on_with_another_run_than_the_start_is_refused(config, fakes):
    Path("vp.py").write_text(Path("vp.py").read_text() + "continue_run = 'runs/other'\n")
    with pytest.raises(ConfigError, match=r"'vpretraining': vp.py .*continue_run='runs/other'"):
        run(read_comparison(config), fakes)
    assert not fakes.trained and not fakes.probed


def test_other_settings_on_disk_are_refused_not_mixed(config, fakes):
    run(read_comparison(config), fakes, seeds=[0])
    config["arms"]["vpretraining"]["cfg_options"] = {"designer.lr": 0.5}
    with pytest.raises(ValueError, match=r"vpretraining/seed0/origin\.json .*designer\.lr: 0\.01 then, 0\.5 now"):
        run(read_comparison(config), fakes)
    shutil.rmtree("runs/vpretraining")
    run(read_comparison(config), fakes, seeds=[0])


def test_another_start_checkpoint_is_refused(comparison, fakes):
    run(comparison, fakes, seeds=[0])
    Path("start.safetensors").write_text("another")
    Path("runs/start/seed0/probed.json").unlink()
    with pytest.raises(ValueError, match=r"fixed/seed0/origin\.json was made with other settings \(start_sha256"):
        run(comparison, fakes)


def test_another_probe_config_is_refused(config, fakes):
    run(read_comparison(config), fakes, seeds=[0])
    config["probes"] = {"steps": 60}
    with pytest.raises(ValueError, match=r"start/seed0/probed\.json .*steps: 50 then, 60 now"):
        run(read_comparison(config), fakes)


def test_a_broken_arm_config_stops_before_any_training(comparison, fakes):
    Path("vp.py").write_text("backbone = (")
    with pytest.raises(SyntaxError) as caught:
        run(comparison, fakes)
    assert "arm 'vpretraining'" in caught.value.__notes__[-1] and fakes.trained == []


def test_training_that_does_not_finish_is_an_error(comparison, fakes):
    fakes.train = lambda config, run_dir, seed, resume: None
    with pytest.raises(RuntimeError, match=r"run\.json does not say that the run is finished"):
        run(comparison, fakes)


def test_after_each_is_called_whenever_results_changed(comparison, fakes):
    calls = []
    run(comparison, fakes, seeds=[0], after_each=lambda: calls.append(len(fakes.probed)))
    assert calls == [1, 2, 3, 4]  # the start, then three arms


def test_an_arm_can_begin_with_another_arms_designer(config, fakes):
    config["arms"]["frozen"] = {"config": "fixed.py", "budget": {"steps": 3}, "designer_of": "vpretraining"}
    comparison = read_comparison(config)
    order = run_order(comparison.arms, [0, 1, 2, 3])
    assert all(order.index(("vpretraining", s)) < order.index(("frozen", s)) for s in range(4))
    run(comparison, fakes)
    assert fakes.designers["frozen", 1] == "runs/vpretraining/seed1/checkpoint.pth"
    assert ("fixed", 1) not in fakes.designers
    with pytest.raises(ValueError, match="which has not been run with seed 7"):
        run(comparison, fakes, arms=["frozen"], seeds=[7])


def test_an_arm_can_begin_with_all_that_the_start_has_learned(config, fakes):
    config["start"] = {"config": "fixed.py"}
    config["arms"]["fixed"]["continues"] = "run"
    run(read_comparison(config), fakes)
    assert fakes.configs["fixed", 1]["continue_run"] == "runs/start/run"
    assert fakes.starts["fixed", 1] == "runs/start/run/backbone.safetensors"
    assert "continue_run" not in fakes.configs["vpretraining", 1]


def test_arms_with_the_starts_objective_go_on_with_its_run_unless_the_config_says_otherwise(config, fakes):
    for name, objective in (("fixed", "MAE"), ("vp", "MAE"), ("other", "DINO")):
        text = f"backbone = dict(depth=4, checkpoint=None)\nobjective = dict(type='vssl.objectives.{objective}')\n"
        Path(f"{name}.py").write_text(text + "budget = dict(steps=7)\n")
    config["start"] = {"config": "fixed.py"}
    config["arms"] = {
        "fixed": {"config": "fixed.py"},
        "vpretraining": {"config": "vp.py", "continues": "backbone"},
        "other": {"config": "other.py"},
    }
    run(read_comparison(config), fakes)
    whole = {arm for (arm, _), made in fakes.configs.items() if "continue_run" in made}
    assert whole == {"fixed"}

    Path("vp.py").write_text(Path("vp.py").read_text().replace("MAE')", "mae.MAE', mask_ratio=0.9)"))
    config["arms"]["vpretraining"].pop("continues")
    with pytest.raises(
        ConfigError, match="'vpretraining' has the objective of the start with another mask_ratio: give"
    ):
        run(read_comparison(config | {"work_dir": "third"}), fakes)
    Path("vp.py").write_text(Path("vp.py").read_text().replace(", mask_ratio=0.9", ""))
    fakes.configs.clear()
    run(read_comparison(config | {"work_dir": "fourth"}), fakes)  # the class by another of its names
    assert {arm for (arm, _), made in fakes.configs.items() if "continue_run" in made} == {"fixed", "vpretraining"}

    other = copy.deepcopy(config) | {"continues": "backbone", "work_dir": "elsewhere"}
    fakes.configs.clear()
    run(read_comparison(other), fakes)
    assert not any("continue_run" in made for made in fakes.configs.values())


def test_what_continues_a_run_needs_one(config):
    config["arms"]["fixed"]["continues"] = "run"
    with pytest.raises(ValueError, match="continues='run' needs a start with config=FILE"):
        read_comparison(config)
    config["arms"]["fixed"]["continues"] = "everything"
    with pytest.raises(ValueError, match="continues='everything'; give 'backbone', or 'run'"):
        read_comparison(config)


def test_designer_of_needs_an_arm_that_waits_for_none(config):
    config["arms"]["frozen"] = {"config": "fixed.py", "budget": {"steps": 3}, "designer_of": "vpretrainin"}
    with pytest.raises(ValueError, match="did you mean 'vpretraining'"):
        read_comparison(config)
    config["arms"]["frozen"]["designer_of"] = "fixed_steps"
    with pytest.raises(ValueError, match="'fixed_steps' waits for another arm"):
        read_comparison(config)


def test_jobs_need_budgets_that_do_not_depend_on_neighbours(comparison, fakes):
    with pytest.raises(ValueError, match="elapsed seconds, which runs side by side take from each other"):
        execute_in_jobs(comparison, fakes.workers(), jobs=2)
    with pytest.raises(ValueError, match="--jobs 0"):
        execute_in_jobs(comparison, fakes.workers(), jobs=0)
    assert fakes.trained == []


def test_jobs_keep_an_arm_with_those_that_wait_for_it(config):
    config["arms"]["frozen"] = {"config": "fixed.py", "budget": {"steps": 3}, "designer_of": "vpretraining"}
    dealt = shares(read_comparison(config))
    assert len(dealt) == 6 and {seed for _, seed in dealt} == {0, 1, 2}
    assert {tuple(sorted(group)) for group, _ in dealt} == {("fixed",), ("fixed_steps", "frozen", "vpretraining")}
    assert all(group[0] == "vpretraining" for group, _ in dealt if "vpretraining" in group)
    assert [group for group, _ in shares(read_comparison(config), ["fixed_steps"])] == [["fixed_steps"]] * 3
