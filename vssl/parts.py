"""Parts of parts in a config: ``dict(type=Class, **settings)`` inside the settings of a designer or an objective."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

EXTRAS = {
    "lightly": "lightly", "transformers": "language", "tokenizers": "language", "optuna": "sweep",
    "sklearn": "clusters", "sqlalchemy": "results", "peft": "lora",
    "fsspec": "remote", "aiohttp": "remote", "s3fs": "s3", "submitit": "slurm",
}  # fmt: skip
"""Optional packages, and the extra in pyproject.toml that installs each."""


def build_part(node: Any, base: type, key: str, *arguments: Any) -> Any:
    """The object that `node` describes, made with `arguments` and its settings; an object of `base` is handed back.

    Args:
        node: ``dict(type=Class, **settings)``; the type may be its dotted name, as in saved configs.
        base: what the type must be a subclass of.
        key: who asks and for what, for the errors, e.g. ``"MAE: target"``.

    Raises:
        ValueError: `node` has no type, or a type of another kind.
        ImportError: the type's package is not installed; the error says how to install it.
    """
    if isinstance(node, base):
        return node
    settings = dict(node) if isinstance(node, Mapping) else {}
    kind = settings.pop("type", None)
    kind = named(kind, key) if isinstance(kind, str) else kind
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(f"{key} needs type=a {base.__name__}, got {kind if isinstance(node, Mapping) else node!r}")
    return kind(*arguments, **settings)


def named(name: str, key: str) -> Any:
    """What a dotted name stands for.

    Raises:
        ImportError: its package is not installed.
        ValueError: the package has no such name.
    """
    try:
        return resolve_name(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{key}: {name} needs {error.name}, which is not installed{install_hint(name)}") from error
    except AttributeError as error:
        raise ValueError(f"{key}: there is no {name} ({error})") from error


def optional_package(name: str, who: str) -> Any:
    """The module of an optional package that `who` needs.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{who} needs {name}{install_hint(name)}") from error


def install_hint(text: str) -> str:
    """How to install the optional package that `text` (a dotted name, an error) names; nothing where it is there."""
    for package, extra in EXTRAS.items():
        if package in text and find_spec(package) is None:
            return f": python -m pip install 'vssl[{extra}]'"
    return ""
