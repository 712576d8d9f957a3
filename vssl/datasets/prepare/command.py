"""The commands of tools/prepare_data.py for published data sets."""

import argparse
from functools import partial
from pathlib import Path

from vssl.datasets.prepare.ade20k import prepare_ade20k
from vssl.datasets.prepare.imagenet import prepare_imagenet
from vssl.datasets.prepare.nyuv2 import prepare_nyuv2
from vssl.datasets.prepare.nyuv2_lists import LISTS, prepare_nyuv2_lists
from vssl.datasets.prepare.retrieval import ROXFORD5K, RPARIS6K, Benchmark, prepare_retrieval
from vssl.datasets.prepare.shards import prepare_shards

AGAIN = "Run again, it completes what was interrupted and otherwise does nothing."


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds one command per data set; the parsed options then hold `prepare`, a function of themselves."""
    ade20k = _command(commands, "ade20k", "ADE20K SceneParse150", "ADEChallengeData2016.zip, or what it unpacks to")
    ade20k.set_defaults(prepare=lambda o: prepare_ade20k(o.source, o.out))

    nyuv2 = _command(
        commands,
        "nyuv2",
        "NYU Depth v2",
        "folder with nyu_depth_v2_labeled.mat and splits.mat, or of the 24k list files",
    )
    nyuv2.add_argument(
        "--depth", choices=("raw", "filled"), help=".mat only: as measured, or inpainted; RMSE differs (default: raw)"
    )
    nyuv2.add_argument(
        "--images",
        choices=("jpg", "png"),
        default="jpg",
        help=".mat only: quality 95, or lossless (default: %(default)s)",
    )
    nyuv2.set_defaults(prepare=_nyuv2)

    imagenet = _command(commands, "imagenet", "ImageNet-1k", "folder with train and val, unpacked")
    imagenet.add_argument("--devkit", help="ILSVRC2012_devkit_t12(.tar.gz): sorts a flat val, and checks a sorted one")
    imagenet.add_argument("--in-place", action="store_true", help="move a flat val within the source; no --out")
    imagenet.set_defaults(prepare=lambda o: prepare_imagenet(o.source, None if o.in_place else o.out, o.devkit))

    for benchmark in (ROXFORD5K, RPARIS6K):
        source = f"folder with gnd_{benchmark.name}.mat and, anywhere below, the images of {benchmark.archives}"
        one = _command(commands, benchmark.name, f"revisited {benchmark.name[1:].capitalize()}", source)
        one.set_defaults(prepare=partial(_retrieval, benchmark))

    shards = _command(
        commands, "shards", "tar shards for streaming", "any folder tree of images, or of shards to index", out=None
    )
    shards.add_argument("--per-shard", type=int, default=1000, help="images (default: %(default)s)")
    shards.set_defaults(prepare=lambda o: prepare_shards(o.source, o.out, o.per_shard))


def _command(
    commands: argparse._SubParsersAction, name: str, what: str, source: str, out: str | None = "data/{name}"
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=what, description=f"{what}: checked, laid out and described. {AGAIN}")
    command.add_argument("--source", required=True, help=source)
    default = out and out.format(name=name)
    told = "%(default)s" if default else "the source, whose shards are indexed where they lie"
    command.add_argument("--out", default=default, help=f"folder to write (default: {told})")
    return command


def _nyuv2(options: argparse.Namespace) -> Path:
    if not (Path(options.source) / LISTS["train"]).is_file():
        return prepare_nyuv2(options.source, options.out, options.depth or "raw", options.images)
    if options.depth:
        raise ValueError(f"--depth {options.depth}: list files name the depth that they have; leave the option away")
    return prepare_nyuv2_lists(options.source, options.out)


def _retrieval(benchmark: Benchmark, options: argparse.Namespace) -> Path:
    return prepare_retrieval(options.source, options.out, benchmark)
