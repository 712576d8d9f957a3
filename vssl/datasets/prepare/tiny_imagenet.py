"""Tiny ImageNet (Stanford CS231N), 200 classes at 64 px, in ImageNet's layout.

SOURCE/train/<wnid>/images/*.JPEG    SOURCE/val/images/*.JPEG, SOURCE/val/val_annotations.txt
OUT/{train,val}/<wnid>/*.JPEG        a class is the k-th wnid in alphabetical order
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vssl.data_folders import found_in
from vssl.datasets.files import EXTENSIONS, read_image
from vssl.datasets.prepare.pairs import natural
from vssl.datasets.prepare.splits import Split
from vssl.datasets.prepare.writing import begin, finish, link_or_write, prepared
from vssl.datasets.threads import in_threads
from vssl.progress import track

ANNOTATIONS = "val/val_annotations.txt"


@dataclass(frozen=True)
class TinyImageNetRelease:
    """Images per split of the published set."""

    classes: int = 200
    counts: Mapping[str, int] = field(default_factory=lambda: {"train": 100_000, "val": 10_000})


def prepare_tiny_imagenet(
    source: str | Path, out: str | Path, val_share: float | None = None, release: TinyImageNetRelease | None = None
) -> Path:
    """Decodes every image and lays the set out (hard links where possible); returns the path of `dataset.json`.

    Args:
        source: tiny-imagenet-200, unpacked.
        val_share: for a source of class folders alone (a part of the set): this share of each class' images is for
            validation, the last by name.

    Raises:
        FileNotFoundError: neither layout, or a file that the annotations name is missing.
        ValueError: other counts than the release's, or `val_share` outside (0, 1) or for a source that has a `val`.
        UnreadableImage: a broken file. FileExistsError: see `begin`.
    """
    source, out, release = Path(source), Path(out), release or TinyImageNetRelease()
    whole = (source / "train").is_dir()
    if not whole and val_share is None:
        raise FileNotFoundError(
            f"{source}: no folder train (found: {found_in(source)}). Give tiny-imagenet-200 as it was unpacked; for "
            "class folders alone, --val-share holds back a part of each class"
        )
    if val_share is not None and (whole or not 0 < val_share < 1):
        why = "the source has a val of its own" if whole else "a share between 0 and 1 is needed"
        raise ValueError(f"--val-share {val_share:g}: {why}")
    splits = _published(source, release) if whole else _held_back(source, val_share)
    digest = hashlib.sha256()
    for split, files in splits.items():
        for name, path in files.items():
            digest.update(f"{split}/{name} {path.stat().st_size}\n".encode())
    options = {"val_share": val_share, "names_and_sizes_sha256": digest.hexdigest()}
    if prepared(out, options):
        return out / "dataset.json"
    for split, files in splits.items():
        for _ in track(in_threads(read_image, list(files.values())), f"{split}, checked", "images", len(files)):
            pass
    if begin(out, options, tuple(splits)):
        for split, files in splits.items():
            for name, path in track(list(files.items()), f"{split}, written", "images"):
                link_or_write(path, None, out / split / name)
        classes = sorted({name.split("/")[0] for name in splits["train"]})
        finish(
            out,
            options,
            files=[f"{split}/{name}" for split in splits for name in classes],
            name="Tiny ImageNet" if whole else "Tiny ImageNet, a part",
            source="as unpacked" if whole else f"class folders; val: the last {100 * val_share:g} % of each, by name",
            counts={split: len(files) for split, files in splits.items()},
            classes=classes,
            licence="non-commercial research and education only, as ImageNet; images belong to their owners",
        )
    return out / "dataset.json"


def _published(source: Path, release: TinyImageNetRelease) -> dict[str, dict[str, Path]]:
    """Split -> ``<wnid>/NAME`` -> file."""
    train = {f"{f.parent.parent.name}/{f.name}": f for f in _images(source / "train", "*/images/*")}
    if not (source / ANNOTATIONS).is_file():
        raise FileNotFoundError(f"{source}: no {ANNOTATIONS}, which says the class of each validation image")
    val = {}
    for line in (source / ANNOTATIONS).read_text().splitlines():
        image, wnid, *_ = line.split("\t")
        path = source / "val/images" / image
        if not path.is_file():
            raise FileNotFoundError(f"{source / ANNOTATIONS}: names {image}, which is not in val/images")
        val[f"{wnid}/{image}"] = path
    found = {"classes": len({name.split("/")[0] for name in train}), "train": len(train), "val": len(val)}
    expected = {"classes": release.classes, **release.counts}
    if found != expected:
        raise ValueError(f"{source}: {found}, expected {expected}. Was it unpacked completely?")
    if strangers := sorted({n.split("/")[0] for n in val} - {n.split("/")[0] for n in train}):
        raise ValueError(f"{source / ANNOTATIONS}: class {strangers[0]}, which is not in train")
    return {"train": train, "val": val}


def _held_back(source: Path, share: float) -> dict[str, dict[str, Path]]:
    files = {f"{file.parent.name}/{file.name}": file for file in _images(source, "[!.]*/*")}
    if not files:
        raise FileNotFoundError(f"{source}: no class folders (found: {found_in(source)})")
    train, val = Split(val_share=share).of(sorted(files, key=natural))
    if uneven := {name.split("/")[0] for name in train} ^ {name.split("/")[0] for name in val}:
        raise ValueError(f"{source / min(uneven)}: too few images, {share:g} of them leaves none on one side")
    return {"train": {name: files[name] for name in train}, "val": {name: files[name] for name in val}}


def _images(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.name.lower().endswith(EXTENSIONS))
