"""Configs checked against what a class takes, before anything is built."""

import inspect

from vssl.known_keys import refuse_unknown


def check_settings(kind: type, settings: dict, where: str) -> None:
    """ValueError for keys that no constructor of `kind` or its bases takes.

    Args:
        where: names the place in the config, for the message.
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {
        name
        for base in kind.__mro__
        if "__init__" in vars(base)
        for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items()
        if parameter.kind in named and name != "self"
    }
    refuse_unknown(settings, known, f"{where} ({kind.__name__})")
