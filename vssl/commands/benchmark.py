"""Measure what the library costs and how exact it is (method: vssl/benchmarks/__init__.py)."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from vssl.commands import run_command

# Command -> its module below vssl.benchmarks and what it measures; a test compares them with the parsers.
NAMES = {
    "views": ("ten_ops", "ten ops after a crop: a policy against kornia's AugmentationSequential"),
    "ops": ("ops", "each op of the space alone, milliseconds"),
    "metagradient": ("metagradient_cost", "meta-gradient over one SSL forward and backward of the same batch"),
    "difference-step": ("difference_step", "accuracy of the difference estimators against their step"),
    "horizon": ("horizon_ranks", "rank correlation of the value of H steps with the outcome"),
    "overhead": ("overhead", "time of designed runs over the same runs without a designer"),
    "learner-step": ("learner_step_time", "the learner's step as written and compiled, in fp32 and bf16"),
    "probes": ("probes", "a segmentation score: a grid on cached features against plain mmseg, head by head"),
    "kills": ("kills", "killed and resumed runs against unbroken ones, bit for bit"),
    "gpu": ("gpu.command", "correctness, speed and memory on a GPU, in minutes"),
}


def parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the benchmark that `argv` names, or of the names alone."""
    whole = argparse.ArgumentParser(description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True, metavar="NAME")
    for name, (module, what) in NAMES.items():
        if argv and argv[0] == name:
            import_module(f"vssl.benchmarks.{module}").add_command(commands)
        else:
            commands.add_parser(name, help=what)
    return whole


def execute(options: argparse.Namespace) -> None:
    options.run(options)


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    return run_command(parser(argv), execute, argv, {"--work-dir": "--out"})
