"""One file from which a run continues exactly, the ones before it, and whether a file is what was written.

``checkpoint.pth`` is the latest, ``checkpoint.1.pth`` the one before it, and so on. They are zip archives, whose
entries carry a CRC-32; torch writes these sums and does not look at them.
"""

import os
import random
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vssl.distributed import rank_and_size

VERSION = 1


class DamagedCheckpoint(ValueError):
    """A file that is not as it was written: cut off, or with other bytes."""


class Found(NamedTuple):
    """The latest whole checkpoint of a run, and the later ones that are damaged."""

    content: dict[str, Any]
    path: Path
    damaged: list[Path]


def save(path: Path, content: dict[str, Any], keep: int = 1, replace: bool = False) -> None:
    """Write a checkpoint; the file appears under its name only when it is whole, whatever kills the process.

    Args:
        keep: how many of the last checkpoints there are afterwards, this one included.
        replace: in the place of the latest, which is of the same step.

    Raises:
        OSError: it could not be written; those that were there are left as they are.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        torch.save({"version": VERSION, **content}, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with an empty file
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError when a disk is full
        free = shutil.disk_usage(path.parent).free
        partial.unlink(missing_ok=True)
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise
        raise OSError(
            f"checkpoint {path} could not be written, with {free / 2**20:.1f} MiB free "
            f"({str(error).splitlines()[0]}); what was saved before is whole. Make room, then go on with --resume"
        ) from error
    if not replace:
        _move_back(path, keep)
    partial.replace(path)


def _move_back(path: Path, keep: int) -> None:
    """Give the checkpoints that are there their next number, and remove those beyond `keep`."""
    for number in range(keep, 1, -1):
        if (before := _older(path, number - 1)).exists():
            before.replace(_older(path, number))
    if path.exists():
        # a second name for the file: the first one is never without a checkpoint
        copy = path.with_name(path.name + ".before")
        copy.unlink(missing_ok=True)
        try:
            os.link(path, copy)
        except OSError:  # a file system without links
            path.replace(copy)
        copy.replace(_older(path, 1))
    for number, old in _numbered(path):
        if number >= keep:
            old.unlink()


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _numbered(path: Path) -> list[tuple[int, Path]]:
    """The checkpoints before `path` with their numbers, the latest first."""
    found = ((old.name[len(path.stem) + 1 : -len(path.suffix)], old) for old in path.parent.glob(f"{path.stem}.*.pth"))
    return sorted((int(number), old) for number, old in found if number.isdecimal())


def candidates(work_dir: Path) -> list[Path]:
    """The checkpoints of a run, the latest first, whole or not."""
    latest = work_dir / "checkpoint.pth"
    return [latest] * latest.is_file() + [old for _, old in _numbered(latest)]


def load_latest(work_dir: Path) -> Found:
    """The latest checkpoint that is whole.

    Raises:
        FileNotFoundError: there is none.
        DamagedCheckpoint: none is whole.
    """
    damaged: list[Path] = []
    said: list[str] = []
    for path in candidates(work_dir) or [work_dir / "checkpoint.pth"]:
        try:
            return Found(load(path), path, damaged)
        except DamagedCheckpoint as error:
            damaged.append(path)
            said.append(str(error))
    raise DamagedCheckpoint(f"{'; '.join(said)}. None is whole: start again with --overwrite")


def settle(found: Found) -> None:
    """Give the checkpoint that a run goes on from the latest's name; damaged ones end in ``.damaged``."""
    for path in found.damaged:
        path.replace(path.with_name(path.name + ".damaged"))
    if found.damaged:
        found.path.replace(found.path.with_name("checkpoint.pth"))


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, tensors and plain values only (`weights_only`): a file from elsewhere cannot run code.

    Raises:
        FileNotFoundError, ValueError: with the file's name and what to do.
        DamagedCheckpoint: it is not as it was written.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; start without --resume, or give the run's --work-dir")
    _check_sums(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many classes for a damaged archive
        raise DamagedCheckpoint(f"checkpoint {path} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        found = content.get("version") if isinstance(content, dict) else None
        raise ValueError(
            f"checkpoint {path} is not one of this version's training runs (version {found}, not {VERSION}); go on "
            "with the vssl that its run.json names, or start again with --overwrite"
        )
    return content


def _check_sums(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except Exception as error:  # zipfile raises many classes too
        raise DamagedCheckpoint(f"checkpoint {path} is damaged ({type(error).__name__}: {error})") from error
    if wrong is not None:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged (the checksum of {wrong} is another)")


def restore_parts(content: dict[str, Any], path: Path, seed: int, **parts: Any) -> None:
    """Load the states of learner, designer, optimizer and designer_update; a part that is None has none.

    Raises:
        ValueError: `content` belongs to another seed, number of ranks, kind of run or architecture.
    """
    if content["seed"] != seed:
        raise ValueError(
            f"checkpoint {path} has seed {content['seed']}, this run seed {seed}; resume with the same --seed or "
            "choose another --work-dir"
        )
    world_size = rank_and_size()[1]
    if len(content["random_states"]) != world_size:
        raise ValueError(f"checkpoint {path} is of {len(content['random_states'])} rank(s), not {world_size}")
    if (content["designer_update"] is None) != (parts["designer_update"] is None):
        raise ValueError(f"checkpoint {path} is of another kind of run; resume with its config.py")
    try:
        for name, part in parts.items():
            if part is not None:
                part.load_state_dict(content[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"checkpoint {path} does not fit this config: {error}") from error


def random_state() -> dict[str, Any]:
    """Every global generator of this process, as tensors and plain values."""
    _, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        # this process's device alone: a run may go on where there are fewer
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        # get_state gives a tuple, unless it is asked for a dict
        "numpy": [torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],  # type: ignore[attr-defined]
        "python": [random.getstate()[0], list(random.getstate()[1]), random.getstate()[2]],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))


@contextmanager
def same_random_state() -> Iterator[None]:
    """Every global generator is afterwards where it was."""
    before = random_state()
    try:
        yield
    finally:
        restore_random_state(before)
