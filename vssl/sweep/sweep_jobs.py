"""A sweep whose processes are jobs of a cluster: each takes trials from the one study until none is left."""

import argparse
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from vssl.comparison.cluster import FOLDER, Cluster
from vssl.engine.config import ConfigError
from vssl.sweep.study import FROM_ENVIRONMENT


def cluster_of(options: argparse.Namespace, work_dir: Path) -> Cluster | None:
    """Where the processes of a sweep run; None for this one's own.

    Raises:
        ConfigError: jobs that could not share a study, or that would write a password to the disk.
        ImportError, ValueError: see `Cluster`.
    """
    if options.slurm and options.executor is None:
        raise ConfigError("--slurm is for jobs of a cluster; give --executor slurm too")
    if options.executor is None:
        return None
    storage = options.storage or "sqlite:"
    if options.executor == "slurm" and storage.startswith("sqlite"):
        raise ConfigError("--executor slurm: SQLite is not made for writers on several machines; give --storage URL")
    secret = "@" in storage or "password=" in storage.lower()  # drivers take it as a parameter, too
    if not storage.startswith((FROM_ENVIRONMENT, "sqlite")) and secret:
        raise ConfigError(
            f"--executor {options.executor} writes to the disk what a job does, and this URL holds a user or password; "
            f"put it into an environment variable and give --storage {FROM_ENVIRONMENT}NAME"
        )
    return Cluster(options.executor, work_dir.resolve() / FOLDER, options.slurm, options.jobs)


def run_on_cluster(cluster: Cluster, options: argparse.Namespace, command: str) -> None:
    """Waits for `options.jobs` jobs, each of which is the command itself as one process.

    Raises:
        ChildProcessError: a job failed; those beside it ended first.
    """
    one = copy(options)
    one.executor, one.slurm, one.jobs = None, {}, 1
    cluster.bring("sweep", {f"process_{number}": _Process(one, command) for number in range(options.jobs)})


@dataclass(frozen=True)
class _Process:
    """What one job does."""

    options: argparse.Namespace
    command: str

    def __call__(self) -> None:
        from vssl.sweep.command import run_command  # which imports this module

        run_command(self.options, self.command)
