"""Show what a run's designer learned: python tools/visualize_policy.py RUN [--out page.html] [--png-dir DIR]."""

import argparse
import sys
from pathlib import Path

from vssl.reports.policy_page import write_policy_page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run directory of tools/train.py; the dataset is not needed")
    parser.add_argument("--out", type=Path, help="the page (default: RUN/policy.html)")
    parser.add_argument("--png-dir", type=Path, help="also write every figure as a PNG into this folder")
    arguments = parser.parse_args()
    try:
        page = write_policy_page(arguments.run, arguments.out, arguments.png_dir)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{page} ({page.stat().st_size / 2**20:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
