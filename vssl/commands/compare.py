"""Arms × seeds at matched budgets, probed and reported (docs/compare.md)."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vssl.commands import run_command


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/compare.py",
        description="Run arms × seeds at matched budgets, probe them, and write results.json and index.html. "
        "What is finished is not run again.",
    )
    parser.add_argument("config", help="comparison config, e.g. configs/scenes/verdict.py")
    parser.add_argument("--work-dir", help="where runs and the report go (default: the config's work_dir)")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="run only these arms")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="instead of the config's seeds")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="run seeds in N processes side by side (not with budgets in elapsed seconds; default: 1)",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--list", action="store_true", help="print what would be run, and stop")
    mode.add_argument("--collect-only", action="store_true", help="report on what is there, run nothing")
    return parser


def execute(options: argparse.Namespace, argv: Sequence[str]) -> None:
    if not Path(options.config).is_file():
        raise FileNotFoundError(f"comparison config {options.config} does not exist; see configs/scenes/verdict.py")
    from vssl.comparison.command import run_command

    run_command(options, "python " + shlex.join(["tools/compare.py", *argv]))


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    return run_command(parser(), partial(execute, argv=argv), argv)
