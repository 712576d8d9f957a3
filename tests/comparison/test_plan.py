import copy

import pytest

from vssl.comparison.plan import read_comparison, run_order
from vssl.engine.config import ConfigError


def test_defaults_and_the_shared_budget(comparison):
    assert (comparison.baseline, comparison.candidate, comparison.seeds) == ("fixed", "vpretraining", [0, 1, 2])
    assert comparison.arms["fixed"].budget == {"seconds": 10} and comparison.arms["fixed_steps"].budget == {}
    assert comparison.arms["vpretraining"].label == "V-Pretraining"
    assert comparison.start.probe_seeds == [0]


def test_command_line_replaces_seeds_and_folder(config):
    comparison = read_comparison(config, seeds=[5], work_dir="elsewhere")
    assert (comparison.seeds, comparison.start.probe_seeds, str(comparison.work_dir)) == ([5], [5], "elsewhere")


def test_arms_take_turns_and_step_matched_follows_its_source(comparison):
    order = run_order(comparison.arms, [0, 1, 2])
    assert order == [
        ("fixed", 0), ("vpretraining", 0), ("fixed_steps", 0),
        ("fixed", 1), ("vpretraining", 1), ("fixed_steps", 1),
        ("vpretraining", 2), ("fixed_steps", 2), ("fixed", 2),
    ]  # fmt: skip


def test_the_first_place_rotates(comparison):
    arms = {name: comparison.arms[name] for name in ("fixed", "vpretraining")}
    firsts = [pair[0] for pair in run_order(arms, [0, 1, 2, 3])][::2]
    assert firsts == ["fixed", "vpretraining", "fixed", "vpretraining"]


@pytest.mark.parametrize("key", ["headroom", "baseline", "candidate"])
def test_an_unknown_arm_is_a_config_error(config, key):
    with pytest.raises(ConfigError, match=f"compare.py: {key}: no arm named 'none'"):
        read_comparison({**config, key: "none"}, "compare.py")


def test_the_baseline_needs_steps_of_its_own(config):
    config["budget"] = {"baseline_steps": 9}
    assert read_comparison(config).arms["vpretraining"].budget == {"baseline_steps": 9}
    config["baseline"] = "fixed_steps"
    with pytest.raises(ConfigError, match="the baseline 'fixed_steps' has steps_of; give the baseline a budget"):
        read_comparison(config)


def test_own_variables_of_a_config_are_ignored(config):
    assert read_comparison({**config, "_note": 1}).seeds == [0, 1, 2]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sedes",), [0], r"unknown key 'sedes' .*did you mean 'seeds'\?"),
        (("arms", "fixed", "bugdet"), {}, r"arm 'fixed': unknown key 'bugdet' .*did you mean 'budget'\?"),
        (("start", "seeds"), [0], r"start: unknown key 'seeds'"),
        (("seeds",), [0, 1, 1], "seed 1 is given twice"),
        (("seeds",), [], "expected at least one whole number"),
        (("seeds",), ["a"], "expected at least one whole number"),
        (("baseline",), "fixd", r"baseline: no arm named 'fixd' .*did you mean 'fixed'\?"),
        (("candidate",), "mine", r"candidate: no arm named 'mine' \(arms: fixed_steps, fixed, vpretraining\)"),
        (("arms", "fixed_steps", "steps_of"), "vp", "arm 'fixed_steps': steps_of: no arm named 'vp'"),
        (("arms", "vpretraining", "steps_of"), "fixed_steps", "round in a circle: fixed_steps → vpretraining"),
        (("arms", "fixed_steps", "budget"), {"steps": 3}, "budget and steps_of exclude each other"),
        (("arms", "fixed", "budget"), {"hours": 3}, r"arm 'fixed': budget is \{'hours': 3\}"),
        (("arms", "fixed", "budget"), {"seconds": 0}, r"or dict\(steps=N\), positive"),
        (("budget",), {"baseline_steps": 0}, r"arm 'fixed': budget: baseline_steps=0; expected a whole number ≥ 1"),
        (("budget",), {"baseline_steps": 2.5}, "baseline_steps=2.5; expected a whole number"),
        (("budget",), {"baseline_steps": True}, "baseline_steps=True; expected a whole number"),
        (("budget",), {"baseline_steps": 9, "seconds": 3}, "baseline_steps excludes seconds"),
        (("budget",), {"baseline_steps": 9, "clock": "sun"}, "clock='sun'; choose one of elapsed, processor"),
        (("arms", "vpretraining", "budget"), {"baseline_steps": 9}, r"'fixed' has budget=\{'seconds': 10\}; give the"),
        (("start",), {"config": "fixed.py", "budget": {"baseline_steps": 9}}, "the start comes before the baseline"),
        (("arms", "start"), {"config": "fixed.py"}, "arm 'start': not a usable name"),
        (("arms", "a/b"), {"config": "fixed.py"}, "arm 'a/b': not a usable name"),
        (("arms", "fixed"), {}, "arm 'fixed': missing config; give a training config, or like=ARM"),
        (("arms", "fixed", "like"), "fixd", r"arm 'fixed': like: no arm named 'fixd' .*did you mean 'fixed'\?"),
        (("arms", "fixed", "like"), "fixed", "like goes round in a circle: fixed → fixed; give one of them a config"),
        (("arms", "fixed", "cfg_options"), ["lr"], r"arm 'fixed': cfg_options is \['lr'\]; expected a dict such as"),
        (("cfg_options",), {1: 2}, r"compare.py: cfg_options is \{1: 2\}; expected a dict such as"),
        (("start",), {"config": "fixed.py", "cfg_options": "lr=1"}, "start: cfg_options is 'lr=1'"),
        (("start",), {}, "give either backbone=FILE"),
        (("start",), {"backbone": "start.safetensors", "seed": 1}, "seed only apply to a start that is trained"),
        (("correction",), "sidak", "correction is 'sidak'"),
        (("headroom",), "oracl", r"headroom: no arm named 'oracl' \(arms: fixed_steps, fixed, vpretraining\)"),
        (("headroom",), "fixed", "headroom='fixed' is the baseline"),
        (("one_step_probe",), {"interval": 5}, "one_step_probe: missing heldout"),
        (("one_step_probe",), {"interval": 0, "heldout": 8}, r"one_step_probe: interval=0; expected a whole number"),
        (("one_step_probe",), {"interval": 5, "heldout": 8, "feedback_of": "vp"}, "feedback_of: no arm named 'vp'"),
        (("work_dir",), None, "no work_dir; set it there or give --work-dir"),
    ],
)
def test_a_wrong_config_is_named_with_its_key(config, path, value, message):
    wrong = copy.deepcopy(config)
    node = wrong
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        read_comparison(wrong, "compare.py")


def test_a_missing_file_is_found_before_any_work(config):
    config["arms"]["fixed"]["config"] = "configs/none.py"
    with pytest.raises(FileNotFoundError, match=r"arm 'fixed': config configs/none.py does not exist"):
        read_comparison(config)


def test_an_arm_like_another_has_all_but_its_label_and_its_own_on_top(config):
    options = {"optimizer.lr": 1, "feedback.control": "random", "schedule.head_share": 0.2}
    config["arms"]["fixed"] |= {"cfg_options": options, "label": "plain", "continues": "backbone"}
    config["arms"] |= {
        "second": {"like": "first", "cfg_options": {"schedule": {}}, "steps_of": "fixed"},  # named before it is there
        "first": {"like": "fixed", "cfg_options": {"feedback": None, "optimizer.lr": 2}},
        "third": {"like": "second", "budget": {"steps": 5}, "label": "own"},
    }
    arms = read_comparison(config).arms
    assert list(arms) == ["fixed_steps", "fixed", "vpretraining", "second", "first", "third"]
    assert arms["fixed"].cfg_options == options
    assert arms["first"].cfg_options == {"optimizer.lr": 2, "schedule.head_share": 0.2, "feedback": None}
    assert arms["second"].cfg_options == {"optimizer.lr": 2, "feedback": None, "schedule": {}}
    assert {(arms[n].config, arms[n].continues) for n in ("fixed", "first", "second", "third")} == {
        (arms["fixed"].config, "backbone")
    }
    assert [arms[n].label for n in ("first", "second", "third")] == ["first", "second", "own"]
    assert (arms["first"].budget, arms["first"].steps_of) == ({"seconds": 10}, None)
    assert (arms["second"].budget, arms["second"].steps_of) == ({}, "fixed")
    assert (arms["third"].budget, arms["third"].steps_of) == ({"steps": 5}, None)


def test_likes_in_a_circle_are_named(config):
    config["arms"] |= {"a": {"like": "b"}, "b": {"like": "c"}, "c": {"like": "b"}}
    with pytest.raises(ConfigError, match="like goes round in a circle: b → c → b"):
        read_comparison(config)


def test_shared_options_come_first_and_those_for_feedback_reach_arms_that_have_it(config, tmp_path):
    """Arms without: a config that has none, one that has None, and an arm that switches it off."""
    for name, feedback in (("without", ""), ("none", "feedback = None"), ("with", "feedback = dict(pools={})")):
        (tmp_path / f"{name}.py").write_text(f"threads = 0\n{feedback}\n")
    config |= {
        "configs": str(tmp_path),
        "start": {"config": "without.py", "cfg_options": {"threads": 2}},
        "cfg_options": {"threads": 1, "batch_size": 3},
        "feedback_options": {"feedback.pools.depth.dataset.root": "labels", "batch_size": 4},
        "baseline": "without",
        "candidate": "with",
    }
    config["arms"] = {name: {"config": f"{name}.py"} for name in ("without", "none", "with")}
    config["arms"] |= {
        "off": {"like": "with", "cfg_options": {"feedback": None}},
        "own": {"like": "with", "cfg_options": {"batch_size": 5}},
    }
    comparison = read_comparison(config)
    options = {name: list(arm.cfg_options.items()) for name, arm in comparison.arms.items()}
    shared, labels = [("threads", 1), ("batch_size", 3)], ("feedback.pools.depth.dataset.root", "labels")
    assert options["without"] == options["none"] == shared
    assert options["off"] == [*shared, ("feedback", None)]
    assert options["with"] == [("threads", 1), ("batch_size", 4), labels]
    assert options["own"] == [("threads", 1), ("batch_size", 5), labels]
    assert comparison.start.cfg_options == {"threads": 2, "batch_size": 3}
    assert comparison.arms["with"].config == tmp_path / "with.py"


def test_a_config_elsewhere_than_in_the_folder_is_given_by_its_path(config, tmp_path):
    config["configs"] = str(tmp_path / "none")
    given = read_comparison({**config, "configs": ""}).arms["fixed"].config
    assert read_comparison(config).arms["fixed"].config == given
    config["arms"]["fixed"]["config"] = "nowhere.py"
    with pytest.raises(FileNotFoundError, match=r"arm 'fixed': config .*none/nowhere.py does not exist"):
        read_comparison(config)


def test_an_arm_is_compared_with_the_baseline_or_the_arm_it_names(config):
    config["arms"]["fixed_steps"]["against"] = "vpretraining"
    layout = read_comparison(config).layout("")
    assert [layout["arms"][name]["against"] for name in ("vpretraining", "fixed_steps")] == ["fixed", "vpretraining"]


@pytest.mark.parametrize(
    ("arm", "against", "message"),
    [
        ("fixed_steps", "vpretrainin", "arm 'fixed_steps': against: no arm named 'vpretrainin'.*did you mean"),
        ("fixed_steps", "fixed_steps", "arm 'fixed_steps': against names the arm itself"),
        ("vpretraining", "fixed_steps", "the verdict compares this arm with the baseline, 'fixed'"),
    ],
)
def test_what_an_arm_cannot_be_compared_with_is_refused(config, arm, against, message):
    config["arms"][arm]["against"] = against
    with pytest.raises(ConfigError, match=message):
        read_comparison(config)
