"""Arms × seeds at matched budgets, probed and reported (docs/compare.md)."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial

from vssl.commands import run_command
from vssl.commands.cluster_options import add_cluster_options
from vssl.commands.missing_folders import refuse_for_comparing
from vssl.config_files import config_file


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Run arms × seeds at matched budgets, probe them, and write results.json and index.html. "
        "What is finished is not run again.",
    )
    parser.add_argument("config", help="a comparison config: a path, or a name such as scenes/verdict")
    parser.add_argument("--work-dir", help="where runs and the report go (default: the config's work_dir)")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="run only these arms")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="instead of the config's seeds")
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="run seeds in N processes side by side (not with budgets in elapsed seconds; default: 1); with "
        "--executor slurm: N jobs at a time (default: all)",
    )
    add_cluster_options(parser, "run")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--list", action="store_true", help="print what would be run, and stop")
    mode.add_argument("--collect-only", action="store_true", help="report on what is there, run nothing")
    return parser


def execute(options: argparse.Namespace, argv: Sequence[str]) -> None:
    options.config = config_file(options.config, below="scenes/")
    if not (options.list or options.collect_only):
        refuse_for_comparing(options.config, options.arms)
    from vssl.comparison.command import run_command

    called = "vssl compare" if sys.argv[0] == "vssl compare" else "python tools/compare.py"
    run_command(options, " ".join([called, *map(shlex.quote, argv)]))


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    return run_command(parser(), partial(execute, argv=argv), argv, {"--out": "--work-dir"})
