"""Continue self-supervised pretraining: python tools/train.py CONFIG (see configs/ and docs/training.md)."""

import sys

from vssl.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
