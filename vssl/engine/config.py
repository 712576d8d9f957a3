"""Config files in, checked; objects out.

A config is an mmengine pure-Python file (``with read_base():``, ``type=ClassObject``). Every key is checked against
what its type accepts before anything is built, so that a misspelt key never costs a run.
"""

import inspect
import keyword
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mmengine.config import Config
from mmengine.utils import get_object_from_string

from vssl.config_files import ConfigError, read_config
from vssl.engine import ranges
from vssl.engine.budget import Budget
from vssl.engine.collapse import ACTIONS
from vssl.known_keys import nearest, refuse_unknown
from vssl.options import read_option
from vssl.parts import install_hint

# What a training config may hold at its top level, and what is needed.
REQUIRED = ("backbone", "objective", "recipe", "designer", "optimizer", "unlabeled", "batch_size", "budget")
OPTIONAL = (
    "schedule", "clip_grad", "accumulate", "anchor", "decay_tokens", "layer_decay", "continue_run", "export",
    "feedback", "value", "designer_optimizer", "designer_learning_rates", "designer_checkpoint",
    "seed", "num_workers", "precision", "compile", "sharding", "threads", "device", "find_unused_parameters",
    "log_interval", "checkpoint_interval", "checkpoint_keep", "rankme_interval", "sample_views", "custom_hooks",
    "visualizer", "arm", "snapshots", "snapshot_images", "one_step_probe", "probes", "collapse",
)  # fmt: skip
CHOICES = {"precision": ("fp32", "bf16"), "collapse": ACTIONS, "sharding": ("none", "fsdp2")}


def load_config(path: str | Path, options: dict[str, Any] | None = None, given_as: str = "--cfg-options ") -> Config:
    """Read a config file and apply ``--cfg-options``.

    Args:
        options: dotted keys and their values, e.g. ``{"designer.keep_ratio": 0.5}``. A key must exist in the config, or
            be an argument that its ``type`` accepts. `OptionText` from a command line is read first; settings may be
            written ``"dict(interval=20)"``. A budget is replaced as a whole, and ``budget.seconds`` takes the place of
            steps, as the other way round.
        given_as: goes before an option's key in messages.

    Raises:
        ConfigError: the file is missing or cannot be run, or an option names an unknown key.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"config {path} does not exist; the configs are under configs/")
    try:
        config = read_config(path)
    except (ImportError, ValueError) as error:
        raise ConfigError(str(error)) from error
    try:
        options = {key: read_option(config, key, value) for key, value in (options or {}).items()}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    limits = {"budget.steps", "budget.seconds"} & options.keys()
    if limits and isinstance(config.get("budget"), dict):
        config.budget = {key: value for key, value in config.budget.items() if key not in ("steps", "seconds")}
    for key, value in options.items():  # one may be below another, which replaces a whole part
        _check_option(config, key, value, given_as)
        if key == "budget" and isinstance(value, dict):
            config.budget = {}
        config.merge_from_dict({key: _instead(config, key, value)})
    return config


def check_training_config(config: Config) -> None:
    """Raises ConfigError for a missing or unknown key anywhere in a training config.

    So do numbers outside their range; all of them are listed at once. Names that begin with an underscore are the
    config's own variables.
    """
    name = config.filename or "config"
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise ConfigError(f"{name} has no {', '.join(missing)}; see configs/scenes/ for complete examples")
    try:
        for key in config:
            config[key]  # what a config names is imported when it is looked at
    except ImportError as error:
        raise ConfigError(f"{name}: {error}{install_hint(str(error))}") from error
    imported = {key for key in config if inspect.ismodule(config[key]) or callable(config[key])}
    given = [key for key in config if key not in imported and not key.startswith("_")]
    refuse_unknown(given, REQUIRED + OPTIONAL, name, ConfigError)
    for key, choices in CHOICES.items():
        if config.get(key, choices[0]) not in choices:
            raise ConfigError(f"{name}: {key}={config[key]!r} is unknown; choose one of {', '.join(choices)}")
    refuse_unknown(config.get("value") or {}, value_keys(), f"{name}: value", ConfigError)
    for key, node, example in (
        ("anchor", config.get("anchor"), "anchor=dict(weight=0.1)"),
        ("backbone.lora", config.backbone.get("lora"), "backbone.lora=dict(rank=8)"),
    ):
        if node is not None and not isinstance(node, dict):
            raise ConfigError(f"{name}: {key}={node!r} is no dict; give {example}, or leave it out")
    refuse_unknown(config.get("anchor") or {}, anchor_keys(), f"{name}: anchor", ConfigError)
    if config.get("anchor") and "weight" not in config.anchor:
        raise ConfigError(f"{name}: anchor has no weight; give anchor=dict(weight=0.1), or leave it out")
    refuse_unknown(config.backbone.get("lora") or {}, lora_keys(), f"{name}: backbone.lora", ConfigError)
    checked = {key: node for key, node in config.to_dict().items() if key != "probes"}  # probes check their own
    for key, node in _typed(checked, ""):
        kind = resolve(node["type"], key)
        accepted = _arguments(kind)
        for argument in node:
            if argument != "type" and accepted is not None and argument not in accepted:
                raise ConfigError(
                    f"{name}: {key}.{argument} is not an argument of {kind.__name__}{_suggest(argument, accepted)}"
                )
        for argument, choices in _literals(kind).items():
            if argument in node and node[argument] not in choices:
                hint = nearest(node[argument], [choice for choice in choices if isinstance(choice, str)])
                raise ConfigError(
                    f"{name}: {key}.{argument}={node[argument]!r}; give one of {', '.join(map(repr, choices))}{hint}"
                )
    if reserved := next((key for key in _keys(config.to_dict(), "") if keyword.iskeyword(key.split(".")[-1])), None):
        raise ConfigError(f"{name}: {reserved}: a word of Python's cannot be a key of the saved config; rename it")
    if wrong := ranges.mistakes(config.to_dict(), resolve):
        raise ConfigError("\n  ".join([f"{name}: {len(wrong)} value(s) cannot be used:", *wrong]))


def _keys(node: Any, prefix: str) -> Iterator[str]:
    """Every key of every dictionary below `node`, with the keys that lead to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _keys(value, f"{prefix}{i}.")


def build(node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """The object that ``dict(type=Class, **settings)`` describes; `args`, `kwargs` are what a config cannot know."""
    settings = dict(node)
    kind = resolve(settings.pop("type"), "type")
    return kind(*args, **settings, **kwargs)


def resolve(kind: Any, key: str) -> Callable[..., Any]:
    """A class from a config; saved configs hold its dotted name instead."""
    found = get_object_from_string(kind) if isinstance(kind, str) else kind
    if not callable(found):
        if hint := install_hint(str(kind)):
            raise ConfigError(f"{key}: {kind} is of an optional package{hint}")
        raise ConfigError(f"{key}: {kind!r} is not a class; give the class itself or its full dotted name")
    return found


def value_keys() -> list[str]:
    """What ``value`` may hold: settings of the meta step by gradients, and of the one by rollouts."""
    from vssl.engine.designer_update import DesignerUpdate
    from vssl.engine.horizon_update import HorizonUpdate

    built = {
        "accumulation", "learner", "learner_step", "learner_optimizer", "designer", "feedback", "optimizer", "budget",
        "weights",
    }  # fmt: skip
    arguments = [*(_arguments(DesignerUpdate) or ()), *(_arguments(HorizonUpdate) or ()), "batch_size"]
    return [argument for argument in dict.fromkeys(arguments) if argument not in built]


def lora_keys() -> list[str]:
    from vssl.learner.lora import add_lora

    return [key for key in _arguments(add_lora) or () if key != "vit"]


def anchor_keys() -> list[str]:
    from vssl.learner.anchor import Anchor

    return [key for key in _arguments(Anchor) or () if key != "student"]


def _typed(node: Any, where: str) -> Iterator[tuple[str, dict]]:
    """All dicts with a ``type``, and their dotted keys."""
    if isinstance(node, dict):
        if "type" in node:
            yield where, node
        for key, value in node.items():
            yield from _typed(value, f"{where}.{key}".lstrip("."))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _typed(value, f"{where}.{index}")


def _arguments(kind: Callable[..., Any]) -> list[str] | None:
    """Names that a class accepts; None when it takes any."""
    if not inspect.isclass(kind):
        return list(inspect.signature(kind).parameters)
    names = []
    for base in kind.__mro__:  # ``**settings`` are the arguments of the next class up
        if base is object or "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names
        if base.__base__.__module__.split(".")[0] != "vssl":
            return None
    return names


def _literals(kind: Callable[..., Any]) -> dict[str, tuple]:
    """Arguments of a class whose annotations allow some values alone (``Literal["class", "patch"]``), and these."""
    try:
        hints = get_type_hints(vars(kind).get("__init__"))
    except (TypeError, NameError, AttributeError, SyntaxError):
        # without a constructor of its own, or annotated with what only type checkers can read
        return {}
    kinds = {
        argument: get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        for argument, hint in hints.items()
    }
    return {
        argument: tuple(choice for part in parts for choice in (get_args(part) or (None,)))
        for argument, parts in kinds.items()
        if all(get_origin(part) is Literal or part is NoneType for part in parts)
    }


def _check_option(config: Config, key: str, value: Any, given_as: str) -> None:
    node, parts = config, key.split(".")
    for depth, part in enumerate(parts):
        if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        where = ".".join(parts[:depth]) or "the config"
        if not hasattr(node, "keys"):
            raise ConfigError(f"{given_as}{key}: {where} holds {node!r}, it has no {part!r}")
        if part in node:
            node = node[part]
            continue
        known = list(node.keys())
        if depth == 0:
            known += OPTIONAL
        elif parts[:depth] == ["budget"]:
            known = _arguments(Budget) or []
        elif parts[:depth] == ["value"]:
            known = value_keys()
        elif parts[:depth] == ["anchor"]:
            known = anchor_keys()
        elif "type" in node:
            known = _arguments(resolve(node["type"], where)) or [part]
        if part not in known:
            raise ConfigError(f"{given_as}{key}: {where} has no {part!r}{_suggest(part, known)}")
        return
    if hasattr(node, "keys") and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        raise ConfigError(f"{given_as}{key}={value}: {key} holds settings; give {key}.{next(iter(node), 'KEY')}=…")


def _instead(config: Config, key: str, value: Any) -> Any:
    """The value as mmengine takes it: settings where there was something else replace it, they are not merged in.

    Something else are also settings of another type: what the one takes is not what the other one takes.
    """
    node: Any = config
    for part in key.split("."):
        if not hasattr(node, "keys") or part not in node:
            return value
        node = node[part]
    if not isinstance(value, dict):
        return value
    merged = hasattr(node, "keys") and ("type" not in value or _same_type(node.get("type"), value["type"], key))
    return value if merged else {**value, "_delete_": True}


def _same_type(one: Any, other: Any, key: str) -> bool:
    return one is not None and resolve(one, key) is resolve(other, key)


def _suggest(key: str, known: list[str] | tuple[str, ...]) -> str:
    return nearest(key, known) or f"; known: {', '.join(sorted(set(known)))}"
