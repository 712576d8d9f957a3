"""Score a frozen backbone: ``python tools/probe.py CONFIG --backbone FILE``. See docs/probes.md."""

from vssl.probes.command import main

if __name__ == "__main__":
    main()
