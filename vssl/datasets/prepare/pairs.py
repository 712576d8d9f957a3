"""Images and their annotations from anyone's folders: which belong together, and written in a layout."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Integer

from vssl.data_folders import found_in
from vssl.datasets.conventions import Convention
from vssl.datasets.files import EXTENSIONS, UnreadableImage, image_paths, read_image
from vssl.datasets.label_checks import DepthValues
from vssl.datasets.prepare.annotations import encoded
from vssl.datasets.prepare.writing import ContentHash, link_or_write
from vssl.datasets.threads import in_threads
from vssl.progress import track

Pair = tuple[Path, Path]  # image, annotation
Counts = Integer[np.ndarray, "65536"]  # pixels of each value
Read = Callable[[Path], Integer[np.ndarray, "H W"]]  # an annotation, with the values that are written


def files_by_name(root: Path, suffix: str = "", arrays: bool = False) -> dict[str, Path]:
    """Every image below `root` by its path there without extension, and without `suffix` at its end.

    Args:
        arrays: list .npy files too.

    Raises:
        FileNotFoundError: no such folder, or nothing in it.
        ValueError: two files of one name.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    paths = [*image_paths(root), *(str(p.relative_to(root)) for p in root.rglob("*.npy") if arrays)]
    found: dict[str, Path] = {}
    for path in paths:
        name = PurePosixPath(path).with_suffix("").as_posix()
        if not name.endswith(suffix):
            continue
        name = name.removesuffix(suffix)
        if name in found:
            raise ValueError(f"{root}: {found[name].name} and {Path(path).name} have one name; keep one of them")
        found[name] = root / path
    if not found:
        told = f" that end in {suffix!r}" if suffix else ""
        raise FileNotFoundError(
            f"{root}: no files{told} ({', '.join(EXTENSIONS)}) in it or below, only: {found_in(root)}"
        )
    return found


def matched(
    images: Mapping[str, Path], annotations: Mapping[str, Path], suffix_option: str | None = None
) -> dict[str, Pair]:
    """The images that have an annotation of their name, in natural order. ValueError: an annotation has no image."""
    if strays := sorted(annotations.keys() - images.keys(), key=natural):
        ending = f"; an ending that they add is given by {suffix_option}" if suffix_option else ""
        raise ValueError(
            f"{annotations[strays[0]]}: no image has this name (of {len(annotations)} files {len(strays)} are so); "
            f"images are called like {next(iter(images.values()))}. Annotations have the name and the folder of their "
            f"image{ending}"
        )
    return {name: (images[name], annotations[name]) for name in sorted(annotations, key=natural)}


def digest(pairs: Mapping[str, Mapping[str, Pair]], lists: Sequence[Path] = ()) -> str:
    """SHA-256 over names and sizes of all files, and the content of `lists`: what a data set is made of, undecoded."""
    found = hashlib.sha256()
    for part, named in pairs.items():
        found.update(f"{part}\n".encode())
        for name, files in named.items():
            found.update(f"{name} {[file.stat().st_size for file in files]}\n".encode())
    for path in lists:
        found.update(f"{path.stat().st_size}\n".encode() + path.read_bytes())
    return found.hexdigest()


def natural(name: str) -> tuple:
    """Sorts numbers as numbers: frame_2 before frame_10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def check_pairs(pairs: Mapping[str, Pair], read: Read, split: str) -> Counts:
    """Decodes every image and annotation; returns how many pixels have which value.

    Raises:
        UnreadableImage: a broken file, or an annotation of another size than its image.
    """

    def check(pair: Pair) -> Counts:
        pixels, annotation = read_image(pair[0]), read(pair[1])
        if pixels.shape[:2] != annotation.shape:
            (h, w), (ah, aw) = pixels.shape[:2], annotation.shape
            raise UnreadableImage(f"{pair[1]}: {aw} × {ah} pixels, but its image {pair[0]} has {w} × {h}")
        return np.bincount(annotation.ravel(), minlength=2**16)

    bar = track(in_threads(check, list(pairs.values())), f"{split}, checked", "images", len(pairs))
    return sum(bar, np.zeros(2**16, np.int64))


def write_pairs(pairs: Mapping[str, Pair], read: Read, out: Path, split: str) -> str:
    """Images as they are (hard links where possible) and annotations as PNG, below OUT/{images,annotations}/SPLIT.

    Returns one SHA-256 over names and annotations.
    """
    contents = ContentHash()
    annotations = in_threads(lambda pair: encoded(read(pair[1])), list(pairs.values()))
    bar = track(annotations, f"{split}, written", "images", len(pairs))
    for (name, (image, _)), annotation in zip(pairs.items(), bar, strict=True):
        contents.add(name, annotation)
        link_or_write(image, None, out / "images" / split / f"{name}{image.suffix}")
        link_or_write(None, annotation, out / "annotations" / split / f"{name}.png")
    return contents.hexdigest()


class Layout:
    """One kind of annotation, checked as a whole before anything is written.

    Args:
        splits: the layout's name of a split -> its images and annotations by name.
        read: an annotation as it will be in the file, 8 or 16 bits.
    """

    def __init__(self, splits: Mapping[str, Mapping[str, Pair]], read: Read):
        if empty := [split for split, pairs in splits.items() if not pairs]:
            raise ValueError(
                f"no labeled image for {empty[0]}; all labels of this kind are on the other side of the split"
            )
        self.splits, self.read = splits, read
        self.values = {split: check_pairs(pairs, read, split) for split, pairs in splits.items()}

    @property
    def counts(self) -> dict[str, int]:
        return {split: len(pairs) for split, pairs in self.splits.items()}

    def write(self, out: Path) -> dict[str, str]:
        """Everything below `out`; returns its hashes."""
        return {f"{s}_sha256": write_pairs(pairs, self.read, out, s) for s, pairs in self.splits.items()}

    def folders(self) -> list[str]:
        """Whose entries are counted in `dataset.json`."""
        inside = [(s, PurePosixPath(name).parent.as_posix()) for s, pairs in self.splits.items() for name in pairs]
        leaves = dict.fromkeys(f"{s}/{folder}" if folder != "." else s for s, folder in inside)
        return [f"{kind}/{leaf}" for kind in ("images", "annotations") for leaf in leaves]

    def shares(self, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        """Split -> class -> its share of the labeled pixels; "unlabeled" is a share of all."""
        table = {}
        for split, values in self.values.items():
            labeled = values[1 : len(classes) + 1]
            found = {name: labeled[i] / max(labeled.sum(), 1) for i, name in enumerate(classes)}
            table[split] = {n: round(float(v), 5) for n, v in {"unlabeled": values[0] / values.sum(), **found}.items()}
        return table

    def depth(self, where: str, farthest: float | None = None) -> dict[str, Any]:
        """What `dataset.json` says of depth.

        Args:
            where: names the set in errors.
            farthest: of a published set, metres that no surface lies beyond; ValueError when the values say that these
                are no millimetres. None where somebody stated the scale: then the values are not doubted.
        """
        found = DepthValues(Convention(1000, stated=farthest is None))
        for values in self.values.values():
            found.add(values)
        found.check(where, farthest)
        return found.about()
