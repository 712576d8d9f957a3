"""Search over the settings of a training config, with the search's cost counted (docs/sweep.md)."""

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
        allow_abbrev=False,  # `shown_command` looks for --storage by its name
        description="Search over settings of a training config with Optuna. Every trial is a run at the cost of "
        "the same number of baseline steps, scored by probes. What is finished is not run again. "
        "Needs the extra vssl[sweep].",
    )
    parser.add_argument("config", help="a sweep config: a path, or a name such as scenes/sweep_mae")
    parser.add_argument("--work-dir", help="where trials and the report go (default: the config's work_dir)")
    parser.add_argument("--trials", type=int, metavar="N", help="how many in all, those that are there included")
    parser.add_argument("--sampler", choices=("tpe", "random"), help="instead of the config's")
    parser.add_argument("--seed", type=int, metavar="N", help="of the sampler, instead of the config's")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="as SQLAlchemy reads it, or env:NAME for the environment variable that holds it (default: study.db in the "
        "work dir)",
    )
    parser.add_argument("--study", metavar="NAME", help="in that storage (default: the work directory's name)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials side by side, in N processes or jobs")
    add_cluster_options(parser, "process")
    parser.add_argument("--check", action="store_true", help="check config, space, data and probes; run nothing")
    return parser


def execute(options: argparse.Namespace, argv: Sequence[str]) -> None:
    path = config_file(options.config, below="scenes/")
    refuse_for_comparing(path, None)
    options.config = str(path)
    from vssl.sweep.command import run_command

    run_command(options, shown_command(argv))


def shown_command(argv: Sequence[str]) -> str:
    """The command as it is written down; a database's URL may hold a password, and is left out."""
    called = "vssl sweep" if sys.argv[0] == "vssl sweep" else "python tools/sweep.py"
    shown = list(argv)
    for place, word in enumerate(shown):
        if word == "--storage" and place + 1 < len(shown):
            shown[place + 1] = "URL"
        elif word.startswith("--storage="):
            shown[place] = "--storage=URL"
    return " ".join([called, *map(shlex.quote, shown)])


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    return run_command(parser(), partial(execute, argv=argv), argv, {"--out": "--work-dir"})
