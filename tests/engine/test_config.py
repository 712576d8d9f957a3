import sys
from pathlib import Path

import pytest

from vssl.datasets import UnlabeledMixture
from vssl.engine import ConfigError, load_config
from vssl.engine.config import check_training_config
from vssl.engine.training import train

CONFIG = """
from torch.optim import AdamW
from vssl.designers import Identity
from vssl.learner import TimmBackbone
from vssl.objectives import SimCLR
from vssl.views import MultiCrop
from vssl.datasets import UnlabeledImages

backbone = dict(type=TimmBackbone, name="vit_tiny_patch16_224", embed_dim=32)
objective = dict(type=SimCLR, pool="patch")
recipe = dict(type=MultiCrop, global_size=32)
designer = dict(type=Identity)
optimizer = dict(type=AdamW, lr=1e-3)
unlabeled = dict(type=UnlabeledImages, root="somewhere", size=32)
batch_size = 8
budget = dict(steps=3)
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    return tmp_path / "config.py"


def test_options_replace_and_add_known_keys(path):
    config = load_config(path, {"budget.steps": 7, "objective.temperature": 0.5, "seed": 3})
    assert (config.budget.steps, config.objective.temperature, config.seed) == (7, 0.5, 3)
    check_training_config(config)


def test_the_settings_of_a_value_are_known_though_no_class_is_named(path):
    path.write_text(CONFIG + "value = dict(period=2)\n")
    config = load_config(path, {"value.horizon": 5, "value.g_down_every": 3})
    assert config["value"] == dict(period=2, horizon=5, g_down_every=3)
    with pytest.raises(ConfigError, match="value has no 'horzon'; did you mean 'horizon'"):
        load_config(path, {"value.horzon": 5})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("batch_sise", "did you mean 'batch_size'"),
        ("objective.temprature", "did you mean 'temperature'"),
        ("objective.pool.x", "objective.pool holds 'patch'"),
    ],
)
def test_an_unknown_option_is_named_with_its_neighbour(path, option, message):
    with pytest.raises(ConfigError, match=message):
        load_config(path, {option: 1})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("learning_rate = 1", "unknown key 'learning_rate'"),
        (
            "objective['temprature'] = 1",
            "objective.temprature is not an argument of SimCLR; did you mean 'temperature'",
        ),
        (
            "objective['pool'] = 'pach'",
            "objective.pool='pach'; give one of 'class', 'patch'; did you mean 'patch'",
        ),
        ("value = dict(rule={'class': 1})", r"value\.rule\.class: a word of Python's"),
        ("value = dict(perod=3)", r"value: unknown key 'perod' \(did you mean 'period'"),
        ("del budget", "has no budget"),
    ],
)
def test_a_wrong_config_is_refused_before_anything_is_built(path, tmp_path, line, message):
    path.write_text(CONFIG + line + "\n")
    with pytest.raises(ConfigError, match=message):
        train(load_config(path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class OfTypeCheckers:
    """Annotated with what is there for type checkers alone."""

    def __init__(self, recipe: "torch.Nowhere", kind: 'one "of" these' = None): ...


def test_annotations_that_cannot_be_read_allow_every_value(path):
    config = load_config(path)
    config.designer = dict(type=OfTypeCheckers, kind=1)
    check_training_config(config)


@pytest.mark.parametrize("kind", ["VICRegLoss", '"lightly.loss.VICRegLoss"'])
def test_a_missing_optional_package_is_named_with_its_extra(path, monkeypatch, kind):
    for name in [name for name in sys.modules if name.split(".")[0] == "lightly"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightly", None)  # as if it were not installed
    text = CONFIG.replace("type=SimCLR", f"type=JointEmbedding, loss=dict(type={kind})").replace(
        "SimCLR", "JointEmbedding"
    )
    path.write_text(("from lightly.loss import VICRegLoss\n" if kind == "VICRegLoss" else "") + text)
    with pytest.raises(ConfigError, match=r"lightly.*pip install 'vssl\[lightly\]'"):
        check_training_config(load_config(path))


def test_arguments_that_a_class_passes_on_to_its_base_are_checked_too(path, tmp_path):
    policy = "from vssl.designers import GlobalPolicy\ndesigner = dict(type=GlobalPolicy, divergance=1.0)\n"
    path.write_text(CONFIG + policy)
    with pytest.raises(ConfigError, match="divergance is not an argument of GlobalPolicy; did you mean 'divergence'"):
        check_training_config(load_config(path))


def test_a_missing_or_broken_config_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.py does not exist"):
        load_config(tmp_path / "nowhere.py")
    (tmp_path / "broken.py").write_text("batch_size = (")
    with pytest.raises(ConfigError, match=r"broken\.py cannot be read"):
        load_config(tmp_path / "broken.py")


def test_a_dumped_config_loads_and_checks(path, tmp_path):
    load_config(path).dump(tmp_path / "dumped.py")
    config = load_config(tmp_path / "dumped.py", {"objective.temperature": 0.3})
    check_training_config(config)


@pytest.mark.parametrize(
    ("options", "budget"),
    [
        ({"budget.seconds": 5}, {"seconds": 5}),
        ({"budget.seconds": 5, "budget.clock": "processor"}, {"seconds": 5, "clock": "processor"}),
        ({"budget.steps": 7}, {"steps": 7}),
        ({"budget": "dict(seconds=3)"}, {"seconds": 3}),
        ({"budget": dict(seconds=3, clock="processor")}, {"seconds": 3, "clock": "processor"}),
        ({"budget.steps": 7, "budget": dict(seconds=3)}, {"seconds": 3}),
    ],
)
def test_a_limit_given_on_the_command_line_takes_the_place_of_the_configs(path, options, budget):
    assert load_config(path, options).budget.to_dict() == budget


def test_settings_on_the_command_line_are_read_and_nothing_is_run(path):
    config = load_config(path, {"one_step_probe": "dict(interval=4, batches=2)", "objective": '{"hidden_dim": 8}'})
    assert config.one_step_probe.to_dict() == dict(interval=4, batches=2)
    assert config.objective.hidden_dim == 8 and config.objective.pool == "patch"
    for text in ("dict(interval=open('x'))", "dict(4)", "dict(interval=4", "{'a': print()}"):
        with pytest.raises(ConfigError, match="not settings that can be read"):
            load_config(path, {"one_step_probe": text})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 5}, "budget=5: budget holds settings; give budget.steps=…"),
        ({"optimizer": "AdamW"}, "optimizer holds settings"),
        ({"budget.second": 5}, "budget has no 'second'; did you mean 'seconds'?"),
    ],
)
def test_a_value_where_settings_belong_is_refused(path, options, message):
    with pytest.raises(ConfigError) as caught:
        load_config(path, options)
    assert message in str(caught.value)


def test_settings_take_the_place_of_none():
    name = Path(__file__).parents[2] / "configs/scenes/mae_start.py"
    config = load_config(name, {"recipe.jitter": dict(brightness=0.4)})  # the file has jitter=None
    assert config.recipe.jitter == dict(brightness=0.4)


def test_an_option_below_a_whole_part_goes_to_the_part_that_was_given():
    name = Path(__file__).parents[2] / "configs/scenes/mae_start.py"
    mixture = dict(type=UnlabeledMixture, roots=dict(a="a", b="b"), size=48)
    config = load_config(name, {"unlabeled": mixture, "unlabeled.shares": dict(a=1.0, b=2.0)})
    assert config.unlabeled.to_dict() == dict(mixture, shares=dict(a=1.0, b=2.0))
    with pytest.raises(ConfigError, match="unlabeled has no 'root'; did you mean 'roots'"):
        load_config(name, {"unlabeled": mixture, "unlabeled.root": "a"})


def test_settings_of_another_type_take_the_place_of_the_whole():
    name = Path(__file__).parents[2] / "configs/scenes/mae_vpretraining.py"
    mask = load_config(name, {"designer": "dict(type='vssl.designers.TokenMask', patch_size=4)"})
    check_training_config(mask)
    assert set(mask.designer) == {"type", "patch_size"}  # and no stem, which a UNetMask takes
    same = load_config(name, {"designer": "dict(type='vssl.designers.UNetMask', width=4)"})
    assert same.designer.width == 4 and same.designer.stem == 4


def test_a_config_copied_away_from_its_bases_is_told_how_to_import_them(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from mmengine.config import read_base\nwith read_base():\n    from .._base_.runtime import *\n"
    )
    with pytest.raises(ConfigError, match="imports by full name"):
        load_config(tmp_path / "mine.py")


def test_a_config_may_lie_anywhere_and_have_variables_of_its_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from mmengine.config import read_base\nwith read_base():\n    from vssl.configs.scenes.mae_start import *\n"
        "_half = 24\nbatch_size = _half\n"
    )
    config = load_config(tmp_path / "mine.py")
    check_training_config(config)
    assert config.batch_size == 24
