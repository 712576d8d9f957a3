"""Search over the settings of a training config: python tools/sweep.py CONFIG (see docs/sweep.md)."""

import sys

from vssl.commands.sweep import main

if __name__ == "__main__":
    sys.exit(main())
