"""Continue self-supervised pretraining: python tools/train.py CONFIG (see configs/)."""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from vssl.engine import load_config, train


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="a training config, e.g. configs/scenes/simclr_policy.py")
    parser.add_argument("--work-dir", type=Path, help="run directory (default: runs/<config>/seed<N>)")
    parser.add_argument("--resume", action="store_true", help="continue from the run directory's checkpoint")
    parser.add_argument("--seed", type=int, help="overrides the config's seed")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="e.g. budget.steps=100 optimizer.lr=1e-4",
    )
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none", help="torchrun or srun")
    parser.add_argument("--local-rank", type=int, help=argparse.SUPPRESS)  # torchrun variants pass it
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, arguments.cfg_options)
        seed = config.get("seed", 0) if arguments.seed is None else arguments.seed
        work_dir = arguments.work_dir or Path("runs") / arguments.config.stem / f"seed{seed}"
        if arguments.resume and not (work_dir / "checkpoint.pth").exists():
            print(f"no checkpoint in {work_dir}: starting from step 0")
        train(config, work_dir, seed=seed, resume=arguments.resume, launcher=arguments.launcher)
    except (ValueError, FileNotFoundError, FileExistsError, FloatingPointError) as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1
    print(f"finished: {work_dir} (backbone.safetensors, metrics.jsonl, views.npz)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
