"""The space of a sweep: dotted keys of a training config, each with a range or a list of options.

space = {
    "objective.mask_ratio": dict(low=0.3, high=0.9),
    "optimizer.lr": dict(low=1e-4, high=1e-2, log=True),
    "batch_size": dict(low=16, high=64, whole=True),
    "recipe.global_scale.0": dict(low=0.1, high=1.0),          # the first number of a pair
    "recipe.jitter": dict(options=dict(none=None, light=dict(brightness=0.4, contrast=0.4))),
    "recipe.interpolation": dict(options=["bilinear", "bicubic"]),
}
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.arm_settings import check_keys
from vssl.engine import load_config
from vssl.engine.config import ConfigError, build, check_training_config

_KEYS = {"low", "high", "log", "whole", "options"}
OF_THE_SWEEP = {
    "budget", "seed", "work_dir", "arm", "probes", "continue_run", "designer_checkpoint", "backbone.checkpoint",
}  # fmt: skip
"""Keys of a training config that a sweep sets for every trial: they can be neither searched nor fixed."""
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Parameter:
    """What one key may be.

    Attributes:
        key: dotted key of the training config; a part that is a number counts into a tuple or list, from 0.
        low, high: the ends of a range, both included.
        log: drawn evenly on a logarithmic scale.
        whole: only whole numbers.
        options: instead of a range, values by the name that tables show.
    """

    key: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    options: dict[str, Any] | None = None

    def value(self, drawn: float | int | str) -> Any:
        """What the config gets, of what was drawn: a number, or the name of an option."""
        return drawn if self.options is None else copy.deepcopy(self.options[str(drawn)])

    def ends(self) -> list[Any]:
        """The draws that are tried before the sweep: both ends, and a fraction between; or every option."""
        if self.options is not None:
            return list(self.options)
        ends = [self.low, self.high]
        return ends if self.whole else [*ends, self.low + (self.high - self.low) / 3]

    def described(self) -> dict[str, Any]:
        """Plain values, for JSON and for noticing that a space was changed."""
        if self.options is not None:
            return {"options": {name: repr(value) for name, value in self.options.items()}}
        return {"low": self.low, "high": self.high, "log": self.log, "whole": self.whole}


def read_space(space: Mapping[str, Mapping], source: str) -> dict[str, Parameter]:
    """Check the ranges themselves.

    Raises:
        ConfigError, ValueError: the message names the key, what was given, and what is expected.
    """
    if not isinstance(space, Mapping) or not space:
        raise ConfigError(f"{source}: space={space!r}; give dict(key=dict(low=…, high=…)) with one key at least")
    for key in space:
        if not isinstance(key, str) or not key:
            raise ConfigError(f"{source}: space: the key {key!r} is not text; give a dotted key of the training config")
        if key.split(".")[0] in OF_THE_SWEEP or key in OF_THE_SWEEP:
            raise ConfigError(f"{source}: space: {key} is set by the sweep itself; leave it out")
        if inner := next((other for other in space if other.startswith(f"{key}.")), None):
            raise ConfigError(f"{source}: space: {inner} is a part of {key}, which is in the space too; keep one")
    return {key: _parameter(key, about, f"{source}: space: {key}") for key, about in space.items()}


def _parameter(key: str, about: Any, where: str) -> Parameter:
    if not isinstance(about, Mapping):
        raise ConfigError(f"{where} is {about!r}; give dict(low=…, high=…) or dict(options=[…])")
    check_keys(about, _KEYS, required=set(), where=where)
    if ("options" in about) == bool({"low", "high"} & about.keys()):
        raise ConfigError(f"{where}: give low and high, or options")
    if "options" in about:
        if stray := sorted({"log", "whole"} & about.keys()):
            raise ConfigError(f"{where}: {', '.join(stray)} only applies to a range")
        return Parameter(key, options=_options(about["options"], where))
    return _range(key, dict(about), where)


def _range(key: str, about: dict, where: str) -> Parameter:
    for name in ("log", "whole"):
        if not isinstance(about.get(name, False), bool):
            raise ConfigError(f"{where}: {name}={about[name]!r}; give True or False")
    low, high, whole = about.get("low"), about.get("high"), about.get("whole", False)
    kinds = int if whole else (int, float)
    for name, end in (("low", low), ("high", high)):
        if isinstance(end, bool) or not isinstance(end, kinds) or not math.isfinite(end):
            raise ConfigError(f"{where}: {name}={end!r}; expected a {'whole' if whole else 'finite'} number")
    if not low < high:
        raise ConfigError(f"{where}: low={low!r} is not below high={high!r}")
    if about.get("log") and low <= 0:
        raise ConfigError(f"{where}: low={low!r}; a logarithmic range begins above 0")
    return Parameter(key, low, high, about.get("log", False), whole)


def _options(given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise ConfigError(f"{where}: options={given!r}; give a list, or dict(name=value)")
        if unnamed := [value for value in given if not isinstance(value, _PLAIN)]:
            raise ConfigError(f"{where}: the option {unnamed[0]!r} needs a name: options=dict(name=value, …)")
        if len({str(value) for value in given}) < len(given):
            raise ConfigError(f"{where}: options={list(given)!r} has one of them twice")
        given = {str(value): value for value in given}
    if unnamed := [name for name in given if not isinstance(name, str)]:
        raise ConfigError(f"{where}: the option's name {unnamed[0]!r} is not text; write {str(unnamed[0])!r}")
    if len(given) < 2:
        raise ConfigError(f"{where}: {len(given)} option(s); there is nothing to choose from below two")
    return dict(given)


class TrialConfigs:
    """The training config of a sweep with values of its space put in.

    Args:
        path, fixed: the training config, and the options that every trial has.
        where: for errors, which sweep this is.
    """

    def __init__(self, path: Path, fixed: Mapping[str, Any], space: Mapping[str, Parameter], where: str):
        self._path, self._fixed, self._space, self._where = path, dict(fixed), space, f"{where}: space"
        self._base = load_config(path, self._fixed, given_as="cfg_options: ").to_dict()

    def options(self, drawn: Mapping[str, float | int | str]) -> dict[str, Any]:
        """Options for `load_config`, the fixed ones included.

        A key that leads into a tuple or into a fixed option replaces the whole of that by a changed copy.

        Raises:
            ConfigError: a key leads nowhere; the message names the nearest.
        """
        options = dict(self._fixed)
        for key, draw in drawn.items():
            value, owner = self._space[key].value(draw), self._owner(key)
            if owner is None:
                options[key] = value
            else:
                whole = options.get(owner, self._at(owner))
                options[owner] = _put(whole, key[len(owner) + 1 :].split("."), value, f"{self._where}: {key}")
        return options

    def check(self, drawn: Mapping[str, float | int | str]) -> None:
        """Build the parts of the config that these values belong to.

        Raises:
            ConfigError: naming the values, and what is wrong with them.
        """
        shown = ", ".join(f"{key}={draw!r}" for key, draw in drawn.items())
        try:
            config = load_config(self._path, self.options(drawn), given_as="")
            check_training_config(config)
            parts = {key.split(".")[0] for key in drawn}
            if parts & {"recipe", "designer"}:
                build(config.designer, build(config.recipe))
            if parts & {"objective", "backbone"}:
                build(config.objective, build(config.backbone))
        except (ValueError, TypeError, ImportError, AssertionError) as error:
            said = str(error).removeprefix(f"{self._where}: ")
            raise ConfigError(f"{self._where}: {shown}: {said}") from error

    def check_ends(self) -> None:
        """`check` each key alone at the draws of `Parameter.ends`."""
        for key, parameter in self._space.items():
            for draw in parameter.ends():
                self.check({key: draw})

    def _owner(self, key: str) -> str | None:
        """The shortest beginning of `key` that is a fixed option, or a tuple or list of the config."""
        parts, node = key.split("."), self._base
        for depth, part in enumerate(parts[:-1], start=1):
            prefix = ".".join(parts[:depth])
            node = node.get(part) if isinstance(node, Mapping) else None
            if prefix in self._fixed or isinstance(node, list | tuple):
                return prefix
        return None

    def _at(self, key: str) -> Any:
        node = self._base
        for part in key.split("."):
            node = node[part]
        return node


def _put(whole: Any, parts: list[str], value: Any, where: str) -> Any:
    """A copy of `whole` with `value` at the place that `parts` lead to, which must exist."""
    if not parts:
        return value
    part, *rest = parts
    if isinstance(whole, Mapping):
        check_keys({part: None}, set(whole), required=set(), where=where)
        return {**whole, part: _put(whole[part], rest, value, where)}
    if isinstance(whole, list | tuple):
        if not (part.isdigit() and int(part) < len(whole)):
            raise ConfigError(f"{where}: {part!r} is no place of {whole!r}; give 0 to {len(whole) - 1}")
        changed = list(whole)
        changed[int(part)] = _put(changed[int(part)], rest, value, where)
        return type(whole)(changed)
    raise ConfigError(f"{where}: {whole!r} has no {part!r}")
