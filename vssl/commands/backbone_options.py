"""Options of commands that look at images through a frozen backbone."""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from vssl.whole_files import exported_file


class Look(NamedTuple):
    """features: of a batch of uint8 images, one vector each; size: pixels; about: what the features depend on."""

    features: Callable
    size: int
    about: dict[str, Any]


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backbone", help="a run directory, its backbone.safetensors, or with --model a file of docs/checkpoints.md"
    )
    parser.add_argument("--checkpoint-key", metavar="KEY", help="which of several networks in that file, e.g. teacher")
    parser.add_argument("--model", help="timm model name; without --backbone its released weights are used")
    parser.add_argument("--pool", choices=("avg", "class"), default="avg", help="patch tokens' mean, or class token")
    parser.add_argument("--size", type=int, help="pixels of the images (default: the backbone's own)")
    parser.add_argument("--batch-size", type=int, default=64, help="images (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: what is there")


def look(options: argparse.Namespace) -> Look:
    """Opens the backbone.

    Raises:
        ValueError: none is given, or fewer than one image in a batch.
        FileNotFoundError: there is no such file.
    """
    if options.backbone is None and options.model is None:
        raise ValueError("no backbone: give --backbone FILE, or --model NAME for released weights")
    if options.batch_size < 1:
        raise ValueError(f"--batch-size {options.batch_size}: expected at least 1")
    backbone = None if options.backbone is None else exported_file(options.backbone)

    import torch

    from vssl.probes.cache import weights_digest
    from vssl.probes.frozen_backbone import FrozenBackbone

    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    frozen = FrozenBackbone(backbone, model=options.model, checkpoint_key=options.checkpoint_key)
    about = {"backbone": frozen.name, "weights_sha256": weights_digest(frozen), "pool": options.pool}
    frozen.to(device)
    size = options.size or frozen.vit.patch_embed.img_size[0]
    return Look(lambda images: frozen.pooled(images.to(device).float() / 255, options.pool), size, about)
