"""`python tools/benchmark.py gpu`: the parts, the header, and how it ends."""

import argparse
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from vssl.benchmarks.gpu import correctness, learner_throughput, meta, scenes, ten_ops_on_gpu
from vssl.benchmarks.gpu.session import Session, SessionPart
from vssl.benchmarks.result_table import add_parser, prepare

PARTS = (
    SessionPart("correctness", 0.15, correctness.run),
    SessionPart("learner", 0.35, learner_throughput.run),
    SessionPart("meta step", 0.15, meta.run),
    SessionPart("views", 0.05, ten_ops_on_gpu.run),
    SessionPart("scenes", 0.3, scenes.run),
)


def add_command(commands) -> None:
    parser = add_parser(commands, "gpu", "correctness, speed and memory on a GPU, in minutes", 5)
    parser.set_defaults(run=run, device=torch.device("cuda"), out=Path("gpu"))
    parser.add_argument("--seconds", type=float, default=460.0, help="for all parts together")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="some parts only")
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--tiny", action="store_true", help="miniature sizes: shows that every part runs")


def run(arguments: argparse.Namespace) -> None:
    """Exit code 1 when a part failed, 130 when it was cut."""
    if arguments.device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("error: --device cuda, and torch sees no GPU here. For a dry run: --device cpu --tiny")
    if arguments.device.type == "cpu" and not arguments.tiny:
        sys.exit("error: --device cpu is for a dry run: add --tiny")
    prepare(arguments)
    session = Session(arguments.out, header(arguments), arguments.seconds)
    for name, value in session.header.items():
        print(f"{name}: {value}", flush=True)
    parts = [part for part in PARTS if part.name in (arguments.only or [p.name for p in PARTS])]
    try:
        fine = session.run(parts, arguments)
    except KeyboardInterrupt:
        print(f"cut: what was measured is in {arguments.out}.md and .json", file=sys.stderr)
        sys.exit(130)
    for section in session.failed:
        print(f"failed: {section.name}: {section.error}", file=sys.stderr)
    if not fine:
        sys.exit(1)


def header(arguments: argparse.Namespace) -> dict[str, str]:
    about = {"command": "python tools/benchmark.py " + " ".join(sys.argv[1:])}
    about |= {
        "device": platform.machine(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    about["versions"] += "".join(f", {name} {version(name)}" for name in ("torchvision", "timm", "kornia", "mmengine"))
    if arguments.device.type == "cuda":
        about["device"] = torch.cuda.get_device_name(arguments.device)
        about["CUDA"] = f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        about["driver and clocks"] = _nvidia_smi()
    if arguments.tiny:
        about["sizes"] = "miniature: times say nothing"
    return about


def _nvidia_smi() -> str:
    query = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit"
    try:
        asked = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
        return (
            f"{subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()} ({query})"
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"not known ({type(error).__name__})"
