"""``vssl COMMAND``: the functions of tools/*.py under one name, for an installed package."""

import sys
from collections.abc import Sequence
from importlib import import_module

from vssl import __version__

# What each does; its module below vssl.commands has its name.
COMMANDS = {
    "train": "continue self-supervised pretraining of a backbone",
    "probe": "score a frozen backbone",
    "compare": "arms × seeds at matched cost, probed and reported",
    "sweep": "search over settings by Optuna, the search's cost counted",
    "results": "keep results of many runs and probes; best, compare, leaderboard",
    "advise": "write the page that says which augmentations help your task",
    "policy": "write the page that shows what a run's designer learned",
    "data": "render or prepare data",
    "export": "a run's backbone for timm, Hugging Face, torch.hub or ONNX",
    "new": "write configs for your own data",
    "doctor": "print what a bug report needs: versions, devices, known traps",
    "benchmark": "measure what the library costs",
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: vssl COMMAND ...   (vssl COMMAND --help for its options; vssl --version)", "", *lines])


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the command's exit code; 2 for a command that does not exist."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(__version__)
        return 0
    if name not in COMMANDS:
        print(f"vssl: there is no command {name!r}\n{usage()}", file=sys.stderr)
        return 2
    sys.argv[0] = f"vssl {name}"  # argparse's name for itself, in usage and errors
    return import_module(f"vssl.commands.{name}").main(rest)
