"""`prepare_data.py clusters`: one folder of images as sources that a designer can weigh (docs/your_data.md)."""

import argparse
import json
from pathlib import Path

from vssl.commands.backbone_options import add_backbone_options, look
from vssl.data_folders import refuse_missing

NAME = "clusters"


def add_command(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        NAME,
        help="one folder of images as clusters, the sources of a mixture",
        description="Clusters a folder tree of images by the features of a frozen backbone. Writes a folder of links "
        "for each cluster, which UnlabeledMixture reads as its sources, and a picture of what each one is. No image is "
        "copied. Needs scikit-learn (extra 'clusters').",
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder tree of unlabeled images")
    parser.add_argument("--clusters", type=int, required=True, metavar="N", help="how many")
    parser.add_argument(
        "--out", type=Path, default=Path("data/clusters"), help="folder to write (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same clusters (default: %(default)s)")
    add_backbone_options(parser)
    parser.set_defaults(prepare=prepare)


def prepare(options: argparse.Namespace) -> Path:
    refuse_missing(options.images)
    through = look(options)

    from vssl.datasets.prepare.clustering import prepare_clusters

    description = prepare_clusters(
        options.images,
        options.out,
        through.features,
        through.about,
        options.clusters,
        through.size,
        options.batch_size,
        options.seed,
    )
    _say_what_was_found(options.out, json.loads(description.read_text(encoding="utf-8")), through.size)
    return description


def _say_what_was_found(out: Path, told: dict, size: int) -> None:
    table = told["clusters"]
    width = max(map(len, table))
    print(f"{'':{width}}  images  share (%)  likeness  nearest its centre")
    for name, row in table.items():
        numbers = f"{row['images']:6d}  {100 * row['share']:9.1f}  {row['likeness']:8.3f}"
        print(f"{name:{width}}  {numbers}  {row['nearest'][0]}")
    counts = ", ".join(f"{name}={row['images']}" for name, row in table.items())
    print(f"pictures: {out / 'clusters.png'}")
    print("for a config:")
    print("from vssl.datasets import UnlabeledMixture")
    print("from vssl.designers import SourceWeights")
    print(f"unlabeled = dict(type=UnlabeledMixture, roots={str(out / 'sources')!r}, size={size})")
    print(f"designer = dict(type=SourceWeights, sources=dict({counts}))")
