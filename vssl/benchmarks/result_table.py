"""The options that every benchmark has, and its result: a Markdown table for the docs, and JSON."""

import argparse
import json
import platform
from pathlib import Path

import torch

NOT_SETTINGS = ("run", "out", "command")


def add_parser(commands, name: str, summary: str, repeats: int | None) -> argparse.ArgumentParser:
    """A command with the options of the method.

    Args:
        commands: what ``add_subparsers`` returned.
        repeats: the default; None for a benchmark that takes no times.
    """
    parser = commands.add_parser(name, help=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    if repeats is not None:
        parser.add_argument("--repeats", type=_positive, default=repeats, help="repetitions after the warm-up")
    parser.add_argument("--threads", type=_positive, default=1, help="CPU threads of torch")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write the rows, the settings and the machine to this JSON file")
    return parser


def prepare(arguments: argparse.Namespace) -> None:
    """Sets threads and seed."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)


def publish(arguments: argparse.Namespace, about: str, rows: list[dict], columns: dict[str, str]) -> None:
    """Prints the rows as a Markdown table under a line about the machine, and writes them to --out.

    Args:
        about: what was measured: models and sizes.
        columns: which keys of a row the table shows, and the format of its cells.
    """
    machine = f"{describe(arguments)}; {about}"
    print(f"\n{machine}\n\n{markdown(rows, columns)}")
    if arguments.out:
        settings = {k: _plain(v) for k, v in vars(arguments).items() if k not in NOT_SETTINGS}
        result = {"machine": machine, "settings": settings, "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def describe(arguments: argparse.Namespace) -> str:
    on_gpu = arguments.device.type == "cuda"
    machine = torch.cuda.get_device_name(arguments.device) if on_gpu else platform.machine()
    precision = " and ".join(arguments.precisions) if "precisions" in arguments else "fp32"
    timed = f"; medians [quartiles] of {arguments.repeats} in one process" if "repeats" in arguments else ""
    return f"{machine}, CPU threads: {arguments.threads}, torch {torch.__version__}, {precision}{timed}"


def markdown(rows: list[dict], columns: dict[str, str]) -> str:
    lines = ["| " + " | ".join(c.replace("_", " ") for c in columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(format(row[c], spec) for c, spec in columns.items()) + " |" for row in rows]
    return "\n".join(lines)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _plain(value):
    return str(value) if isinstance(value, (Path, torch.device)) else value
