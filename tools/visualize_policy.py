"""Show what a run's designer learned: python tools/visualize_policy.py RUN [--out page.html] [--png-dir DIR]."""

import sys

from vssl.commands.policy import main

if __name__ == "__main__":
    sys.exit(main())
