"""What ``run.json`` says of where a run comes from: machine, versions, commit, data sets and start checkpoint."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vssl.compat import file_digest
from vssl.engine.settings import flat_settings
from vssl.environment import describe_environment

_ABOVE = 2  # dataset.json of data/scenes/imagenet/train lies in data/scenes


def provenance(config: Any) -> dict[str, Any]:
    """``environment``, ``data`` (see `dataset_digests`) and ``start_sha256``, of the file that the backbone began with
    (None without one)."""
    start = config.get("backbone", {}).get("checkpoint")
    found = start is not None and Path(start).is_file()
    return {
        "environment": describe_environment(config.get("threads")),
        "data": dataset_digests(flat_settings(config)),
        "start_sha256": file_digest(Path(start)) if found else None,
    }


def dataset_digests(settings: Mapping[str, Any]) -> dict[str, str | None]:
    """``{"unlabeled.root": digest, …}``: for each path to data in flat settings, the SHA-256 of its ``dataset.json``.

    It says how the data was made, and is the same wherever the data lies; the path from that file to a folder below it
    follows. None for data without such a file.
    """
    paths = {key: value for key, value in settings.items() if _is_data(key) and isinstance(value, str)}
    return {key: _digest(Path(value)) for key, value in paths.items() if Path(value).exists()}


def _is_data(key: str) -> bool:
    return key.startswith("unlabeled.") or (key.startswith("feedback.pools.") and ".dataset." in key)


def _digest(path: Path) -> str | None:
    for folder in (path, *list(path.absolute().parents)[:_ABOVE]):
        file = folder / "dataset.json"
        if file.is_file():
            content = json.loads(file.read_text(encoding="utf-8"))
            digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
            part = path.absolute().relative_to(folder.absolute()).as_posix()
            return digest if part == "." else f"{digest} {part}"
    return None
