"""ImageNet-1k as it was unpacked: verified, and a flat `val` sorted into classes by the devkit's labels.

ROOT/train/<wnid>/*.JPEG      ROOT/val/<wnid>/*.JPEG       class k is the k-th wnid in alphabetical order
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vssl.counts import counted
from vssl.data_folders import found_in
from vssl.datasets.files import EXTENSIONS
from vssl.datasets.prepare.devkit import Devkit, read_devkit
from vssl.datasets.prepare.writing import begin, finish, link_or_write
from vssl.progress import track

BELOW = ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")  # of the official archives, and of Kaggle's


@dataclass(frozen=True)
class ImageNetRelease:
    """Number of classes and images of the published set."""

    classes: int = 1000
    counts: Mapping[str, int] = field(default_factory=lambda: {"train": 1_281_167, "val": 50_000})


def prepare_imagenet(
    source: str | Path,
    out: str | Path | None = None,
    devkit: str | Path | None = None,
    release: ImageNetRelease | None = None,
) -> Path:
    """Verifies layout, class order and counts; returns the path of `dataset.json`.

    Args:
        source: folder with `train` and `val`, or one of Kaggle's above them.
        out: a new folder that links to the source (`train` whole; a flat `val` file by file, hard-linked into class
            folders). None works in place: a flat `val` is moved into class folders.
        devkit: ILSVRC2012_devkit_t12, folder or archive. Needed for a flat `val`; else checks that every validation
            image lies in its own class.

    Raises:
        FileNotFoundError: no `train` or `val`.
        ValueError: classes or counts that are not the release's, images in the wrong class, empty files, or a flat
            `val` without `devkit`.
        FileExistsError: see `begin`.
    """
    source, release = Path(source), release or ImageNetRelease()
    root = next((source / below for below in BELOW if (source / below / "train").is_dir()), source)
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise FileNotFoundError(f"{source}: no folder {split} (found: {found_in(source)})")
    kit = read_devkit(Path(devkit)) if devkit else None
    classes = _classes(root / "train", release.classes, kit)
    listing = {split: _listing(root / split, classes) for split in ("train", "val")}
    for split, files in listing.items():
        if len(files) != release.counts[split]:
            raise ValueError(
                f"{root / split}: {counted(len(files), 'image')}, expected {release.counts[split]}. "
                "Was it unpacked completely?"
            )
    homes = _val_classes(root / "val", listing["val"], classes, kit)
    out = root if out is None else Path(out)
    in_place = out.resolve() == root.resolve()
    hashes = {f"{split}_names_and_sizes_sha256": _hash(files, homes) for split, files in listing.items()}
    options = {"classes": len(classes), **hashes}
    if begin(out, options, () if in_place else ("train", "val")):
        _place(root, out, in_place, listing["val"], homes)
        finish(
            out,
            options,
            files=["train", "val"],
            name="ImageNet-1k (ILSVRC 2012)",
            source="as unpacked" + (", val sorted by the devkit's labels" if any("/" not in f for f in homes) else ""),
            counts={split: len(files) for split, files in listing.items()},
            val_labels_checked=kit is not None,
            classes=classes,
            hashes=hashes,
            licence="non-commercial research and education only, by agreement with ImageNet",
        )
    return out / "dataset.json"


def _classes(train: Path, count: int, kit: Devkit | None) -> list[str]:
    folders = sorted(entry.name for entry in os.scandir(train) if entry.is_dir())
    if not folders and any(name.endswith(".tar") for name in os.listdir(train)):
        raise ValueError(f"{train}: holds archives; unpack each nXXXXXXXX.tar into a folder of its name")
    if odd := [name for name in folders if not re.fullmatch(r"n\d{8}", name)]:
        raise ValueError(f"{train}: folder {odd[0]}, expected WordNet ids (n01440764): their order numbers the classes")
    if len(folders) != count:
        raise ValueError(f"{train}: {len(folders)} class folders, expected {count}")
    if kit and (odd := sorted(set(folders) ^ set(kit.wnids.values()))):
        raise ValueError(f"{train}: its classes are not the devkit's; differing: {', '.join(odd[:5])}")
    return folders


def _listing(folder: Path, classes: list[str]) -> dict[str, int]:
    """Path below the split -> bytes, of the images in the split's folder itself and in its class folders."""
    if strangers := sorted({entry.name for entry in os.scandir(folder) if entry.is_dir()} - set(classes)):
        raise ValueError(f"{folder}: class folder {strangers[0]}, which is not in train")
    files = {}
    for below in ("", *(name for name in classes if (folder / name).is_dir())):
        for entry in os.scandir(folder / below):
            if entry.name.lower().endswith(EXTENSIONS):
                files[f"{below}/{entry.name}".lstrip("/")] = entry.stat().st_size
    if empty := next((name for name, size in files.items() if not size), None):
        raise ValueError(f"{folder / empty}: an empty file; unpack the archive again")
    if folder.name == "train" and (loose := next((name for name in files if "/" not in name), None)):
        raise ValueError(f"{folder / loose}: an image outside the class folders")
    return files


def _val_classes(val: Path, files: Mapping[str, int], classes: list[str], kit: Devkit | None) -> dict[str, str]:
    """Path below `val` -> the class it belongs to."""
    if kit is None:
        if loose := next((name for name in files if "/" not in name), None):
            raise ValueError(
                f"{val / loose}: images are not in class folders. Give --devkit ILSVRC2012_devkit_t12.tar.gz, which "
                "holds their labels"
            )
        homes = {name: name.split("/")[0] for name in files}
        found, per_class = Counter(homes.values()), len(files) / len(classes)
        if uneven := [name for name in classes if found[name] != per_class]:
            raise ValueError(f"{val}: class {uneven[0]} does not have {per_class:g} images as every class should")
        return homes
    homes = {name: kit.class_of(name, val) for name in files}
    if wrong := next((name for name, home in homes.items() if "/" in name and name.split("/")[0] != home), None):
        raise ValueError(f"{val / wrong}: lies in the wrong class; the devkit says {homes[wrong]}")
    return homes


def _hash(files: Mapping[str, int], homes: Mapping[str, str]) -> str:
    """Of class/name and size, wherever the files lie now: moving them changes nothing."""
    rows = sorted(f"{homes.get(name, name.split('/')[0])}/{name.split('/')[-1]} {size}" for name, size in files.items())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _place(root: Path, out: Path, in_place: bool, val: Mapping[str, int], homes: Mapping[str, str]) -> None:
    loose = [name for name in val if "/" not in name]
    for name in track(loose, "val", "images") if loose else ():
        target = out / "val" / homes[name] / name
        if in_place:
            target.parent.mkdir(exist_ok=True)
            os.rename(root / "val" / name, target)
        else:
            link_or_write(root / "val" / name, None, target)
    if in_place:
        return
    for name in ("train",) if loose else ("train", "val"):
        if not (out / name).is_symlink():
            (out / name).symlink_to((root / name).resolve(), target_is_directory=True)
