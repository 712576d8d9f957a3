"""Write a page that says of each augmentation whether more or less of it helps your task (docs/advice.md)."""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vssl.commands import run_command
from vssl.commands.missing_folders import refuse_for_training
from vssl.config_files import config_file
from vssl.options import OptionText, add_cfg_options
from vssl.whole_files import exported_file


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a training config with feedback (what `vssl new` writes), or a run directory")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--backbone", metavar="FILE", help="a run directory or checkpoint (default: the config's)")
    start.add_argument("--model", metavar="NAME", help="a timm model with its released weights")
    parser.add_argument("--images", type=Path, help="the unlabeled images (default: the config's)")
    parser.add_argument("--out", type=Path, help="the page (default: advice/<config>.html)")
    parser.add_argument("--draws", type=int, default=16, help="batches of images (default: %(default)s)")
    parser.add_argument(
        "--head-steps",
        type=int,
        default=40,
        metavar="N",
        help="steps in which a new SSL head learns before anything is valued (default: %(default)s)",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="ask for these operations only, e.g. hue grayscale")
    parser.add_argument("--seed", type=int, default=0)
    add_cfg_options(parser, "feedback.control=shuffled_labels")
    return parser


def execute(options: argparse.Namespace, argv: Sequence[str]) -> None:
    run = Path(options.config)
    options.config = run / "config.py" if run.is_dir() else config_file(options.config)
    if options.images is not None and not options.images.is_dir():
        raise FileNotFoundError(f"{options.images}: no such folder; give --images DIR, the unlabeled images")
    changed = dict(options.cfg_options)
    if options.images is not None:
        changed["unlabeled.root"] = OptionText(options.images)
    if options.backbone is not None:
        checkpoint = str(exported_file(options.backbone))
        changed |= {"backbone.checkpoint": checkpoint, "backbone.pretrained": False, "continue_run": None}
    elif options.model is not None:
        changed |= {"backbone.name": options.model, "backbone.pretrained": True, "continue_run": None}
    elif run.is_dir():
        if not (run / "checkpoint.pth").is_file():
            raise FileNotFoundError(f"{run} has no checkpoint.pth; give a run that has written one, or a config")
        changed |= {"continue_run": str(run), "backbone.checkpoint": None, "backbone.pretrained": False}
    refuse_for_training(options.config, changed)

    from vssl import __version__
    from vssl.engine import load_config
    from vssl.engine.advice import measure
    from vssl.reports.advice.advice_page import verdicts, write_advice
    from vssl.reports.advice.words import listed

    begun = time.perf_counter()
    config = load_config(options.config, changed)
    measured = measure(config, options.draws, options.head_steps, options.seed, options.only)
    page = options.out or Path("advice") / f"{run.stem}.html"
    called = "vssl advise" if sys.argv[0] == "vssl advise" else "python tools/advise.py"
    more = {
        "seed": options.seed,
        "seconds": time.perf_counter() - begun,
        "command": " ".join([called, *map(shlex.quote, argv)]),
        "version": __version__,
    }
    found = write_advice(page, **vars(measured) | {"about": measured.about | more})
    for verdict, names in verdicts(found, measured.changes).items():
        print(f"{verdict}: {listed(names)}")
    print(f"{page} ({page.stat().st_size / 2**20:.1f} MB); this is about the next step, not about a whole run")


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    return run_command(parser(), partial(execute, argv=argv), argv, {"--work-dir": "--out"})
