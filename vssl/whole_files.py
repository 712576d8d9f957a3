"""Files that appear under their name only when they are whole, whatever ends the process."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL = ".partial"
EXPORTED = "backbone.safetensors"  # what a run calls the weights that probes and users load


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The path to write to; when the block ends, what was written there gets the name `path`.

    The folder is made. If the block raises, `path` stays as it was, and the unfinished file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """UTF-8."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any] | Sequence[Any], indent: int = 2) -> None:
    """UTF-8, a final newline, letters of any language as they are."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")


def exported_file(source: str | Path) -> Path:
    """The file itself, or that which a run left in its directory.

    Raises:
        FileNotFoundError: neither is there.
    """
    path = Path(source)
    if path.is_dir():
        path = path / EXPORTED
        if not path.is_file():
            raise FileNotFoundError(f"{source} has no {EXPORTED}; give a run that has written a checkpoint, or a file")
    if not path.is_file():
        raise FileNotFoundError(f"backbone {source} does not exist; give a run directory, or a {EXPORTED} of one")
    return path
