"""Numbers outside their range are refused before anything is built, all at once."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from vssl.engine import ConfigError, load_config
from vssl.engine.config import check_training_config
from vssl.engine.ranges import ANY_NUMBER, RANGES, range_of

CONFIGS = Path(__file__).parents[2] / "configs"
ROOMS = ("objectives", "views", "designers", "feedback", "learner", "value", "datasets", "datasets.text", "language")


def _checked(**options):
    check_training_config(
        load_config(CONFIGS / "scenes/simclr_fixed.py", {k.replace("__", "."): v for k, v in options.items()})
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clip_grad", -1),
        ("objective.out_dim", 0),
        ("recipe.global_scale", [0.5, 0.2]),
        ("recipe.jitter.brightness", -0.4),
        ("recipe.jitter.hue", 0.9),
        ("recipe.grayscale", 1.5),
        ("budget.steps", 2.5),
        ("log_interval", 0),
        ("optimizer.lr", "abc"),
        ("optimizer.lr", 0),
        ("optimizer.lr", -1e-3),
        ("optimizer.lr", float("nan")),
        ("optimizer.betas", [0.9, 1.0]),
        ("threads", -1),
        ("num_workers", -1),
        ("seed", -1),
        ("backbone.num_heads", 5),
        ("backbone.depth", 0),
        ("schedule.warmup_share", 2),
        ("batch_size", 0),
        ("batch_size", -4),
        ("batch_size", 48.0),
    ],
)
def test_a_number_outside_its_range_is_refused_by_its_key(key, value):
    with pytest.raises(ConfigError, match=re.escape(f"{key}={value!r}: give ")):
        _checked(**{key: value})


@pytest.mark.slow
def test_all_mistakes_are_listed_at_once():
    with pytest.raises(ConfigError) as error:
        _checked(clip_grad=-1, seed=-1, objective__out_dim=0)
    assert all(f"{key}=" in str(error.value) for key in ("clip_grad", "seed", "objective.out_dim"))
    assert "3 value(s)" in str(error.value)


TRAINING = [p for p in sorted(CONFIGS.glob("*/*.py")) if re.search(r"^(from|with).*\n|budget", p.read_text())]


@pytest.mark.slow
def test_every_training_config_passes_and_so_does_its_saved_form(tmp_path):
    checked = 0
    for path in TRAINING:
        config = load_config(path)
        if "backbone" not in config or "batch_size" not in config or "arms" in config:
            continue
        check_training_config(config)
        config.dump(tmp_path / "saved.py")
        check_training_config(load_config(tmp_path / "saved.py"))
        checked += 1
    assert checked >= 10


def _numbers():
    for room in ROOMS:
        for kind in vars(importlib.import_module(f"vssl.{room}")).values():
            if not inspect.isclass(kind) or not kind.__module__.startswith("vssl"):
                continue
            for base in kind.__mro__:
                if not base.__module__.startswith("vssl") or "__init__" not in vars(base):
                    continue
                for argument in inspect.signature(base.__init__).parameters.values():
                    if re.search(r"\b(int|float|PerView)\b", str(argument.annotation)):
                        yield base.__name__, argument.name


def test_every_number_of_every_constructor_has_a_range():
    found = set(_numbers())
    assert len(found) > 60
    missing = sorted(
        f"{kind}({name}=)" for kind, name in found if range_of(name, kind) is None and name not in ANY_NUMBER
    )
    assert not missing, (
        f"{', '.join(missing)}: say which numbers are allowed. Add the argument's name to RANGES in "
        "vssl/engine/ranges.py, or to ANY_NUMBER there with the reason why every number will do"
    )
    assert not RANGES.keys() & ANY_NUMBER.keys()
