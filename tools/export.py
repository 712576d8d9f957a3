"""Write a backbone for others: python tools/export.py RUN --format timm|huggingface|torchhub|onnx --out DIR."""

import sys

from vssl.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
