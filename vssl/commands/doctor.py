"""Print what a bug report needs: versions, devices, data, and the traps that this machine has."""

import argparse
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vssl.commands import run_command
from vssl.config_files import CONFIGS

_OPTIONAL = {
    "lightly": "JointEmbedding and its losses",
    "onnxruntime": "vssl export --format onnx, which checks what it wrote",
    "sqlalchemy": "vssl results, and runs with VSSL_RESULTS",
    "tensorboard": "visualizer=dict(type=…Tensorboard…)",
    "webdataset": "nothing: shards are read without it",
    "playwright": "make test-browser",
}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder of prepared data (default: data)")
    return parser


def execute(options: argparse.Namespace) -> None:
    """A check that fails is a line of the output, and the exit code stays 0: the output is for a bug report."""
    for heading, lines in (
        ("versions", _versions()),
        ("machine", _machine()),
        ("data", _data(options.data)),
        ("checks", _checks()),
    ):
        print(heading)
        for line in lines:
            print(f"  {line}")


def _versions() -> Iterator[str]:
    from vssl.environment import describe_environment

    about = describe_environment()
    commit = f" ({about['commit']})" if about["commit"] else ""
    yield f"vssl {about['versions']['vssl']}{commit}, Python {about['python']}, {sys.executable}"
    yield about["platform"]
    required = importlib.metadata.requires("vssl") or []
    for name in sorted({_name(line) for line in required if "extra ==" not in line} | _OPTIONAL.keys()):
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            needed_for = _OPTIONAL.get(name, "vssl itself: install it")
            yield f"{name} is not installed (needed for {needed_for})"


def _name(requirement: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0]


def _machine() -> Iterator[str]:
    import torch

    from vssl.environment import describe_environment

    yield describe_environment()["machine"]
    yield f"kernels of the processor: {torch.backends.cpu.get_cpu_capability()}"
    if hasattr(os, "sysconf"):
        yield f"memory: {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    yield f"free on the disk of this folder: {shutil.disk_usage('.').free / 2**30:.0f} GiB"
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / 2**30
        yield f"shared memory: {free:.1f} GiB" + ("; too little for workers: set num_workers=0" if free < 1 else "")
    if not torch.cuda.is_available():
        yield f"CUDA: none (torch was built {'for ' + torch.version.cuda if torch.version.cuda else 'without it'})"
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(i)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        yield f"CUDA {torch.version.cuda}, device {i}: {about.name}, {about.total_memory / 2**30:.0f} GiB, {bf16}"


def _data(root: Path) -> Iterator[str]:
    yield f"configs: {CONFIGS.resolve()}"
    from vssl.datasets.prepare.writing import DESCRIPTION, UNFINISHED

    found = sorted({path.parent for name in (DESCRIPTION, UNFINISHED) for path in root.rglob(name)})
    if not found:
        yield f"no prepared data below {root.resolve()} (vssl data --help)"
    for folder in found:
        yield f"{folder}" + (": not finished, prepare it again" if (folder / UNFINISHED).exists() else "")


def _checks() -> Iterator[str]:
    for what, check in (
        ("cv2 can be imported", _import_cv2),
        ("mmsegmentation can be imported", _import_mmseg),
        ("torch.compile has a compiler", _compiler),
    ):
        try:
            said = check()
        except Exception as error:  # any failure is a finding
            yield f"FAILS  {what}: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        else:
            yield f"ok     {what}{said}"


def _import_cv2() -> str:
    import cv2

    return f" ({cv2.__version__})"


def _import_mmseg() -> str:
    import vssl.probes  # noqa: F401  makes mmseg importable beside mmcv-lite

    import mmseg  # isort: skip

    return f" ({mmseg.__version__})"


def _compiler() -> str:
    compiler = next((found for found in map(shutil.which, ("g++", "clang++")) if found), None)
    if compiler is None:
        raise OSError("no g++ or clang++ on PATH; compile=… of a config does not work on the CPU")
    return f" ({compiler})"


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), execute, argv)
