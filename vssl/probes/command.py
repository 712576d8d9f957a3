"""The command line of tools/probe.py."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction

from vssl.probes.backbone import open_backbone
from vssl.probes.spread import run_seeds


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, run, print a table; mistakes of the user end with one line and exit code 1."""
    args = _parse(argv)
    try:
        results = _run(args)
    except (ValueError, OSError) as error:
        sys.exit(f"probe: {error}")
    print(table(results))
    print(f"results: {args.out}")


def table(results: list[dict]) -> str:
    """One line per probe: name, scores (mean ± half range of several seeds), seconds, and what a score leaves out."""
    lines = {}
    for result in results:
        spread = result.get("card", {}).get("over_seeds")
        name, values = result["name"], result["scores"].items()
        scores = "  ".join(_mean(score, spread) if spread else f"{score} {value:.4g}" for score, value in values)
        seconds = f"{result['seconds']:.1f} s" + (f" a seed, {len(spread['seeds'])} seeds" if spread else "")
        line = f"{name:<16} {scores}  ({seconds}){_left_out(result.get('counts', {}))}"
        lines[name if spread else len(lines)] = line  # one for all seeds
    return "\n".join(lines.values())


def _mean(score: str, spread: dict) -> str:
    about = spread.get(score)
    return f"{score} {about['mean']:.4g} ± {about['half_range']:.2g}" if about else f"{score} –"


def _left_out(counts: dict[str, int]) -> str:
    if counts.get("classes_seen") != counts.get("classes"):
        return f"  only {counts['classes_seen']} of {counts['classes']} classes are in the labels"
    without = counts.get("images_without_valid_depth")
    return f"  {without} images have no valid depth" if without else ""


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score a frozen backbone with the probes of a config.")
    parser.add_argument("config", help="e.g. configs/probes/scenes.py")
    parser.add_argument("--backbone", help="backbone.safetensors of a run, or with --model any timm-named checkpoint")
    parser.add_argument("--model", help="timm model name; without --backbone its released weights are used")
    parser.add_argument(
        "--model-args", nargs="+", action=DictAction, default={}, metavar="K=V", help="e.g. img_size=64"
    )
    parser.add_argument("--random", type=int, metavar="SEED", help="same architecture, fresh random weights")
    parser.add_argument("--out", help="results file; default: probes/<config>.json beside the backbone, or in .")
    parser.add_argument("--cache", metavar="DIR", help="keep features on disk there, and use what is there")
    parser.add_argument("--cache-half", action="store_true", help="keep them as float16, in half the room")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these probes of the config only")
    parser.add_argument(
        "--seed",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="of heads and batches; several: cards say the spread",
    )
    parser.add_argument("--resume", action="store_true", help="keep finished probes; continue an interrupted one")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={}, metavar="K=V")
    args = parser.parse_args(argv)
    args.out = args.out or Path(args.backbone or "backbone").parent / "probes" / f"{Path(args.config).stem}.json"
    return args


def _run(args: argparse.Namespace) -> list[dict]:
    if not Path(args.config).is_file():
        raise FileNotFoundError(f"config {args.config} does not exist; see configs/probes/")
    cfg = Config.fromfile(args.config)
    for key in args.cfg_options:
        if key.split(".")[0] not in ("probes", "device"):
            raise ValueError(f"--cfg-options {key}: a probe config has 'probes' and 'device', e.g. probes.knn.k=[5]")
    cfg.merge_from_dict(args.cfg_options)
    plain_file = args.backbone is not None and args.model is None and args.random is None
    backbone = args.backbone
    if not plain_file:
        backbone = open_backbone(args.backbone, args.model, args.random, **args.model_args)
    elif args.model_args:
        raise ValueError("--model-args needs --model")
    label = None if plain_file else _label(args)
    about = dict(out=args.out, only=args.only, label=label)
    return run_seeds(
        backbone, cfg, args.seed, **about, cache=args.cache, cache_half=args.cache_half, resume=args.resume
    )


def _label(args: argparse.Namespace) -> str:
    parts = [args.model, args.backbone, None if args.random is None else f"random weights {args.random}"]
    return ", ".join(part for part in parts if part)
