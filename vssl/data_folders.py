"""Folders of data in error messages: what one holds, and what to do about one that is missing.

Nothing that takes long to import is needed here, so that a command can look at its folders first.
"""

from pathlib import Path

# What makes the folders that the configs name; data/README.md has the layouts.
_PREPARED_BY = {
    "scenes": "scenes",
    "scenes224": "scenes --size 224 --seed 1 --counts imagenet_train=16000",
    "scenes_retrieval": "scenes_retrieval",
    "scenes_pairs": "scenes_pairs",
    "benchmark": "scenes --seed 2",
    "benchmark_long": "scenes --seed 3",
    "colours": "scenes --family colours",
    "rooms": "scenes --family rooms",
    **{
        name: f"{name} --source …"
        for name in ("ade20k", "nyuv2", "imagenet", "camvid", "tiny_imagenet", "roxford5k", "rparis6k")
    },
}


def refuse_missing(folder: str | Path) -> None:
    """Raises FileNotFoundError where there is no such folder; the message has what is there and the next step."""
    if not Path(folder).is_dir():
        above = next((parent for parent in Path(folder).parents if parent.is_dir()), Path("."))
        raise FileNotFoundError(f"{folder}: no such folder ({above} holds: {found_in(above)}). {next_step(folder)}")


def next_step(folder: str | Path) -> str:
    """What to do about a folder that is missing or not as it should be, for error messages."""
    parts = Path(folder).parts
    known = next((i for i, part in enumerate(parts) if part in _PREPARED_BY), None)
    command = "--help" if known is None else f"{_PREPARED_BY[parts[known]]} --out {Path(*parts[: known + 1])}"
    return f"Run python tools/prepare_data.py {command}, or see data/README.md for the layouts"


def found_in(folder: Path, most: int = 5) -> str:
    """What a folder holds, for error messages."""
    if not folder.is_dir():
        return "no such folder"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "nothing"
