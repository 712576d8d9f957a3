"""Keys and names of a comparison's config, checked: what is unknown or missing is said with the nearest known one."""

from collections.abc import Mapping

from vssl.engine.config import ConfigError
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
