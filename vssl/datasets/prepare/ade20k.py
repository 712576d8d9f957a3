"""ADE20K SceneParse150, from ADEChallengeData2016.zip or from what it unpacks to. Label files are never changed.

OUT/images/{training,validation}/NAME.jpg
OUT/annotations/{training,validation}/NAME.png      0 = unlabeled, 1..150
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vssl.compat import file_digest
from vssl.counts import counted
from vssl.data_folders import found_in
from vssl.datasets.files import UnreadableImage, read_image, read_labels
from vssl.datasets.label_checks import ClassValues, class_counts
from vssl.datasets.prepare.writing import ContentHash, begin, finish, link_or_write
from vssl.datasets.threads import in_threads
from vssl.progress import track

SPLITS = ("training", "validation")
CLASS_LIST = "objectInfo150.txt"


@dataclass(frozen=True)
class ADE20KRelease:
    """What a release of the data set must be.

    Attributes:
        zip_sha1: of the published archive.
        counts: images per split.
        classes: labels are 1..classes.
    """

    zip_sha1: str = "219e1696abb36c8ba3a3afe7fb2f4b4606a897c7"
    counts: Mapping[str, int] = field(default_factory=lambda: {"training": 20210, "validation": 2000})
    classes: int = 150


def prepare_ade20k(source: str | Path, out: str | Path, release: ADE20KRelease | None = None) -> Path:
    """Checks every file (hash of the zip, counts, sizes, label range) and lays the set out; returns `dataset.json`.

    From a folder, files are hard-linked where the file system allows it; the source is not touched.

    Raises:
        FileNotFoundError: no such source, or not the release's layout.
        ValueError: wrong hash or counts, an image without annotation, labels out of range or shifted beforehand.
        UnreadableImage: a broken file, or an annotation of another size than its image.
        FileExistsError: see `begin`.
    """
    source, out, release = Path(source), Path(out), release or ADE20KRelease()
    with _Source(source) as files:
        hashes = {}
        if files.is_zip:
            hashes["zip_sha1"] = file_digest(source, "sha1")
            if hashes["zip_sha1"] != release.zip_sha1:
                raise ValueError(
                    f"{source}: SHA-1 {hashes['zip_sha1']}, expected {release.zip_sha1} (ADEChallengeData2016.zip). "
                    "Download it again; if it was packed anew, unpack it and give the folder"
                )
        pairs = {split: _pairs(files, split, release.counts[split]) for split in SPLITS}
        options = {"source": source.name, **hashes}
        if begin(out, options, ("images", "annotations")):
            for split in SPLITS:
                hashes |= _copy(files, split, pairs[split], out, release.classes)
            finish(
                out,
                options,
                files=[f"{kind}/{split}" for kind in ("images", "annotations") for split in SPLITS],
                name="ADE20K SceneParse150",
                source=source.name,
                counts=dict(release.counts),
                labels=f"8-bit PNG, 0 = unlabeled, 1..{release.classes}, as published",
                hashes=hashes,
                **files.class_names(release.classes),
                licence="annotations and software BSD 3-clause; images for non-commercial research and education only",
            )
    return out / "dataset.json"


def _copy(files: "_Source", split: str, names: list[tuple[str, str]], out: Path, classes: int) -> dict[str, str]:
    """One split, checked while it is written; returns the hashes of its images and of its annotations."""
    found, hashes = ClassValues(), {"images": ContentHash(), "annotations": ContentHash()}
    bar = track(in_threads(files.read_pair, names), split, "images", len(names))
    for (image, annotation), contents, counts in bar:
        found.add(counts, files.root / annotation)
        found.check_published(classes)
        for name, content in zip((image, annotation), contents, strict=True):
            hashes[name.split("/")[0]].add(name, content)
            link_or_write(files.path(name), content, out / name)
    found.check_published(classes, whole=split == "training")
    return {f"{kind}/{split}_sha256": content.hexdigest() for kind, content in hashes.items()}


def _pairs(files: "_Source", split: str, count: int) -> list[tuple[str, str]]:
    """(image, annotation) below the root, by name."""
    names = [name for name in files.names if name.startswith(f"images/{split}/") and name.endswith(".jpg")]
    pairs = [(name, f"annotations/{name[len('images/') : -len('.jpg')]}.png") for name in sorted(names)]
    missing = [annotation for _, annotation in pairs if annotation not in files.names]
    if missing:
        raise ValueError(
            f"{files.root}: {counted(len(missing), 'image')} of {split} without annotation, e.g. {missing[0]}"
        )
    if len(pairs) != count:
        raise ValueError(
            f"{files.root}: {len(pairs)} images under images/{split}, expected {count}. Was it unpacked completely?"
        )
    return pairs


class _Source:
    """The zip, or the folder it unpacks to; names are relative to the folder that holds `images`."""

    def __init__(self, source: Path):
        self.is_zip = source.is_file()
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder (found: {found_in(source.parent)})")
        if self.is_zip and not zipfile.is_zipfile(source):
            raise ValueError(f"{source}: not a zip file, or not all of it. Download ADEChallengeData2016.zip again")
        self._zip = zipfile.ZipFile(source) if self.is_zip else None
        every = self._zip.namelist() if self._zip else _relative_files(source)
        prefix = next((name.split("images/training/")[0] for name in every if "images/training/" in name), None)
        if prefix is None:
            there = ", ".join(every[:5]) if self._zip else found_in(source)
            raise FileNotFoundError(
                f"{source}: no images under images/training (found: {there}). Give ADEChallengeData2016.zip, or the "
                "folder that it unpacks to"
            )
        self._prefix, self.root = prefix, source / prefix
        self.names = {name[len(prefix) :] for name in every if name.startswith(prefix)}

    def __enter__(self) -> "_Source":
        return self

    def __exit__(self, *error: object) -> None:
        if self._zip:
            self._zip.close()

    def path(self, name: str) -> Path | None:
        return None if self._zip else self.root / name

    def read(self, name: str) -> bytes:
        if self._zip is None:
            return (self.root / name).read_bytes()
        try:
            return self._zip.read(self._prefix + name)
        except zipfile.BadZipFile as error:  # its checksum
            raise UnreadableImage(f"{self.root}/{name}: {error}") from error

    def read_pair(self, pair: tuple[str, str]) -> tuple[tuple[str, str], tuple[bytes, bytes], np.ndarray]:
        """The pair, both contents, and how often the annotation holds which value, after both were decoded whole."""
        image, annotation = (self.read(name) for name in pair)
        height, width = read_image(self.root / pair[0], content=image).shape[:2]
        labels = read_labels(self.root / pair[1], content=annotation)
        if labels.shape != (height, width):
            raise UnreadableImage(
                f"{self.root / pair[1]}: {labels.shape[1]} × {labels.shape[0]} pixels, "
                f"but its image has {width} × {height}"
            )
        return pair, (image, annotation), class_counts(labels)

    def class_names(self, classes: int) -> dict[str, list[str]]:
        """The class names from the release's own list (tab-separated, the name last), where it is there."""
        if CLASS_LIST not in self.names:
            return {}
        rows = self.read(CLASS_LIST).decode("utf-8").splitlines()[1:]
        names = [row.rstrip().split("\t")[-1].split(",")[0].strip() for row in rows if row.strip()]
        return {"classes": names} if len(names) == classes else {}


def _relative_files(source: Path) -> list[str]:
    folders = (source, source / "ADEChallengeData2016")
    root = next((folder for folder in folders if (folder / "images").is_dir()), source)
    files = [path for kind in ("images", "annotations") for path in (root / kind).rglob("*")]
    return [path.relative_to(source).as_posix() for path in (*files, root / CLASS_LIST) if path.is_file()]
