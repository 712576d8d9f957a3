"""`probes`: a grid of heads on features computed once, against the same probes as plain mmseg, one after the other.

Plain is mmengine's Runner with mmseg's segmentor, data loader and evaluation: one head, the backbone in every step.
Both are timed from the first file to the finished score: mmseg decodes in every step, the grid once. The data are
random images with labels, written to a temporary folder.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.benchmarks.timing import Stopwatch, take_turns
from vssl.learner import TimmBackbone
from vssl.probes.datasets import SceneSegmentation
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.grid import DenseGrid
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.outcome import ProbeRun

# isort: split
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs

CLASSES = 14
COLUMNS = {
    "heads": "",
    "plain_ms": ".0f",
    "grid_ms": ".0f",
    "plain_images_per_s": ".3g",
    "grid_images_per_s": ".3g",
    "ratio": ".1f",
    "processor_ratio": ".1f",
    "largest_difference_mIoU": ".2g",
}


def add_command(commands) -> None:
    parser = add_parser(
        commands, "probes", "a segmentation score: a grid on cached features against plain mmseg, head by head", 3
    )
    parser.add_argument("--model", default="vit_small_patch16_224", help="timm model, random weights")
    parser.add_argument("--model-args", type=json.loads, default={}, help='e.g. \'{"embed_dim": 96, "depth": 4}\'')
    parser.add_argument("--heads", nargs="+", type=int, default=[1, 10], help="sizes of the grid")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--train", type=int, default=32, help="training images")
    parser.add_argument("--val", type=int, default=8, help="validation images")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    prepare(arguments)
    backbone = TimmBackbone(arguments.model, aligned_blocks=1, **arguments.model_args)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), arguments)
        settings = probe_settings(Path(folder), arguments)
        rows = [compare(backbone, settings, heads, arguments) for heads in arguments.heads]
    images = f"{arguments.size} px, {arguments.train} + {arguments.val} images"
    publish(arguments, f"{arguments.model} {images}, {arguments.steps} steps of {arguments.batch}", rows, COLUMNS)


def compare(backbone: TimmBackbone, settings: dict, heads: int, arguments: argparse.Namespace) -> dict:
    """One row. Images per second count training images × heads."""
    rates = np.geomspace(1e-4, 1e-1, heads).tolist()
    scores: dict[str, list[float]] = {}

    def plain(watch: Stopwatch) -> None:
        probes = [SegmentationProbe(**at(settings, lr), path="runner") for lr in rates]
        with watch.phase("score"):
            scores["plain"] = [score(probe, backbone, arguments) for probe in probes]

    def grid(watch: Stopwatch) -> None:
        probe = DenseGrid(dict(type=SegmentationProbe, **settings), rates, select="val")
        with watch.phase("score"):
            members = probe.run(new_run(backbone, arguments)).result["members"]
        scores["grid"] = [member["mIoU"] for member in members]

    times = take_turns({"plain": plain, "grid": grid}, arguments.repeats, arguments.device)
    plainly, gridded = times["plain"]["score"], times["grid"]["score"]
    ratio, processor_ratio = plainly.over(gridded)
    images = heads * arguments.steps * arguments.batch
    return {
        "heads": heads,
        "plain_ms": plainly.milliseconds(),
        "grid_ms": gridded.milliseconds(),
        "plain_images_per_s": 1e3 * images / plainly.milliseconds().median,
        "grid_images_per_s": 1e3 * images / gridded.milliseconds().median,
        "ratio": ratio,
        "processor_ratio": processor_ratio,
        "largest_difference_mIoU": max(abs(a - b) for a, b in zip(scores["plain"], scores["grid"], strict=True)),
    }


def score(probe: SegmentationProbe, backbone: TimmBackbone, arguments: argparse.Namespace) -> float:
    return probe.run(new_run(backbone, arguments)).result["scores"]["mIoU"]


def new_run(backbone: TimmBackbone, arguments: argparse.Namespace) -> ProbeRun:
    return ProbeRun(backbone, ProbeData(), arguments.seed, arguments.device)


def at(settings: dict, lr: float) -> dict:
    schedule = settings["schedule"]
    return {**settings, "schedule": {**schedule, "optimizer": {**schedule["optimizer"], "lr": lr}}}


def probe_settings(root: Path, arguments: argparse.Namespace) -> dict:
    """Arguments of a `SegmentationProbe` without random augmentation."""

    def split(name: str) -> dict:
        prefix = dict(img_path=f"images/{name}", seg_map_path=f"annotations/{name}")
        pipeline = [dict(type=LoadImageFromFile), dict(type=LoadAnnotations), dict(type=PackSegInputs)]
        return dict(type=SceneSegmentation, data_root=str(root), data_prefix=prefix, pipeline=pipeline)

    optimizer = dict(type=torch.optim.AdamW, lr=1e-3, weight_decay=1e-3)
    return dict(
        train=split("training"),
        val=split("validation"),
        size=(arguments.size, arguments.size),
        schedule=dict(optimizer=optimizer, steps=arguments.steps, batch_size=arguments.batch),
        batch_size=arguments.batch,
        pictures=0,
    )


def write_images(root: Path, arguments: argparse.Namespace) -> None:
    """Squares of random colours, a class each, under noise."""
    rng, cells = np.random.default_rng(arguments.seed), 7
    for name, count in (("training", arguments.train), ("validation", arguments.val)):
        for kind in ("images", "annotations"):
            (root / kind / name).mkdir(parents=True)
        for number in range(count):
            classes = rng.integers(0, CLASSES, (cells, cells)).repeat(arguments.size // cells + 1, 0)
            classes = classes.repeat(arguments.size // cells + 1, 1)[: arguments.size, : arguments.size]
            colours = np.random.default_rng(1).integers(0, 256, (CLASSES, 3))[classes]
            noisy = np.clip(colours + rng.normal(0, 40, colours.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(root / "images" / name / f"{number:04d}.jpg")
            Image.fromarray((classes + 1).astype(np.uint8)).save(root / "annotations" / name / f"{number:04d}.png")
    (root / "dataset.json").write_text(json.dumps({"classes": [f"colour {i}" for i in range(CLASSES)]}))
