"""What the library costs: python tools/benchmark.py NAME (method: vssl/benchmarks/__init__.py)."""

import sys

from vssl.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
