"""Configs for your own data, after looking at it: python tools/new.py mine.py --data data/mine (docs/your_data.md)."""

import sys

from vssl.commands.new import main

if __name__ == "__main__":
    sys.exit(main())
