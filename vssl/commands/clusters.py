"""`prepare_data.py clusters`: one folder of images as sources that a designer can weigh (docs/your_data.md)."""

import argparse
import json
from pathlib import Path

from vssl.whole_files import exported_file

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
    parser.add_argument(
        "--backbone", help="a run directory, its backbone.safetensors, or with --model a file of docs/checkpoints.md"
    )
    parser.add_argument("--checkpoint-key", metavar="KEY", help="which of several networks in that file, e.g. teacher")
    parser.add_argument("--model", help="timm model name; without --backbone its released weights are used")
    parser.add_argument("--clusters", type=int, required=True, metavar="N", help="how many")
    parser.add_argument(
        "--out", type=Path, default=Path("data/clusters"), help="folder to write (default: %(default)s)"
    )
    parser.add_argument("--pool", choices=("avg", "class"), default="avg", help="patch tokens' mean, or class token")
    parser.add_argument("--size", type=int, help="pixels of the images (default: the backbone's own)")
    parser.add_argument("--batch-size", type=int, default=64, help="images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same clusters (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: what is there")
    parser.set_defaults(prepare=prepare)


def prepare(options: argparse.Namespace) -> Path:
    if options.backbone is None and options.model is None:
        raise ValueError("no backbone: give --backbone FILE, or --model NAME for released weights")
    if options.batch_size < 1:
        raise ValueError(f"--batch-size {options.batch_size}: expected at least 1")
    backbone = None if options.backbone is None else exported_file(options.backbone)

    import torch

    from vssl.datasets.prepare.clustering import prepare_clusters
    from vssl.probes.cache import weights_digest
    from vssl.probes.frozen_backbone import FrozenBackbone

    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    frozen = FrozenBackbone(backbone, model=options.model, checkpoint_key=options.checkpoint_key)
    about = {"backbone": frozen.name, "weights_sha256": weights_digest(frozen), "pool": options.pool}
    frozen.to(device)
    size = options.size or frozen.vit.patch_embed.img_size[0]
    description = prepare_clusters(
        options.images,
        options.out,
        lambda images: frozen.pooled(images.to(device).float() / 255, options.pool),
        about,
        options.clusters,
        size,
        options.batch_size,
        options.seed,
    )
    _say_what_was_found(options.out, json.loads(description.read_text(encoding="utf-8")), size)
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
