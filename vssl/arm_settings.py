"""Settings of a comparison's arms, written out and checked: options of every arm, and arms that are like another one.

Nothing that takes long to import is needed here, so that a command can look at its arms first.
"""

from collections.abc import Callable, Mapping
from typing import Any

from vssl.config_files import ConfigError
from vssl.known_keys import nearest, refuse_unknown


def check_keys(given: Mapping, known: set[str], required: set[str], where: str) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}; expected dict({', '.join(f'{key}=…' for key in sorted(known))})")
    refuse_unknown(given, known, where, ConfigError)
    missing = required - set(given)
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(sorted(missing))}")


def check_arm(name: str, arms: Mapping, where: str) -> str:
    if name not in arms:
        raise ConfigError(f"{where}: no arm named {name!r} (arms: {', '.join(arms)}){nearest(name, arms)}")
    return name


def written_out(arms: Mapping[str, Mapping], source: str) -> dict[str, dict]:
    """Each arm with all that it has of the arm that it is `like`.

    It has every key of that arm but the label. Its own keys take their place, and `budget` and `steps_of` each other's;
    its own `cfg_options` are put `on_top` of that arm's.

    Raises:
        ConfigError: `like` names no arm, or goes round in a circle.
    """
    return {name: _written_out(name, arms, (), source) for name in arms}


def arm_options(
    about: Mapping, comparison: Mapping, source: str, where: str, feedback: Callable[[], Any]
) -> dict[str, Any]:
    """All `cfg_options` of an arm: those of every arm, those of arms with feedback, and on top its own.

    Args:
        about: the arm, `written_out`.
        feedback: what the arm's config file has under ``feedback``; called only where that matters.

    Raises:
        ConfigError: one of the three is not a dict of names.
    """
    options = options_of(about, where)
    if comparison.get("feedback_options"):
        has = options["feedback"] if "feedback" in options else feedback()
        if has is not None:
            options = on_top(options_of(comparison, source, "feedback_options"), options)
    return on_top(options_of(comparison, source), options)


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
