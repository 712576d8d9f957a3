"""Keys and names of a comparison's config, checked: what is unknown or missing is said with the nearest known one."""

import difflib
from collections.abc import Iterable, Mapping

from vssl.engine.config import ConfigError


def check_keys(given: Mapping, known: set[str], required: set[str], where: str) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}; expected dict({', '.join(f'{key}=…' for key in sorted(known))})")
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r} (known: {', '.join(sorted(known))}){_nearest(key, known)}")
    missing = required - set(given)
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(sorted(missing))}")


def check_arm(name: str, arms: Mapping, where: str) -> str:
    if name not in arms:
        raise ConfigError(f"{where}: no arm named {name!r} (arms: {', '.join(arms)}){_nearest(name, arms)}")
    return name


def _nearest(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
