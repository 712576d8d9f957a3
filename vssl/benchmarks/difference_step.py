"""`difference-step`: the accuracy of the difference estimators against their relative step (docs/value.md)."""

import argparse
from functools import partial
from itertools import product

from vssl.benchmarks.meta_step import ACCURACY, WHICH, MetaStep, about, add_setting, settings
from vssl.benchmarks.report import add_parser, prepare, publish
from vssl.value import central_difference, forward_difference


def add_command(commands) -> None:
    parser = add_parser(commands, "difference-step", "accuracy of the difference estimators against their step", None)
    add_setting(parser)
    parser.add_argument("--steps", nargs="+", type=float, default=[1e-2, 3e-3, 1e-3, 5e-4, 2e-4, 1e-4])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    rows = [which | row for which, step in settings(arguments) for row in errors(step)]
    publish(arguments, about(arguments), rows, WHICH | {"step": "g"} | ACCURACY)


def errors(step: MetaStep) -> list[dict]:
    estimators = (central_difference, forward_difference)
    return [
        {"estimator": estimator.__name__, "rule": rule, "step": size}
        | step.accuracy(partial(estimator, relative_step=size), rule)
        for estimator, rule, size in product(estimators, step.arguments.rules, step.arguments.steps)
    ]
