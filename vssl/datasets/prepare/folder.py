"""Anyone's images with masks or depth, in the layouts of ADE20K and NYUv2.

OUT/ade20k/images/{training,validation}/NAME.jpg    OUT/ade20k/annotations/…/NAME.png    0 = unlabeled, 1.. = classes
OUT/nyuv2/images/{train,test}/NAME.jpg              OUT/nyuv2/annotations/…/NAME.png     millimetres, 0 = invalid
OUT/dataset.json                                    class names, their shares of the pixels, how it was split
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.datasets.prepare.annotations import ClassList, ColourMasks, DepthFiles, NumberMasks, read_classes
from vssl.datasets.prepare.pairs import Layout, Pair, digest, files_by_name, matched, natural
from vssl.datasets.prepare.splits import Split
from vssl.datasets.prepare.writing import begin, finish, prepared


@dataclass(frozen=True)
class MaskSource:
    """Where masks lie and what their values mean.

    Attributes:
        classes: file of class names, with colours where masks are coloured (`read_classes`).
        first: the number of the first class, 0 or 1; None: what the masks show.
        ignored: class names, and numbers, of what counts as unlabeled; 255 always does.
        suffix: what a mask's name adds to its image's.
    """

    root: Path
    classes: Path
    first: int | None = None
    ignored: Sequence[str] = ()
    suffix: str = ""


@dataclass(frozen=True)
class DepthSource:
    """Where depth lies and what its values mean; see `DepthFiles`."""

    root: Path
    scale: float
    invalid: Sequence[float] = ()
    suffix: str = ""


def prepare_folder(
    images: str | Path,
    out: str | Path,
    masks: MaskSource | None = None,
    depth: DepthSource | None = None,
    split: Split | None = None,
    name: str | None = None,
    image_suffix: str = "",
) -> Path:
    """Checks every file and lays the set out; returns the path of `dataset.json`. Images without label are left out.

    Args:
        name: what protocol cards call the set; None: the name of `out`.
        image_suffix: what images' names end in that those of their annotations do not, e.g. ``"_leftImg8bit"``.

    Raises:
        FileNotFoundError: a folder or file is missing.
        ValueError: neither masks nor depth, names that do not match, values that are no class, depth beyond
            65.535 m.
        UnreadableImage: a broken file, or an annotation of another size than its image.
        FileExistsError: see `begin`.
    """
    images, out, split = Path(images), Path(out), split or Split()
    if masks is None and depth is None:
        raise ValueError("give --masks with --classes, or --depth with --depth-scale, or all four")
    found = files_by_name(images, image_suffix)
    pairs: dict[str, dict[str, Pair]] = {}
    if masks is not None:
        classes = read_classes(masks.classes, masks.ignored)
        pairs["ade20k"] = matched(found, files_by_name(masks.root, masks.suffix), "--mask-suffix")
    if depth is not None:
        depth_files = DepthFiles(depth.scale, depth.invalid)
        pairs["nyuv2"] = matched(found, files_by_name(depth.root, depth.suffix, arrays=True), "--depth-suffix")
    labeled = sorted({name for part in pairs.values() for name in part}, key=natural)
    sides = split.of(labeled)
    options = {**_options(images, masks, depth, split, pairs), "image_suffix": image_suffix}
    if prepared(out, options):
        return out / "dataset.json"
    layouts: dict[str, Layout] = {}
    about: dict[str, Any] = {}
    if masks is not None:
        reader = _reader(classes, [mask for _, mask in pairs["ade20k"].values()], masks.first)
        layouts["ade20k"] = Layout(_split(pairs["ade20k"], sides, ("training", "validation")), reader.read)
        about |= {
            "classes": classes.kept,
            "label_values": "1..C",
            "pixel_share": layouts["ade20k"].shares(classes.kept),
        }
    if depth is not None:
        layouts["nyuv2"] = Layout(_split(pairs["nyuv2"], sides, ("train", "test")), depth_files.read)
        about |= layouts["nyuv2"].depth(str(depth.root))
    if begin(out, options, list(layouts)):
        hashes = [layout.write(out / kind) for kind, layout in layouts.items()]
        finish(
            out,
            options,
            files=[f"{kind}/{folder}" for kind, layout in layouts.items() for folder in layout.folders()],
            name=name or out.name,
            source=str(images),
            split=split.words(),
            counts={split: count for layout in layouts.values() for split, count in layout.counts.items()},
            images_without_label=len(found) - len(labeled),
            hashes={split: digest for one in hashes for split, digest in one.items()},
            **about,
        )
    return out / "dataset.json"


def _split(pairs: dict[str, Pair], sides: Sequence[Sequence[str]], splits: Sequence[str]) -> dict[str, dict[str, Pair]]:
    named = zip(splits, sides, strict=True)
    return {split: {name: pairs[name] for name in names if name in pairs} for split, names in named}


def _reader(classes: ClassList, paths: Sequence[Path], first: int | None) -> ColourMasks | NumberMasks:
    if classes.colours is None:
        return NumberMasks(classes, paths, first)
    if first is not None:
        raise ValueError(f"--first-class {first}: {classes.path} gives colours, so that masks hold no numbers")
    return ColourMasks(classes)


def _options(images: Path, masks: MaskSource | None, depth: DepthSource | None, split: Split, pairs: dict) -> dict:
    """What the content depends on, for `begin`: the arguments, and names and sizes of all files."""
    lists = [path for path in (split.val_list, split.train_list, masks and masks.classes) if path]
    options: dict[str, Any] = {
        "images": str(images),
        "split": split.words(),
        "files_sha256": digest(pairs, lists),
    }
    if masks is not None:
        options |= {"first_class": masks.first, "ignored": list(masks.ignored), "mask_suffix": masks.suffix}
    if depth is not None:
        options |= {"depth_scale": depth.scale, "depth_invalid": list(depth.invalid), "depth_suffix": depth.suffix}
    return options
