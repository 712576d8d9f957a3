"""Probe results on disk: a JSON list that grows by name, and the arrays for pictures beside it."""

import json
import math
from pathlib import Path

import numpy as np

from vssl.whole_files import whole, write_json


def save_results(results: list[dict], path: str | Path) -> None:
    """Write results to a JSON list; results of other probes or backbones already in the file are kept.

    Two results are the same when `name`, `backbone` and the card's seed are; the new one then replaces the old. The
    file is replaced in one move, so that an interrupted write loses nothing.

    Raises:
        ValueError: `path` holds something else than such a list.
    """
    path = Path(path)
    kept = [old for old in load_results(path) if _key(old) not in {_key(new) for new in results}]
    write_json(path, _finite(kept + results), indent=1)


def load_results(path: str | Path) -> list[dict]:
    """Results in `path`, or [] when there is no such file yet."""
    path = Path(path)
    if not path.exists():
        return []
    try:
        results = json.loads(path.read_text())
        if not all(isinstance(r, dict) and "task" in r and "scores" in r for r in results):
            raise ValueError("no task or scores in an entry")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a list of probe results ({error}); give --out another name") from error
    return results


def save_pictures(pictures: dict[str, np.ndarray], path: str | Path) -> None:
    """Write arrays to an npz file in one move; keys that are already there are kept."""
    path = Path(path)
    if path.exists():
        with np.load(path) as old:
            pictures = {**dict(old), **pictures}
    with whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **pictures)


def pictures_path(results: str | Path) -> Path:
    """The npz file that belongs to a results file."""
    return Path(results).with_suffix(".npz")


def _key(result: dict) -> tuple:
    return result.get("name", result["task"]), result.get("backbone"), result.get("card", {}).get("seed")


def _finite(value):
    """JSON has no NaN: a value that could not be computed is null."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
