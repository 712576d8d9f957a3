"""Write the page that shows what a run's designer learned (docs/policy_page.md)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vssl.commands import run_command


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run directory of tools/train.py; the dataset is not needed")
    parser.add_argument("--out", type=Path, help="the page (default: RUN/policy.html)")
    parser.add_argument("--png-dir", type=Path, help="also write every figure as a PNG into this folder")
    return parser


def execute(options: argparse.Namespace) -> None:
    if not options.run.is_dir():
        raise FileNotFoundError(f"{options.run} does not exist; give a run directory of tools/train.py")
    from vssl.reports.policy.policy_page import write_policy_page

    page = write_policy_page(options.run, options.out, options.png_dir)
    print(f"{page} ({page.stat().st_size / 2**20:.1f} MB)")


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), execute, argv, {"--work-dir": "--out"})
