"""The run directory: who may write into it, and whether a checkpoint there belongs to this config."""

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vssl.config_files import read_config
from vssl.engine.checkpoint import candidates
from vssl.engine.config import ConfigError
from vssl.engine.settings import flat_settings

# What a run writes, and `--overwrite` removes; anything else in the folder is somebody else's.
FILES = (
    "config.py", "run.json", "metrics.jsonl", "checkpoint.pth", "backbone.safetensors", "views.npz",
    "bad_files.txt", "online_probes.jsonl", "policy.jsonl", "policy.html", "mask_analysis.json", "one_step.jsonl",
)  # fmt: skip
FOLDERS = ("snapshots", "probes")

# Keys that a resumed run may change: what it writes and where it runs, not what it trains.
FREE = (
    "log_interval", "checkpoint_interval", "checkpoint_keep", "rankme_interval", "sample_views", "snapshots",
    "snapshot_images", "probes", "num_workers", "threads", "device", "compile", "visualizer", "custom_hooks",
    "find_unused_parameters", "sharding", "designer_checkpoint", "collapse",
)  # fmt: skip


def check_free(work_dir: Path, resume: bool, overwrite: bool) -> None:
    """Refuse a directory that holds a run, unless it is to be continued or replaced.

    Raises:
        FileExistsError, NotADirectoryError: the message says how to go on.
    """
    for place in (work_dir, *work_dir.parents):
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(f"--work-dir {work_dir}: {place} is a file, not a folder; choose another")
    if resume or overwrite:
        return
    if candidates(work_dir) or (work_dir / "run.json").exists():
        with claimed(work_dir):  # refused otherwise: a run that goes on there needs other advice than one that stopped
            pass
    if candidates(work_dir):
        raise FileExistsError(
            f"{work_dir} holds a run already: continue it with --resume, replace it with --overwrite, or give another "
            "--work-dir"
        )
    if (work_dir / "run.json").exists():
        raise FileExistsError(
            f"{work_dir} holds a run that stopped before its first checkpoint: start it again with --overwrite, or "
            "give another --work-dir"
        )


@contextmanager
def claimed(work_dir: Path) -> Iterator[None]:
    """Hold the directory for this process; the lock ends with it, whatever kills it.

    Raises:
        FileExistsError: another process holds it.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / ".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock not inherited by forked data workers
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise FileExistsError(
                f"{work_dir} is in use by {holder}; wait for it, or give another --work-dir"
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def clear(work_dir: Path) -> None:
    """Remove what an earlier run wrote."""
    for name in FILES:
        (work_dir / name).unlink(missing_ok=True)
    for old in (*candidates(work_dir), *work_dir.glob("checkpoint.*.damaged")):
        old.unlink()
    for name in FOLDERS:
        shutil.rmtree(work_dir / name, ignore_errors=True)


def check_same_run(config: Config, work_dir: Path) -> None:
    """Refuse to resume with settings other than the saved ones; the budget may be raised.

    Raises:
        ConfigError: lists every key that differs, with both values.
    """
    file = work_dir / "config.py"
    if not file.is_file():
        if candidates(work_dir):
            raise ConfigError(f"{work_dir} has a checkpoint, but the config.py that it was made with is gone")
        return  # nothing was begun there
    before, now = flat_settings(read_config(file)), flat_settings(config)
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key) and key.split(".")[0] not in FREE]
    limits = {key for key in changed if key in ("budget.steps", "budget.seconds") and key in before and key in now}
    lowered = sorted(key for key in limits if now[key] < before[key])
    changed = [key for key in changed if key not in limits or key in lowered]
    if changed:
        raise ConfigError(
            f"--resume with other settings than {file}: {_listed(before, now, changed)}. Resume with the run's own "
            f"(tools/train.py {file} --work-dir {work_dir} --resume; budget.steps or budget.seconds may be raised), "
            "or start another run"
        )


def _listed(before: dict[str, Any], now: dict[str, Any], changed: list[str]) -> str:
    return "; ".join(f"{key} was {before.get(key)!r}, now {now.get(key)!r}" for key in changed)
