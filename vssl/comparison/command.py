"""The comparison from the command line: ``tools/compare.py``."""

import argparse
import shlex
import sys
from pathlib import Path

from vssl.comparison.environment import describe_environment
from vssl.comparison.execute import execute
from vssl.comparison.jobs import execute_in_jobs
from vssl.comparison.listing import format_plan
from vssl.comparison.plan import Comparison, check_arm, read_comparison
from vssl.comparison.workers import Workers, default_workers
from vssl.compat import add_note
from vssl.reports import collect, format_table, write_page, write_results


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
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
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """``tools/compare.py``: exit status 0, or 1 with the error on stderr."""
    try:
        run_command(arguments)
    except (ValueError, FileNotFoundError, FileExistsError, FloatingPointError) as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return 1
    return 0


def run_command(arguments: list[str] | None = None, workers: Workers | None = None) -> None:
    """Parse, run or list or collect, and print the table; `workers` default to the real engine and probes."""
    options = parse_arguments(arguments)
    comparison = _load_comparison(options)
    for arm in options.arms or []:
        check_arm(arm, comparison.arms, "--arms")
    if options.list:
        print(format_plan(comparison, options.arms))
        return
    words = ["tools/compare.py", *(sys.argv[1:] if arguments is None else arguments)]
    command = "python " + shlex.join(words)
    if not options.collect_only:
        _run(comparison, options, workers or default_workers(), command)
    print(format_table(report(comparison, command)))
    print(f"\nreport: {(comparison.work_dir / 'index.html').resolve()}")


def report(comparison: Comparison, command: str, page: bool = True) -> dict:
    """Collect what is on disk; write results.json and, with `page`, index.html and verdict.png. Returns the results."""
    results = collect(comparison.work_dir, comparison.layout(command), describe_environment())
    write_results(results, comparison.work_dir / "results.json")
    if page:
        write_page(results, comparison.work_dir)
    return results


def _run(comparison: Comparison, options: argparse.Namespace, workers: Workers, command: str) -> None:
    def after_each() -> None:
        report(comparison, command, page=False)

    try:
        if options.jobs == 1:
            execute(comparison, workers, options.arms, after_each=after_each)
        else:
            execute_in_jobs(comparison, workers, options.jobs, options.arms, after_each)
    except BaseException as error:
        if not any(comparison.work_dir.glob("*/*/run.json")):
            raise  # refused before anything was run: there is nothing to go on from, or to report
        add_note(error, f"Once that is put right, the same command goes on from here: {command}")
        try:
            report(comparison, command)
            add_note(error, f"What was finished is in {comparison.work_dir / 'index.html'}.")
        except Exception as second:  # the first error is the one to report
            add_note(error, f"No report could be written of what was finished: {second}")
        raise


def _load_comparison(options: argparse.Namespace) -> Comparison:
    from mmengine import Config

    if not Path(options.config).is_file():
        raise FileNotFoundError(f"comparison config {options.config} does not exist")
    config = Config.fromfile(options.config)
    return read_comparison(config.to_dict(), options.config, options.seeds, options.work_dir)
