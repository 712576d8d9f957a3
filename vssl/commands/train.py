"""Continue self-supervised pretraining of a backbone (docs/training.md)."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vssl.commands import run_command
from vssl.config_files import config_file, read_config
from vssl.data_folders import refuse_missing
from vssl.options import add_cfg_options, read_option

# The classes of data whose `root`, or each of whose `roots`, must be a folder on this machine.
_OF_FOLDERS = ("UnlabeledImages", "UnlabeledShards", "UnlabeledMixture", "SegmentationImages", "DepthImages")


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
    _refuse_missing_folders(path, options.cfg_options)
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


def _refuse_missing_folders(path: Path, options: Mapping[str, Any]) -> None:
    """A mistyped folder is told in a second: a config names classes, but they are imported only when it is looked at.

    Everything else is checked where the run is built, these folders again.
    """
    try:
        config = read_config(path)
    except Exception:  # a config is a program; `load_config` says what is wrong with it
        return
    for above, key, root in _roots(config._cfg_dict, ""):
        replaced = [option for option in options if f"{key}.".startswith(f"{option}.") or option == f"{above}type"]
        if not replaced:
            refuse_missing(root)
        elif replaced == [key]:
            refuse_missing(str(read_option(config, key, options[key])))


def _roots(node: Any, key: str) -> Iterator[tuple[str, str, str]]:
    """Every folder of `_OF_FOLDERS` below a config's node: its class's dotted key, its own, and it."""
    if not isinstance(node, dict):
        return
    if str(dict.get(node, "type")).rpartition(".")[2] in _OF_FOLDERS:
        roots = dict.get(node, "roots")
        several = {f"roots.{name}": root for name, root in dict.items(roots)} if isinstance(roots, dict) else {}
        for name, root in ({"root": dict.get(node, "root"), "roots": roots} | several).items():
            if isinstance(root, str):
                yield key, f"{key}{name}", root
    for name, value in dict.items(node):
        yield from _roots(value, f"{key}{name}.")


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
