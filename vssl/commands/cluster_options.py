"""How a command is told to send its work to a cluster."""

import argparse

from vssl.options import CfgOptions


def add_cluster_options(parser: argparse.ArgumentParser, what: str) -> None:
    """``--executor`` and ``--slurm``.

    Args:
        what: is a job of its own.
    """
    parser.add_argument(
        "--executor",
        choices=("slurm", "local"),
        help=f"make every {what} a job of its own, through submitit: in Slurm's queue, or on this machine to try it "
        "out. Needs the extra vssl[slurm]",
    )
    parser.add_argument(
        "--slurm",
        nargs="+",
        action=CfgOptions,
        default={},
        metavar="KEY=VALUE",
        help="of sbatch, by submitit's names, e.g. partition=gpu gpus_per_node=1 cpus_per_task=8 time=240 (minutes)",
    )
