"""Which augmentations help your task? python tools/advise.py mine.py (docs/advice.md)."""

import sys

from vssl.commands.advise import main

if __name__ == "__main__":
    sys.exit(main())
