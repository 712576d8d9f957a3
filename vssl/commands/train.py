"""Continue self-supervised pretraining of a backbone (docs/training.md)."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from vssl.commands import run_command
from vssl.commands.missing_folders import refuse_for_training
from vssl.config_files import config_file
from vssl.options import add_cfg_options


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a training config: a path, or a name such as scenes/simclr_policy")
    parser.add_argument("--work-dir", type=Path, help="run directory (default: runs/<config>/seed<N>)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="continue from the run directory's checkpoint")
    how.add_argument("--overwrite", action="store_true", help="replace the run that the run directory holds")
    how.add_argument(
        "--check", action="store_true", help="train nothing: build the run, take a few steps, say what it will need"
    )
    parser.add_argument("--seed", type=int, help="overrides the config's seed")
    add_cfg_options(parser, "budget.steps=100 optimizer.lr=1e-4")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none", help="torchrun or srun")
    parser.add_argument("--local-rank", type=int, help=argparse.SUPPRESS)  # torchrun variants pass it
    return parser


def execute(options: argparse.Namespace) -> None:
    path = config_file(options.config)
    refuse_for_training(path, options.cfg_options)
    from vssl.engine import load_config, train
    from vssl.engine.checkpoint import candidates
    from vssl.results.automatic import recorded

    config = load_config(path, options.cfg_options)
    seed = config.get("seed", 0) if options.seed is None else options.seed
    work_dir = options.work_dir or Path("runs") / path.stem / f"seed{seed}"
    if options.check:
        return _check(config, work_dir, seed, options.launcher)
    if options.resume and not candidates(work_dir):
        print(f"no checkpoint in {work_dir}: starting from step 0")
    with recorded(*([work_dir] if _is_first(options.launcher) else [])):
        train(config, work_dir, seed, options.resume, options.launcher, options.overwrite)
    said = [warning["text"] for warning in json.loads((work_dir / "run.json").read_text())["warnings"]]
    more = [f"and {len(said) - 5} more in run.json"] if len(said) > 5 else []
    written = [name for name in ("backbone.safetensors", "metrics.jsonl", "views.npz") if (work_dir / name).is_file()]
    files = f"{work_dir} ({', '.join(written)})"
    print(f"finished, with warnings: {files}: {'; '.join(said[:5] + more)}" if said else f"finished: {files}")


def _is_first(launcher: str) -> bool:
    """Whether this process is the first of those that train the run together."""
    ranks = {"pytorch": "RANK", "slurm": "SLURM_PROCID"}
    return launcher == "none" or os.environ.get(ranks[launcher], "0") == "0"


def _check(config, work_dir: Path, seed: int, launcher: str) -> None:
    from vssl.engine.rehearsal import rehearse

    if launcher != "none":
        raise ValueError(f"--check looks at one process: leave --launcher {launcher} away")
    for line in rehearse(config, work_dir, seed).lines():
        print(line)
    print("checked: nothing was written")


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), execute, argv, {"--out": "--work-dir"})
