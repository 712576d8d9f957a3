"""`metagradient`: the time of a meta step over one SSL step on the same batch, and its accuracy (docs/value.md)."""

import argparse
from collections.abc import Callable
from functools import partial
from itertools import product

from vssl.benchmarks.meta_step import ACCURACY, ESTIMATORS, RULES, WHICH, MetaStep, about, add_setting, settings
from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.benchmarks.timing import Stopwatch, take_turns

TIMES = {"ssl_ms": ".0f", "meta_ms": ".0f", "ratio": ".2f", "processor_ratio": ".2f"}


def add_command(commands) -> None:
    parser = add_parser(
        commands, "metagradient", "meta-gradient over one SSL forward and backward of the same batch", 8
    )
    add_setting(parser)
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    rows = [which | row for which, step in settings(arguments) for row in times(step)]
    publish(arguments, about(arguments), rows, WHICH | TIMES | ACCURACY)


def times(step: MetaStep) -> list[dict]:
    arguments = step.arguments
    variants = list(product(arguments.estimators, arguments.rules))
    work = {(e, r): _timed(partial(step.meta_step, ESTIMATORS[e], RULES[r])) for e, r in variants}
    measured = take_turns({"ssl": _timed(step.ssl_step)} | work, arguments.repeats, arguments.device)
    ssl, rows = measured["ssl"]["step"], []
    for estimator, rule in variants:
        meta = measured[estimator, rule]["step"]
        ratio, processor_ratio = meta.over(ssl)
        row = {"estimator": estimator, "rule": rule, "ssl_ms": ssl.milliseconds(), "meta_ms": meta.milliseconds()}
        row |= {"ratio": ratio, "processor_ratio": processor_ratio}
        rows.append(row | step.accuracy(ESTIMATORS[estimator], rule))
    return rows


def _timed(work: Callable) -> Callable[[Stopwatch], None]:
    def run(watch: Stopwatch) -> None:
        with watch.phase("step"):
            work()

    return run
