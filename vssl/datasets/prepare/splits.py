"""Which of somebody's labeled images are for validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vssl.counts import counted
from vssl.datasets.files import EXTENSIONS


@dataclass(frozen=True)
class Split:
    """Which images are for validation: one of three ways, none of them random.

    Neighbouring frames of a video are nearly the same image. Drawn at random, validation images would have twins in
    training, and scores would say little.

    Attributes:
        val_list: file of names, a line each, with or without folders and extension.
        train_list: beside it, the same for training; images on neither list are left out. None: all others train.
        val_folder: images below a folder of this name.
        val_share: of every folder, the last images in natural order.
    """

    val_list: Path | None = None
    train_list: Path | None = None
    val_folder: str | None = None
    val_share: float | None = None

    def __post_init__(self):
        ways = [self.val_list, self.val_folder, self.val_share]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give one of --val-list, --val-folder and --val-share")
        if self.train_list is not None and self.val_list is None:
            raise ValueError("--train-list needs --val-list beside it")
        if self.val_share is not None and not 0 < self.val_share < 1:
            raise ValueError(f"--val-share {self.val_share:g}: a share between 0 and 1 is needed")

    def of(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Names for training and for validation.

        Raises:
            FileNotFoundError: no such list.
            ValueError: a line of a list that is no image, an image on both lists, or a split without images.
        """
        if self.val_list is not None:
            val = _listed(self.val_list, names)
            train = _listed(self.train_list, names) if self.train_list else _others(names, val)
            if both := set(train) & set(val):
                raise ValueError(f"{self.train_list} and {self.val_list} both list {min(both)}")
        elif self.val_folder is not None:
            val = [name for name in names if self.val_folder in PurePosixPath(name).parts[:-1]]
            train = _others(names, val)
        else:
            val = self._last(names)
            train = _others(names, val)
        if not train or not val:
            raise ValueError(
                f"{self.words()}: {counted(len(train), 'image')} for training and {len(val)} for validation"
            )
        return train, val

    def words(self) -> str:
        """For `dataset.json`."""
        if self.val_list is not None:
            return f"by list: {self.val_list.name}" + (f", {self.train_list.name}" if self.train_list else "")
        if self.val_folder is not None:
            return f"by folder: {self.val_folder}"
        return f"the last {100 * self._share:g} % of every folder, in the order of names"

    @property
    def _share(self) -> float:
        return 0.2 if self.val_share is None else self.val_share

    def _last(self, names: Sequence[str]) -> list[str]:
        folders: dict[PurePosixPath, list[str]] = {}
        for name in names:
            folders.setdefault(PurePosixPath(name).parent, []).append(name)
        return [n for inside in folders.values() for n in inside[len(inside) - round(self._share * len(inside)) :]]


def _others(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    out = set(taken)
    return [name for name in names if name not in out]


def _listed(path: Path, names: Sequence[str]) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it names images, one a line")
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(PurePosixPath(name).name, []).append(name)
    known = set(names)
    found: dict[str, None] = {}
    for line in (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()):
        if not line:
            continue
        entry = PurePosixPath(line)
        bare = entry.with_suffix("") if entry.suffix.lower() in EXTENSIONS else entry
        candidates = [bare.as_posix()] if bare.as_posix() in known else by_stem.get(bare.name, [])
        if len(candidates) != 1:
            what = "no labeled image has this name" if not candidates else f"it may be {' or '.join(candidates[:2])}"
            raise ValueError(f"{path}: line {line!r}: {what}")
        found[candidates[0]] = None
    return list(found)
