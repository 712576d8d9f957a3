"""NYU Depth v2 as list files, the 24k-image training set that most depth papers use, in mmseg's layout.

SOURCE/nyudepthv2_{train,test}_files_with_gt.txt    lines: image depth focal_length, paths below SOURCE
OUT/images/{train,test}/SCENE_NNNNN.{jpg,png}       OUT/annotations/{train,test}/SCENE_NNNNN.png
"""

from collections.abc import Mapping
from pathlib import Path

from vssl.compat import file_digest
from vssl.data_folders import found_in
from vssl.datasets.files import UnreadableImage, read_depth, read_image
from vssl.datasets.label_checks import DepthValues, depth_counts
from vssl.datasets.prepare.nyuv2 import FARTHEST, HEIGHT, LICENCE, WIDTH
from vssl.datasets.prepare.writing import ContentHash, begin, finish, link_or_write
from vssl.datasets.threads import in_threads
from vssl.progress import track

LISTS = {"train": "nyudepthv2_train_files_with_gt.txt", "test": "nyudepthv2_test_files_with_gt.txt"}
COUNTS = {"train": 24231, "test": 654}
BELOW = ("", "sync", "train", "test", "official_splits/test", "official_splits/train")

Pair = tuple[Path, Path]


def prepare_nyuv2_lists(source: str | Path, out: str | Path, counts: Mapping[str, int] | None = None) -> Path:
    """Checks and lays out every pair that the lists name; returns the path of `dataset.json`.

    Files are hard-linked where the file system allows it. Lines whose depth is ``None`` are left out and counted.

    Raises:
        FileNotFoundError: a list, or a file that a list names, is missing.
        ValueError: other counts than the published, two files of one name, depth that is not in millimetres.
        UnreadableImage: a broken file, or one that is not 480 × 640.
        FileExistsError: see `begin`.
    """
    source, out, counts = Path(source), Path(out), dict(counts or COUNTS)
    for name in LISTS.values():
        if not (source / name).is_file():
            raise FileNotFoundError(f"{source}: no {name} (found: {found_in(source)})")
    pairs = {split: _pairs(source, name, counts[split]) for split, name in LISTS.items()}
    hashes = {f"{split}_list_sha256": file_digest(source / name) for split, name in LISTS.items()}
    options = {"layout": "lists", **hashes}
    if begin(out, options, ("images", "annotations")):
        found = DepthValues()
        for split, named in pairs.items():
            hashes[f"depth/{split}_sha256"] = _copy(named, split, out, found)
        found.check(str(source), FARTHEST)
        finish(
            out,
            options,
            files=[f"{kind}/{split}" for kind in ("images", "annotations") for split in LISTS],
            name="NYU Depth v2, list files",
            source=", ".join(LISTS.values()),
            depth="as in the source (usually raw)",
            counts={split: len(named) for split, named in pairs.items()},
            left_out={split: counts[split] - len(named) for split, named in pairs.items()},
            **found.about(),
            labels="z-depth, uint16 PNG, millimetres, 0 = invalid",
            hashes=hashes,
            licence=LICENCE,
        )
    return out / "dataset.json"


def _pairs(source: Path, name: str, count: int) -> dict[str, Pair]:
    """Name in the new layout -> (image, depth), for every line with depth."""
    lines = (source / name).read_text().split("\n")
    fields = [line.split() for line in lines if line.strip()]
    if wrong := next((line for line in fields if len(line) < 2), None):
        raise ValueError(f"{source / name}: line {' '.join(wrong)!r}, expected: image depth focal_length")
    if len(fields) != count:
        raise ValueError(f"{source / name}: {len(fields)} lines, expected {count}")
    pairs: dict[str, Pair] = {}
    for image, depth, *_ in fields:
        if depth == "None":
            continue
        # kitchen_0028b/rgb_00045.jpg -> kitchen_0028b_00045, whose beginning mmseg takes for the kind of room
        key = f"{Path(image).parent.name}_{Path(image).stem.removeprefix('rgb_')}"
        if key in pairs:
            raise ValueError(f"{source / name}: two lines for {key}, e.g. {image}")
        pairs[key] = _find(source, name, image), _find(source, name, depth)
    return pairs


def _find(source: Path, name: str, entry: str) -> Path:
    relative = entry.lstrip("/")
    if ".." in Path(relative).parts:
        raise ValueError(f"{source / name}: path {entry} leads out of the folder")
    for folder in BELOW:
        if (path := source / folder / relative).is_file():
            return path
    raise FileNotFoundError(f"{source / name}: {relative} is under none of {source}/{{{','.join(BELOW)}}}")


def _copy(pairs: dict[str, Pair], split: str, out: Path, found: DepthValues) -> str:
    """One split; returns the hash of its depth files."""
    contents = ContentHash()
    bar = track(in_threads(_read, list(pairs.values())), split, "images", len(pairs))
    for (key, paths), (image, depth, values) in zip(pairs.items(), bar, strict=True):
        found.add(values)
        contents.add(key, depth)
        link_or_write(paths[0], image, out / "images" / split / f"{key}{paths[0].suffix}")
        link_or_write(paths[1], depth, out / "annotations" / split / f"{key}.png")
    return contents.hexdigest()


def _read(pair: Pair) -> tuple[bytes, bytes, object]:
    """Both contents and the histogram of the depth, after both were decoded whole."""
    image, depth = (path.read_bytes() for path in pair)
    pixels, millimetres = read_image(pair[0], content=image), read_depth(pair[1], content=depth)
    for path, shape in ((pair[0], pixels.shape[:2]), (pair[1], millimetres.shape)):
        if shape != (HEIGHT, WIDTH):
            raise UnreadableImage(f"{path}: {shape[1]} × {shape[0]} pixels, expected {WIDTH} × {HEIGHT}")
    return image, depth, depth_counts(millimetres)
