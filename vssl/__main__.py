"""``python -m vssl COMMAND``, where the command ``vssl`` is not on the path."""

import sys

from vssl.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
