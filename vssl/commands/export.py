"""Write a backbone for timm, the Hugging Face hub, torch.hub or ONNX (docs/checkpoints.md)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vssl.commands import run_command
from vssl.options import CfgOptions, read_value

FORMATS = ("timm", "huggingface", "torchhub", "onnx")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "source", type=Path, help="a run directory, a backbone.safetensors, or with --model any checkpoint"
    )
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder; made if need be, else empty")
    parser.add_argument("--model", help="timm model name, for a checkpoint that does not say it")
    parser.add_argument(
        "--model-args", nargs="+", action=CfgOptions, default={}, metavar="K=V", help="e.g. img_size=224"
    )
    parser.add_argument("--checkpoint-key", metavar="KEY", help="which of several networks in it, e.g. teacher")
    return parser


def execute(options: argparse.Namespace) -> None:
    if not options.source.exists():
        raise FileNotFoundError(f"{options.source} does not exist; give a run directory or a checkpoint")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise FileExistsError(f"--out {options.out} is not an empty folder; choose another")
    from vssl.export.folders import write_hugging_face, write_timm, write_torch_hub
    from vssl.export.onnx_file import write_onnx
    from vssl.export.source import open_source

    model_args = {key: read_value(text) for key, text in options.model_args.items()}
    source = open_source(options.source, options.model, options.checkpoint_key, model_args)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.format == "onnx":
        files, free_size = write_onnx(source, options.out)
        print("any batch and size (multiples of the patch)" if free_size else "any batch, one size")
    else:
        write = {"timm": write_timm, "huggingface": write_hugging_face, "torchhub": write_torch_hub}[options.format]
        files = write(source, options.out)
    for file in files:
        print(f"{file} ({file.stat().st_size / 2**20:.1f} MB)")


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), execute, argv, {"--work-dir": "--out"})
