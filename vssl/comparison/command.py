"""What ``tools/compare.py`` does."""

import argparse
from pathlib import Path

from vssl.arm_settings import check_arm
from vssl.comparison.cluster import FOLDER, Cluster
from vssl.comparison.execute import execute
from vssl.comparison.jobs import execute_in_jobs
from vssl.comparison.listing import format_plan
from vssl.comparison.on_cluster import execute_on_cluster
from vssl.comparison.plan import Comparison, read_comparison
from vssl.comparison.workers import Workers, default_workers
from vssl.compat import add_note
from vssl.config_files import read_config
from vssl.environment import describe_environment
from vssl.reports import collect, format_table, write_page, write_results
from vssl.results.automatic import recorded


def run_command(options: argparse.Namespace, command: str, workers: Workers | None = None) -> None:
    """Run or list or collect, and print the table.

    Args:
        options: of the parser in vssl/commands/compare.py.
        command: how it was called, for the report.
        workers: default to the real engine and probes.
    """
    comparison = _load_comparison(options)
    for arm in options.arms or []:
        check_arm(arm, comparison.arms, "--arms")
    if options.list:
        print(format_plan(comparison, options.arms))
        return
    with recorded(*([] if options.collect_only else [comparison.work_dir])):
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

    if options.slurm and options.executor is None:
        raise ValueError("--slurm is for jobs of a cluster; give --executor slurm too")
    cluster = None
    if options.executor is not None:
        cluster = Cluster(options.executor, comparison.work_dir / FOLDER, options.slurm, options.jobs)
    try:
        if cluster is not None:
            execute_on_cluster(comparison, workers, cluster, options.arms, after_each)
        elif options.jobs in (None, 1):
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

    if not Path(options.config).is_file():
        raise FileNotFoundError(f"comparison config {options.config} does not exist")
    config = read_config(options.config)
    return read_comparison(config.to_dict(), options.config, options.seeds, options.work_dir)
