"""What a whole set of label files shows that one file cannot: labels shifted beforehand, depth in another unit.

The values are those in the files, before anything is subtracted or scaled.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from vssl.datasets.files import read_labels, read_millimetres
from vssl.datasets.threads import in_threads

IGNORE = 255  # label of pixels that count in no loss and no score
SHIFTED = (
    "Files hold 0 = unlabeled and 1..{classes}; 1 is subtracted once, when they are read. Take them as published "
    "(tools/prepare_data.py ade20k)"
)
MILLIMETRES = "Write them again as uint16 PNG: round(1000 × metres), 0 = invalid"


def check_class_labels(paths: Sequence[Path], classes: int) -> None:
    """Reads every annotation file and refuses a set that cannot be 0 = unlabeled, 1..`classes`.

    Raises:
        UnreadableImage: a file is broken or not 8 bits in one channel.
        FileNotFoundError: a file is missing.
        ValueError: a value that is no class, or labels that were shifted beforehand.
    """
    found = ClassValues()
    for path, values in zip(paths, in_threads(lambda p: present_values(read_labels(p)), paths), strict=True):
        found.add(values, path)
    found.check(classes)


def check_depth_labels(paths: Sequence[Path]) -> "DepthValues":
    """Reads every depth file and refuses a set without valid depth, in metres, or in centimetres; returns the values.

    Raises:
        UnreadableImage: a file is broken or not 16 bits in one channel.
        FileNotFoundError: a file is missing.
        ValueError: see `DepthValues.check`.
    """
    found = DepthValues()
    for counts in in_threads(lambda p: depth_counts(read_millimetres(p)), paths):
        found.add(counts)
    found.check(f"{Path(paths[0]).parent}")
    return found


def present_values(labels: UInt8[np.ndarray, "H W"]) -> list[int]:
    """The values of one annotation, ascending."""
    return np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()


def depth_counts(millimetres: Integer[np.ndarray, "H W"]) -> Integer[np.ndarray, "65536"]:
    """How many pixels of one depth image have which value."""
    return np.bincount(np.clip(millimetres.ravel(), 0, 2**16 - 1), minlength=2**16)


class ClassValues:
    """The label values of a set of annotation files, each with the first file that holds it."""

    def __init__(self):
        self.first: dict[int, Path] = {}

    def add(self, values: Sequence[int], path: Path) -> None:
        for value in values:
            self.first.setdefault(value, path)

    def check_range(self, classes: int) -> None:
        """Raises ValueError for a value that is neither 0 = unlabeled nor 1..`classes` nor 255 = ignored."""
        outside = sorted(value for value in self.first if classes < value < IGNORE)
        if outside:
            raise ValueError(
                f"{self.first[outside[0]]}: label {outside[0]}, but there are {classes} classes. Files hold "
                f"0 = unlabeled and 1..{classes}"
            )

    def check(self, classes: int, whole: bool = False) -> None:
        """Raises ValueError when the files cannot be 0 = unlabeled, 1..`classes`.

        One file cannot show that 1 was subtracted beforehand, a set can: 0 (now the first class) and 255 (now
        unlabeled) both occur, and the last class never does. 255 as a second kind of "unlabeled" is fine otherwise.

        Args:
            whole: the files are a whole published training split, in which every class occurs.
        """
        self.check_range(classes)
        if classes in self.first:
            return
        if {0, IGNORE} <= self.first.keys():
            raise ValueError(
                f"{self.first[IGNORE]}: these labels were shifted beforehand: the {self._files()} hold 0 and 255, and "
                f"never {classes}. {SHIFTED.format(classes=classes)}. If 255 marks ignored pixels of your own data, "
                "write 0 there"
            )
        if whole:
            raise ValueError(
                f"these labels were shifted beforehand, or files are missing: the {self._files()} never hold "
                f"{classes}, the last class. {SHIFTED.format(classes=classes)}"
            )

    def _files(self) -> str:
        folders = {str(Path(path).parent) for path in self.first.values()}
        return f"annotations in {folders.pop()}" if len(folders) == 1 else "annotations"


class DepthValues:
    """How often each value occurs in a set of depth files."""

    def __init__(self):
        self.counts, self.files, self.without = np.zeros(2**16, np.int64), 0, 0

    def add(self, counts: Integer[np.ndarray, "65536"]) -> None:
        self.counts += counts
        self.files += 1
        self.without += not counts[1:].any()

    def nearest_and_farthest(self) -> tuple[int, int]:
        """Values that 1 % of the valid pixels lie below, and 0.1 % above: single wrong pixels do not count."""
        below = self.counts[1:].cumsum()
        return tuple(int(np.searchsorted(below, share * below[-1])) + 1 for share in (0.01, 0.999))

    def check_metres(self, where: str, low: float, high: float, per_metre: float = 1000) -> None:
        """Says how many valid pixels lie outside [low, high] metres, which count in no loss and no score.

        More than a twentieth is a warning: sensors leave some, a wrong unit many.

        Args:
            per_metre: steps of the values in one metre; 1000 for millimetres.

        Raises:
            ValueError: more than half.
        """
        values = np.arange(len(self.counts)) / per_metre
        outside = self.counts[1:][(values[1:] < low) | (values[1:] > high)].sum() / max(self.counts[1:].sum(), 1)
        near, far = (value / per_metre for value in self.nearest_and_farthest())
        found = (
            f"{where}: {100 * outside:.0f} % of the valid pixels lie outside {low:g} to {high:g} m; with {per_metre:g} "
            f"steps a metre they range from {near:g} to {far:g} m"
        )
        if outside > 0.5:
            raise ValueError(f"{found}. Either the unit is another, or min_depth and max_depth are. {MILLIMETRES}")
        if outside > 0.05:
            warnings.warn(f"{found}; they do not count", stacklevel=2)

    def check(self, where: str, farthest: float | None = None) -> None:
        """Raises ValueError when the values cannot be millimetres.

        A set whose farthest surface would lie within 10 cm holds metres. One whose farthest would lie within 1.1 m
        and nearest within 25 cm holds centimetres (rooms: 0.7 to 10 m); pictures of a table top pass.

        Args:
            where: names the set.
            farthest: metres that no surface lies beyond; None for any.
        """
        if not self.counts[1:].any():
            raise ValueError(f"{where}: no valid depth in any of {self.files} files (0 = invalid)")
        near, far = self.nearest_and_farthest()
        read = f"{where}: as millimetres the depth would range from {near / 1000:g} to {far / 1000:g} m"
        if far <= 100:
            raise ValueError(f"{read}; the files hold metres (values {near} to {far}). {MILLIMETRES}")
        if far <= 1100 and near < 250:
            raise ValueError(f"{read}; values {near} to {far} fit centimetres, not rooms in millimetres. {MILLIMETRES}")
        if farthest is not None and far > 1000 * farthest:
            raise ValueError(f"{read}, expected at most {farthest:g} m; the unit is not millimetres. {MILLIMETRES}")
