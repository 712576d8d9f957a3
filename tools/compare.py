"""Arms × seeds at matched budgets, probed and reported: python tools/compare.py CONFIG (see docs/compare.md)."""

import sys

from vssl.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
