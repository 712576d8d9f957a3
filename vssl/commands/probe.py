"""Score a frozen backbone with the probes of a config (docs/probes.md)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vssl.commands import run_command
from vssl.commands.missing_folders import refuse_for_probing
from vssl.config_files import config_file, read_config
from vssl.options import CfgOptions, add_cfg_options, read_option, read_value
from vssl.whole_files import exported_file


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Score a frozen backbone with the probes of a config.")
    parser.add_argument("config", help="a probe config: a path, or a name such as probes/scenes")
    parser.add_argument(
        "--backbone", help="a run directory, its backbone.safetensors, or with --model a file of docs/checkpoints.md"
    )
    parser.add_argument("--checkpoint-key", metavar="KEY", help="which of several networks in that file, e.g. teacher")
    parser.add_argument("--model", help="timm model name; without --backbone its released weights are used")
    parser.add_argument(
        "--model-args", nargs="+", action=CfgOptions, default={}, metavar="K=V", help="e.g. img_size=64"
    )
    parser.add_argument("--random", type=int, metavar="SEED", help="same architecture, fresh random weights")
    parser.add_argument("--out", help="results file; default: probes/<config>.json beside the backbone, or in .")
    parser.add_argument("--cache", metavar="DIR", help="keep features on disk there, and use what is there")
    parser.add_argument("--cache-half", action="store_true", help="keep them as float16, in half the room")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these probes of the config only")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="of heads and batches; several: cards say the spread",
    )
    parser.add_argument("--resume", action="store_true", help="keep finished probes; continue an interrupted one")
    add_cfg_options(parser, "probes.knn.k=[5]")
    return parser


def execute(args: argparse.Namespace) -> None:
    """Raises FileNotFoundError before anything heavy is imported, ValueError for what the config does not know."""
    args.config = config_file(args.config, below="probes/")
    if args.backbone is None and args.model is None:
        raise ValueError("no backbone: give --backbone FILE, or --model NAME for released weights")
    if args.backbone is not None:
        args.backbone = str(exported_file(args.backbone))
    if not args.resume:  # finished probes need no data
        refuse_for_probing(args.config, args.cfg_options, args.only)

    from vssl.learner import open_backbone
    from vssl.probes.result_lines import table
    from vssl.probes.spread import run_seeds
    from vssl.results.automatic import recorded

    out = args.out or Path(args.backbone or "backbone").parent / "probes" / f"{Path(args.config).stem}.json"
    cfg = read_config(args.config)
    for key in args.cfg_options:
        if key.split(".")[0] not in ("probes", "device"):
            raise ValueError(f"--cfg-options {key}: a probe config has 'probes' and 'device', e.g. probes.knn.k=[5]")
    cfg.merge_from_dict({key: read_option(cfg, key, text) for key, text in args.cfg_options.items()})
    model_args = {key: read_value(text) for key, text in args.model_args.items()}
    named = args.model is not None or args.checkpoint_key is not None
    plain_file = args.backbone is not None and not named and args.random is None
    backbone = args.backbone
    if not plain_file:
        backbone = open_backbone(args.backbone, args.model, args.random, args.checkpoint_key, **model_args)
    elif model_args:
        raise ValueError("--model-args needs --model")
    label = None if plain_file else _label(args)
    about = dict(out=out, only=args.only, label=label)
    with recorded(out):
        results = run_seeds(
            backbone, cfg, args.seeds, **about, cache=args.cache, cache_half=args.cache_half, resume=args.resume
        )
    for name, labels in {r["name"]: r["card"]["labels"] for r in results if "labels" in r.get("card", {})}.items():
        print(f"{name}: {labels}")
    print(table(results))
    print(f"results: {out}")


def _label(args: argparse.Namespace) -> str:
    random = None if args.random is None else f"random weights {args.random}"
    parts = [args.model, args.backbone, args.checkpoint_key, random]
    return ", ".join(part for part in parts if part)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), execute, argv, {"--work-dir": "--out", "--seed": "--seeds"})
