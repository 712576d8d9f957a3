"""What the arms of a comparison share, written out: options of every arm, and arms that are like another one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vssl.comparison.key_checks import check_arm
from vssl.engine.config import ConfigError, load_config


def written_out(arms: Mapping[str, Mapping], source: str) -> dict[str, dict]:
    """Each arm with all that it has of the arm that it is `like`.

    It has every key of that arm but the label. Its own keys take their place, and `budget` and `steps_of` each other's;
    its own `cfg_options` are put `on_top` of that arm's.

    Raises:
        ConfigError: `like` names no arm, or goes round in a circle.
    """
    return {name: _written_out(name, arms, (), source) for name in arms}


def options_of(about: Mapping, where: str, key: str = "cfg_options") -> dict[str, Any]:
    """The dotted options under `key`.

    Raises:
        ConfigError: they are not a dict of names.
    """
    options = about.get(key) or {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise ConfigError(f"{where}: {key} is {options!r}; expected a dict such as {{'optimizer.lr': 1e-3}}")
    return dict(options)


def on_top(options: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `options`. Each takes the place of the one with its name, and of those below it: where `own` has
    ``feedback``, no ``feedback.control`` is left."""
    kept = {key: value for key, value in options.items() if not any(key.startswith(f"{name}.") for name in own)}
    return {**kept, **own}


def has_feedback(config: Path, options: Mapping[str, Any]) -> bool:
    """Whether a run of this config file with these options has feedback."""
    return (options["feedback"] if "feedback" in options else load_config(config).get("feedback")) is not None


def _written_out(name: str, arms: Mapping[str, Mapping], chain: tuple[str, ...], source: str) -> dict:
    about, where = arms[name], f"{source}: arm {name!r}"
    if name in chain:
        circle = " → ".join([*chain[chain.index(name) :], name])
        raise ConfigError(f"{source}: like goes round in a circle: {circle}; give one of them a config of its own")
    own = {key: value for key, value in about.items() if key != "like"}
    if (other := about.get("like")) is None:
        return own
    like = _written_out(check_arm(other, arms, f"{where}: like"), arms, (*chain, name), source)
    given_up = {"label"} | ({"budget", "steps_of"} if own.keys() & {"budget", "steps_of"} else set())
    inherited = {key: value for key, value in like.items() if key not in given_up}
    options = on_top(options_of(like, where), options_of(own, where))
    return {**inherited, **own, "cfg_options": options}
