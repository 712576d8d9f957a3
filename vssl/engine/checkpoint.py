"""One file from which a run continues exactly."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vssl.distributed import rank_and_size

VERSION = 1


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; the file appears under its name only when it is whole, whatever kills the process."""
    partial = path.with_name(path.name + ".partial")
    torch.save({"version": VERSION, **content}, partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, tensors and plain values only (`weights_only`): a file from elsewhere cannot run code.

    Raises:
        FileNotFoundError, ValueError: with the file's name and what to do.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; start without --resume, or give the run's --work-dir")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many classes for a damaged archive
        raise ValueError(f"checkpoint {path} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        found = content.get("version") if isinstance(content, dict) else None
        raise ValueError(
            f"checkpoint {path} is not one of this version's training runs (version {found}, not {VERSION})"
        )
    return content


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
        "numpy": [torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
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
