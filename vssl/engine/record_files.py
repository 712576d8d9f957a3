"""Files that a run writes beside its log: whole or not there at all, and free of steps that are done again."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vssl.whole_files import whole, write_text


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz file."""
    with whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Add one JSON object to a file of lines."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def forget_lines_after(path: Path, step: int) -> None:
    """Drop the lines of later steps, which a resumed run is about to write again, and a last line that was cut off."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError):  # cut off in the middle by a kill
            break
    write_text(path, "".join(kept))


def pixels(views: Any) -> np.ndarray:
    """Images (…, 3, H, W) in [0, 1] as (…, H, W, 3) uint8."""
    return (views.detach().clamp(0, 1) * 255).round().byte().movedim(-3, -1).cpu().numpy()
