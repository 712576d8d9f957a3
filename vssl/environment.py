"""Where a run was made: machine, threads, versions. Elapsed time means nothing without it."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

_PACKAGES = ("vssl", "torch", "timm", "kornia", "mmengine", "mmsegmentation", "numpy")


def describe_environment(threads: int | None = None) -> dict:
    """``machine`` (what decides speed, on one line), ``cpus``, ``threads``, versions, ``commit`` and ``date`` (UTC).

    Args:
        threads: what a run that is about to begin asks for; None for what this process has now.
    """
    import torch

    import vssl

    threads = threads or torch.get_num_threads()
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "machine": f"{device}, {cpus} CPUs, {threads} threads",
        "device": device,
        "cpus": cpus,
        "threads": threads,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _PACKAGES} | {"vssl": vssl.__version__},
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Commit of the source tree, with ``+changes`` when files differ from it; None outside a git checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
