"""Prepares data. The embedded sets, rendered on this machine (one to two minutes on two cores, and half a minute):

python tools/prepare_data.py scenes --out data/scenes
python tools/prepare_data.py scenes_retrieval --out data/scenes_retrieval

Published sets, from files that you have (data/README.md says where they come from), each checked and described in a
dataset.json:

python tools/prepare_data.py ade20k|nyuv2|imagenet|roxford5k|rparis6k|shards --source … --out …
"""

import argparse
import sys

from vssl.datasets.prepare import add_commands
from vssl.datasets.scenes import DEFAULT_FAMILY, FAMILIES, SPLITS, write_retrieval, write_scenes, write_sheet


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = whole.add_subparsers(dest="command", required=True)
    scenes = commands.add_parser(
        "scenes",
        help="render indoor scenes with exact depth and labels",
        description="Renders indoor scenes in the layouts of ImageNet, ADE20K and NYUv2. Run again, it completes what "
        "was interrupted and otherwise does nothing.",
    )
    scenes.add_argument("--out", default="data/scenes", help="folder to write (default: %(default)s)")
    scenes.add_argument("--size", type=int, default=48, help="pixels (default: %(default)s)")
    scenes.add_argument(
        "--family", choices=list(FAMILIES), default=DEFAULT_FAMILY, help="what tells a class (default: %(default)s)"
    )
    scenes.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    scenes.add_argument(
        "--counts",
        nargs="+",
        type=_count,
        default=[],
        metavar="SPLIT=N",
        help="scenes per split (default: " + " ".join(f"{name}={split.count}" for name, split in SPLITS.items()) + ")",
    )
    scenes.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")
    scenes.add_argument("--overwrite", action="store_true", help="replace scenes written with other options")
    scenes.add_argument("--sheet", metavar="FILE", help="write a PNG of sample scenes there, and nothing else")
    _add_retrieval(commands)
    add_commands(commands)
    return whole


def _add_retrieval(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "scenes_retrieval",
        help="render rooms seen from several places, for image retrieval",
        description="Renders rooms in the layout of revisited Oxford and Paris. Run again, it completes what was "
        "interrupted and otherwise does nothing.",
    )
    command.add_argument("--out", default="data/scenes_retrieval", help="folder to write (default: %(default)s)")
    command.add_argument("--rooms", type=int, default=100, help="one query each (default: %(default)s)")
    command.add_argument("--size", type=int, default=48, help="pixels (default: %(default)s)")
    command.add_argument("--family", choices=list(FAMILIES), default=DEFAULT_FAMILY, help="as of scenes")
    command.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    command.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")
    command.set_defaults(
        prepare=lambda o: write_retrieval(o.out, o.rooms, o.size, o.seed, o.family, o.workers),
    )


def _count(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected SPLIT=N, e.g. ade_train=600")
    return name, int(number)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.command != "scenes":
            print(options.prepare(options))
        elif options.sheet:
            print(write_sheet(options.sheet, seed=options.seed, family=options.family))
        else:
            print(
                write_scenes(
                    options.out,
                    size=options.size,
                    seed=options.seed,
                    counts=dict(options.counts),
                    family=options.family,
                    workers=options.workers,
                    overwrite=options.overwrite,
                )
            )
    except (ValueError, OSError) as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
