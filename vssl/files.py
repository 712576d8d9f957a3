"""Files that appear under their name only when they are whole, whatever ends the process."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL = ".partial"


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
