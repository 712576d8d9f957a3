"""The commands of tools/prepare_data.py, an argparse parser each."""

import argparse
import json
from functools import partial
from pathlib import Path

from vssl.datasets.prepare.ade20k import prepare_ade20k
from vssl.datasets.prepare.camvid import prepare_camvid
from vssl.datasets.prepare.folder import DepthSource, MaskSource, prepare_folder
from vssl.datasets.prepare.imagenet import prepare_imagenet
from vssl.datasets.prepare.nyuv2 import prepare_nyuv2
from vssl.datasets.prepare.nyuv2_folders import prepare_nyuv2_folders
from vssl.datasets.prepare.nyuv2_lists import LISTS, prepare_nyuv2_lists
from vssl.datasets.prepare.oxford_paris import ROXFORD5K, RPARIS6K, Benchmark, prepare_retrieval
from vssl.datasets.prepare.seven_scenes import prepare_seven_scenes
from vssl.datasets.prepare.shard_packing import prepare_shards
from vssl.datasets.prepare.splits import Split
from vssl.datasets.prepare.tiny_imagenet import prepare_tiny_imagenet
from vssl.datasets.scenes import (
    DEFAULT_FAMILY,
    FAMILIES,
    SPLITS,
    write_pairs,
    write_retrieval,
    write_scenes,
    write_sheet,
)
from vssl.datasets.text import Difficulty, write_word_problems

AGAIN = "Run again, it completes what was interrupted and otherwise does nothing."


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds one command per data set; the parsed options then hold `prepare`, a function of themselves."""
    _add_scenes(commands)
    _add_retrieval(commands)
    _add_pairs(commands)

    ade20k = _command(commands, "ade20k", "ADE20K SceneParse150", "ADEChallengeData2016.zip, or what it unpacks to")
    ade20k.set_defaults(prepare=lambda o: prepare_ade20k(o.source, o.out))

    nyuv2 = _command(
        commands,
        "nyuv2",
        "NYU Depth v2",
        "folder with nyu_depth_v2_labeled.mat and splits.mat, of the 24k list files, or of {train,test}/{rgb,depth}",
    )
    nyuv2.add_argument(
        "--depth",
        choices=("raw", "filled"),
        help="as measured, or inpainted; not for lists; RMSE differs (default: raw)",
    )
    nyuv2.add_argument(
        "--labels", type=int, choices=(13, 40), help="folders only: write the segmentation in so many classes, no depth"
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

    tiny = _command(commands, "tiny_imagenet", "Tiny ImageNet", "tiny-imagenet-200, unpacked; or class folders of it")
    tiny.add_argument("--val-share", type=float, help="of class folders alone: hold back so much of each class for val")
    tiny.set_defaults(prepare=lambda o: prepare_tiny_imagenet(o.source, o.out, o.val_share))

    camvid = _command(commands, "camvid", "CamVid, 11 classes", "the folder CamVid of the SegNet tutorial")
    camvid.add_argument(
        "--validation", choices=("val", "test"), default="val", help="split for scores (default: %(default)s)"
    )
    camvid.set_defaults(prepare=lambda o: prepare_camvid(o.source, o.out, o.validation))

    seven = _command(commands, "seven_scenes", "a scene of 7-Scenes", "its folder, or one of frame-N.{color,depth}.png")
    seven.add_argument("--every", type=int, default=10, help="take every n-th frame (default: %(default)s)")
    seven.add_argument("--val-share", type=float, help="without lists: the last frames for test (default: 0.2)")
    seven.set_defaults(prepare=lambda o: prepare_seven_scenes(o.source, o.out, o.every, o.val_share))

    for benchmark in (ROXFORD5K, RPARIS6K):
        source = f"folder with gnd_{benchmark.name}.mat and, anywhere below, the images of {benchmark.archives}"
        one = _command(commands, benchmark.name, f"revisited {benchmark.name[1:].capitalize()}", source)
        one.set_defaults(prepare=partial(_retrieval, benchmark))

    _add_word_problems(commands)

    _add_folder(commands)

    shards = _command(
        commands,
        "shards",
        "tar shards for streaming",
        "any folder tree of images, or of shards to index, or the URL of shards",
        out=None,
    )
    shards.add_argument("--per-shard", type=int, default=1000, help="images (default: %(default)s)")
    shards.set_defaults(prepare=lambda o: prepare_shards(o.source, o.out, o.per_shard))


def _add_folder(commands: argparse._SubParsersAction) -> None:
    folder = commands.add_parser(
        "folder",
        help="your own images with masks or depth",
        description="Your own images with masks or depth: checked, laid out and described. An annotation has the name "
        "and the folder of its image. Validation images are never drawn at random: neighbouring frames of a video are "
        f"nearly the same image. {AGAIN}",
    )
    path = dict(type=Path, metavar="DIR")
    folder.add_argument("--images", **path, required=True, help="folder tree; images without a label are left out")
    folder.add_argument("--image-suffix", default="", metavar="TEXT", help="what their names add: _leftImg8bit")
    folder.add_argument("--out", default="data/mine", help="folder to write (default: %(default)s)")
    folder.add_argument("--name", help="what protocol cards call the set (default: the name of --out)")
    masks = folder.add_argument_group("masks")
    masks.add_argument("--masks", **path, help="class numbers, a palette, or colours")
    masks.add_argument("--classes", type=Path, metavar="FILE", help="a line a class: NAME, or NAME R G B for colours")
    masks.add_argument("--first-class", type=int, choices=(0, 1), help="its number (default: what the masks show)")
    masks.add_argument(
        "--ignore",
        nargs="+",
        default=[],
        metavar="X",
        help="classes or numbers that count as unlabeled; 255 always does",
    )
    masks.add_argument("--mask-suffix", default="", metavar="TEXT", help="what a mask's name adds to its image's: _L")
    depth = folder.add_argument_group("depth")
    depth.add_argument("--depth", **path, help="images of one channel, or .npy")
    depth.add_argument("--depth-scale", type=float, metavar="N", help="value of one metre: 1000 for millimetres")
    depth.add_argument(
        "--depth-invalid", type=float, nargs="+", default=[], metavar="N", help="values for unknown, beside 0 and NaN"
    )
    depth.add_argument("--depth-suffix", default="", metavar="TEXT", help="as --mask-suffix")
    split = folder.add_argument_group("validation images (default: --val-share 0.2)")
    split.add_argument("--val-list", type=Path, metavar="FILE", help="their names, one a line")
    split.add_argument("--train-list", type=Path, metavar="FILE", help="with --val-list: leave out what is on neither")
    split.add_argument("--val-folder", metavar="NAME", help="all below folders of this name")
    split.add_argument("--val-share", type=float, metavar="SHARE", help="the last ones of every folder, by name")
    folder.set_defaults(prepare=_folder)


def _folder(options: argparse.Namespace) -> Path:
    for labels, meaning in (("masks", "classes"), ("depth", "depth_scale")):
        if (getattr(options, labels) is None) != (getattr(options, meaning) is None):
            raise ValueError(f"--{labels} and --{meaning.replace('_', '-')} go together; one of them is missing")
    masks = options.masks and MaskSource(
        options.masks, options.classes, options.first_class, options.ignore, options.mask_suffix
    )
    depth = options.depth and DepthSource(
        options.depth, options.depth_scale, options.depth_invalid, options.depth_suffix
    )
    split = Split(options.val_list, options.train_list, options.val_folder, options.val_share)
    description = prepare_folder(options.images, options.out, masks, depth, split, options.name, options.image_suffix)
    _say_what_was_read(description)
    return description


def _say_what_was_read(description: Path) -> None:
    """Shares of pixels class by class and the range of depth: where they look wrong, the numbering or the scale is."""
    told = json.loads(description.read_text())
    if table := told.get("pixel_share"):
        names = list(next(iter(table.values())))
        width = max(19, *map(len, names))
        print(f"{'share of pixels (%)':{width}}  " + "  ".join(f"{split:>10}" for split in table))
        for name in names:
            found = [100 * shares[name] for shares in table.values()]
            never = "   in none of the masks" if not any(found) else "   not in all splits" if not all(found) else ""
            print(f"{name:{width}}  " + "  ".join(f"{share:10.2f}" for share in found) + never)
    if depth := told.get("depth_range_m"):
        print(f"depth: {depth[0]:g} to {depth[1]:g} m; {100 * told['invalid_share']:.1f} % of the pixels have none")


def _add_scenes(commands: argparse._SubParsersAction) -> None:
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
    scenes.set_defaults(prepare=_scenes)


def _scenes(options: argparse.Namespace) -> Path:
    if options.sheet:
        return write_sheet(options.sheet, seed=options.seed, family=options.family)
    return write_scenes(
        options.out,
        size=options.size,
        seed=options.seed,
        counts=dict(options.counts),
        family=options.family,
        workers=options.workers,
        overwrite=options.overwrite,
    )


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


def _add_pairs(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "scenes_pairs",
        help="render rooms from two places each, with exact correspondences",
        description="Renders pairs of images with keypoints in the layout of SPair-71k. Run again, it does nothing; an "
        "interrupted set begins anew.",
    )
    command.add_argument("--out", default="data/scenes_pairs", help="folder to write (default: %(default)s)")
    command.add_argument("--pairs", type=int, default=100, help="of images (default: %(default)s)")
    command.add_argument("--size", type=int, default=48, help="pixels (default: %(default)s)")
    command.add_argument("--family", choices=list(FAMILIES), default=DEFAULT_FAMILY, help="as of scenes")
    command.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    command.set_defaults(prepare=lambda o: write_pairs(o.out, o.pairs, o.size, o.seed, o.family))


def _add_word_problems(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "word_problems",
        help="arithmetic word problems with answers, for language models",
        description="Writes arithmetic word problems: a stream of worked problems among other text, labeled pools in "
        "the format of GSM8K, and a word-level tokenizer (extra 'language'). The same options write the same bytes.",
    )
    number = dict(type=int, metavar="N")
    command.add_argument("--out", default="data/word_problems", help="folder to write (default: %(default)s)")
    command.add_argument("--largest", **number, default=20, help="largest number in a problem (default: %(default)s)")
    command.add_argument("--steps", **number, default=2, help="most calculations a problem (default: %(default)s)")
    command.add_argument("--names", **number, default=12, help="how many names are used (default: %(default)s)")
    command.add_argument("--things", **number, default=12, help="how many things are used (default: %(default)s)")
    command.add_argument("--documents", **number, default=20_000, help="of the stream (default: %(default)s)")
    command.add_argument(
        "--distractors", type=float, default=0.5, metavar="SHARE", help="of them, not problems (default: %(default)s)"
    )
    command.add_argument("--train", **number, default=2000, help="labeled problems (default: %(default)s)")
    command.add_argument("--test", **number, default=500, help="problems for scores (default: %(default)s)")
    command.add_argument(
        "--validation", **number, default=500, help="problems to choose settings on (default: %(default)s)"
    )
    command.add_argument(
        "--start", **number, default=10_000, help="problems that a start is trained on (default: %(default)s)"
    )
    command.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    command.set_defaults(prepare=_word_problems)


def _word_problems(o: argparse.Namespace) -> Path:
    difficulty = Difficulty(o.largest, o.steps, o.names, o.things)
    counts = o.documents, o.distractors, o.train, o.test, o.seed, o.validation, o.start
    return write_word_problems(o.out, difficulty, *counts)


def _count(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected SPLIT=N, e.g. ade_train=600")
    return name, int(number)


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
    source = Path(options.source)
    if options.labels and options.depth:
        raise ValueError(f"--labels {options.labels} and --depth {options.depth}: one set is written at a time")
    if (source / "train/rgb").is_dir():
        return prepare_nyuv2_folders(source, options.out, options.depth or "raw", options.labels)
    if options.labels:
        raise ValueError(f"--labels {options.labels}: {source} has no folder train/rgb; see data/README.md")
    if not (source / LISTS["train"]).is_file():
        return prepare_nyuv2(options.source, options.out, options.depth or "raw", options.images)
    if options.depth:
        raise ValueError(f"--depth {options.depth}: list files name the depth that they have; leave the option away")
    return prepare_nyuv2_lists(options.source, options.out)


def _retrieval(benchmark: Benchmark, options: argparse.Namespace) -> Path:
    return prepare_retrieval(options.source, options.out, benchmark)
