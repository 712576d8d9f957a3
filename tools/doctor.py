"""What a bug report needs: python tools/doctor.py prints versions, devices, data and known traps."""

import sys

from vssl.commands.doctor import main

if __name__ == "__main__":
    sys.exit(main())
