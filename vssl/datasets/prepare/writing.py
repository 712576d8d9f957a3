"""Prepared folders on disk: every file under its final name is whole, and `dataset.json` comes last.

A preparation that was killed is completed by running it again; one that is complete is left as it is.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vssl import __version__
from vssl.datasets.shards import INDEX, ROW
from vssl.whole_files import PARTIAL, whole, write_json

DESCRIPTION = "dataset.json"
UNFINISHED = "dataset.json.unfinished"


def prepared(out: Path, options: Mapping[str, Any]) -> bool:
    """Whether `out` holds the data set with these options already, complete. Writes nothing.

    Raises:
        FileExistsError: `out` holds a data set with other options.
    """
    options = json.loads(json.dumps(options))
    known = [path for path in (out / DESCRIPTION, out / UNFINISHED) if path.is_file()]
    if not known:
        return False
    there = json.loads(known[0].read_text())
    if there.get("options") != options:
        before = there.get("options") or {}
        told = "; ".join(
            f"{key}: there {before.get(key)!r}, asked for {options.get(key)!r}"
            for key in {**before, **options}
            if before.get(key) != options.get(key)
        )
        raise FileExistsError(
            f"{out} holds a data set prepared with other options ({told}). Choose another --out, or remove what was "
            f"prepared there and its {DESCRIPTION}"
        )
    return known[0].name == DESCRIPTION and _holds(out, there.get("files", {}))


def begin(out: Path, options: Mapping[str, Any], parts: Sequence[str] = ()) -> bool:
    """Takes `out` for a data set with these options. False: it is there already, complete.

    Args:
        options: what the content depends on, source included; JSON values.
        parts: names below `out` that will be written, so that nobody else's may be there.

    Raises:
        FileExistsError: `out` holds a data set with other options, or `parts` that no preparation wrote.
    """
    if prepared(out, options):
        return False
    if not any((out / name).is_file() for name in (DESCRIPTION, UNFINISHED)):
        if strange := [part for part in parts if (out / part).exists()]:
            raise FileExistsError(
                f"{out} already holds {', '.join(strange)}, but no {DESCRIPTION}: this tool did not prepare them. "
                "Choose another --out, or move them away"
            )
        write_json(out / UNFINISHED, {"options": options})
    return True


def finish(out: Path, options: Mapping[str, Any], files: Iterable[str] = (), **about: Any) -> Path:
    """Writes the description, last, and returns its path.

    Args:
        files: folders below `out` whose number of entries is recorded, so that `begin` notices when some are lost.
        about: name, source, counts, hashes, licence and whatever else a protocol card should quote.
    """
    entries = {folder: _entries(out / folder) for folder in files}
    write_json(out / DESCRIPTION, {**about, "options": options, "files": entries, "prepared_by": f"vssl {__version__}"})
    (out / UNFINISHED).unlink(missing_ok=True)
    return out / DESCRIPTION


def write_whole(path: Path, content: bytes) -> None:
    with whole(path) as partial:
        partial.write_bytes(content)


def link_or_write(source: Path | None, content: bytes | None, target: Path) -> None:
    """Puts a file there: a hard link where `source` is on the same file system (no disk space), else a copy.

    Args:
        source: None when the content does not lie in a file of its own.
        content: None when it was not read yet.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source is not None:
        try:
            return os.link(source.resolve(), target)
        except OSError:
            pass  # another file system, or one without links
    write_whole(target, source.read_bytes() if content is None else content)


class ContentHash:
    """One SHA-256 over names and contents of many files, in the order in which they are added."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, name: str, content: bytes) -> None:
        self._hash.update(f"{name}\n{hashlib.sha256(content).hexdigest()}\n".encode())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _entries(folder: Path) -> int:
    return sum(not entry.name.endswith(PARTIAL) for entry in os.scandir(folder)) if folder.is_dir() else 0


def _holds(out: Path, files: Mapping[str, int]) -> bool:
    return all(_entries(out / folder) == count for folder, count in files.items())


def write_index(out: Path, rows: Sequence[tuple[int, int, int]], without: str) -> None:
    """The (shard, size, offset) of every image; ValueError that says `without` where there is none."""
    if not rows:
        raise ValueError(without)
    content = io.BytesIO()
    np.save(content, np.array(rows, ROW))
    write_whole(out / INDEX, content.getvalue())
