"""Keep results and ask for them: python tools/results.py add FOLDER. See docs/results_store.md."""

import sys

from vssl.commands.results import main

if __name__ == "__main__":
    sys.exit(main())
