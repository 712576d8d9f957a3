"""What a space may be, and what a trial's values make of the training config. Nothing is trained here."""

from pathlib import Path

import pytest

from vssl.engine import load_config
from vssl.engine.config import ConfigError
from vssl.sweep.search_space import TrialConfigs, read_space

JITTER = {"recipe.jitter": {"brightness": 0.0, "contrast": 0.0, "p": 0.8}}


def configs(space: dict, fixed: dict | None = None) -> TrialConfigs:
    return TrialConfigs(Path("training.py"), fixed or {}, read_space(space, "sweep.py"), "sweep.py")


def made(space: dict, drawn: dict, fixed: dict | None = None):
    return load_config("training.py", configs(space, fixed).options(drawn))


def test_values_reach_the_config_through_tuples_and_fixed_options(folder):
    drawn = {
        "objective.mask_ratio": 0.4,
        "recipe.global_scale.0": 0.2,
        "recipe.global_scale.1": 0.9,
        "recipe.jitter.contrast": 0.3,
        "recipe.jitter.brightness": 0.1,
        "batch_size": 4,
    }
    space = {key: {"low": 0, "high": 1} for key in drawn}
    config = made(space, drawn, JITTER)
    assert config.objective.mask_ratio == 0.4 and config.batch_size == 4
    assert config.recipe.global_scale == (0.2, 0.9)
    assert config.recipe.jitter == {"brightness": 0.1, "contrast": 0.3, "p": 0.8}
    assert JITTER["recipe.jitter"]["contrast"] == 0.0  # the fixed options stay as they are


def test_options_have_names_and_any_value(folder):
    space = {"recipe.jitter": {"options": {"none": None, "light": {"brightness": 0.4}}}}
    assert made(space, {"recipe.jitter": "light"}).recipe.jitter == {"brightness": 0.4}
    assert made(space, {"recipe.jitter": "none"}).recipe.jitter is None
    space = {"recipe.redraw": {"options": [True, False]}}
    assert made(space, {"recipe.redraw": "True"}).recipe.redraw is True


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ((0, 1), r"\(0, 1\); give dict\(low"),
        ({"low": 1.0, "high": 0.5}, "low=1.0 is not below high=0.5"),
        ({"low": 1.0, "high": float("inf")}, "high=inf; expected a finite number"),
        ({"low": 1.0}, "high=None; expected"),
        ({"low": 0.0, "high": 1.0, "log": True}, "a logarithmic range begins above 0"),
        ({"low": 0.5, "high": 2, "whole": True}, "low=0.5; expected a whole number"),
        ({"low": 0, "hihg": 1}, "unknown key 'hihg'.*did you mean 'high'"),
        ({"low": 0, "options": [1, 2]}, "give low and high, or options"),
        ({"options": ["a", "b"], "log": True}, "log only applies to a range"),
        ({"options": ["a"]}, "nothing to choose from"),
        ({"options": "abc"}, "give a list"),
        ({"options": [1, 1]}, "twice"),
        ({"options": [{"a": 1}, None]}, "needs a name"),
    ],
)
def test_a_range_that_is_none_is_refused_with_its_key(about, said):
    with pytest.raises(ValueError, match=f"sweep.py: space: optimizer.lr.*{said}"):
        read_space({"optimizer.lr": about}, "sweep.py")


def test_a_space_of_nothing_or_of_a_key_within_another_is_refused():
    with pytest.raises(ConfigError, match="one key at least"):
        read_space({}, "sweep.py")
    with pytest.raises(ConfigError, match=r"recipe.jitter.hue is a part of recipe.jitter"):
        read_space({"recipe.jitter": {"options": [1, 2]}, "recipe.jitter.hue": {"low": 0, "high": 1}}, "sweep.py")


@pytest.mark.parametrize(
    ("key", "about", "said"),
    [
        ("objective.mask_ration", {"low": 0.3, "high": 0.9}, "did you mean 'mask_ratio'"),
        ("recipi.flip", {"low": 0.0, "high": 0.5}, "did you mean 'recipe'"),
        ("recipe.jitter.hue", {"low": 0.0, "high": 0.1}, "unknown key 'hue'"),
        ("recipe.global_scale.2", {"low": 0.1, "high": 0.5}, "'2' is no place of"),
        ("objective.mask_ratio", {"low": 0.3, "high": 1.5}, r"mask_ratio=1.5"),
        ("objective.decoder_heads", {"low": 2, "high": 5, "whole": True}, r"decoder_heads=5: "),  # 5 divides no 16
        ("batch_size", {"low": 4, "high": 9}, "batch_size=5.6"),
        ("recipe.global_scale.1", {"low": 0.1, "high": 1.0}, r"global_scale.1=0.1: "),
        ("recipe.interpolation", {"options": ["bilinear", "cubic"]}, r"interpolation='cubic'"),
    ],
)
def test_what_the_training_config_cannot_be_is_refused_before_any_work(folder, key, about, said):
    with pytest.raises(ConfigError, match=f"sweep.py: space: .*{said}"):
        configs({key: about}, JITTER).check_ends()
