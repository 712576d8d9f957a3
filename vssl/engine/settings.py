"""A training config as a flat dict of plain values: to notice that a run was made with other settings, and to show
what two arms do differently."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where a file lies says nothing about what was trained; the start checkpoint is identified by its content.
_NOT_A_SETTING = ("backbone.checkpoint", "work_dir", "arm")


def flat_settings(config: Any) -> dict[str, Any]:
    """``{"designer.lr": 1e-3, ...}`` of an mmengine config or a mapping; classes appear by their dotted name."""
    content = config.to_dict() if hasattr(config, "to_dict") else config
    flat: dict[str, Any] = {}
    _flatten("", content, flat)
    return {key: value for key, value in flat.items() if key not in _NOT_A_SETTING and not key.startswith("_")}


def _flatten(prefix: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), inner, flat)
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping) for inner in value):
        for index, inner in enumerate(value):
            _flatten(f"{prefix}.{index}", inner, flat)
    elif not inspect.ismodule(value):  # what a pure-Python config imported
        flat[prefix] = _plain(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Mapping):
        return {}
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value)
