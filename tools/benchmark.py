"""What the library costs: python tools/benchmark.py NAME (method: vssl/benchmarks/__init__.py)."""

import argparse

from vssl.benchmarks import difference_step, learner_step, metagradient, ops, probes, views
from vssl.benchmarks.gpu import command as gpu

BENCHMARKS = (views, ops, metagradient, difference_step, learner_step, probes, gpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for benchmark in BENCHMARKS:
        benchmark.add_command(commands)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
