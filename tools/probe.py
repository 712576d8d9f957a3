"""Score a frozen backbone: ``python tools/probe.py CONFIG --backbone FILE``. See docs/probes.md."""

import sys

from vssl.commands.probe import main

if __name__ == "__main__":
    sys.exit(main())
