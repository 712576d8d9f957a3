"""`difference-step`: the error of the difference estimators against their relative step (docs/value.md)."""

import argparse
import os
from functools import partial
from itertools import product

import torch

from vssl.benchmarks.meta_step import WHICH, MetaStep, about, add_setting, settings
from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.value import central_difference, forward_difference

CHOSEN = "chosen"


def add_command(commands) -> None:
    parser = add_parser(commands, "difference-step", "accuracy of the difference estimators against their step", None)
    add_setting(parser)
    parser.add_argument("--steps", nargs="+", type=float, default=[1e-2, 3e-3, 1e-3, 5e-4, 2e-4, 1e-4])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    rows = [which | row for which, step in settings(arguments) for row in errors(step)]
    columns = dict.fromkeys([*map(str, arguments.steps), CHOSEN], ".4f")
    publish(arguments, f"{about(arguments)}; relative error of the gradient; {rounding()}", rows, WHICH | columns)


def rounding() -> str:
    """Which kernels round: set by the environment of the process, ATEN_CPU_CAPABILITY and MKL_CBWR."""
    return f"kernels {torch.backends.cpu.get_cpu_capability()}, MKL_CBWR {os.environ.get('MKL_CBWR', 'unset')}"


def errors(step: MetaStep) -> list[dict]:
    """A row for each estimator and rule: the error at each step, and at the step that the estimator chooses."""
    estimators, sizes = (central_difference, forward_difference), [*step.arguments.steps, None]
    return [
        {"estimator": estimator.__name__, "rule": rule}
        | {
            CHOSEN if size is None else str(size): step.accuracy(partial(estimator, relative_step=size), rule)[
                "relative_error"
            ]
            for size in sizes
        }
        for estimator, rule in product(estimators, step.arguments.rules)
    ]
