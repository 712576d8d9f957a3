"""What a whole set of label files shows that one file cannot: another convention of labels, depth in another unit.

The values are those in the files, before anything is subtracted or scaled. What they mean is in conventions.py. Where
nobody stated it, values that do not look like the default are refused or said, with the keys that read them.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from vssl.counts import counted
from vssl.datasets.conventions import IGNORE, KNOWN_SCALES, LABEL_VALUES, UNSTATED, Convention
from vssl.datasets.files import DataWarning, read_depth, read_labels
from vssl.datasets.threads import in_threads

PUBLISHED = (
    "Files hold 0 = unlabeled and 1..{classes}; 1 is subtracted once, when they are read. Take them as published "
    "(tools/prepare_data.py ade20k)"
)


# Borders are looked at from so many on, and at more than this share of them something must be wrong (`in_between`).
FEWEST_CHANGES, MOST_BETWEEN = 200, 0.15


def check_class_labels(
    paths: Sequence[Path], classes: int, values: Convention = UNSTATED["label_values"], names: Sequence[str] = ()
) -> "ClassValues":
    """Reads every annotation file and refuses a set that cannot be what `values` says; returns what it holds.

    Args:
        names: of the classes, where they are known.

    Raises:
        UnreadableImage: a file is broken or not 8 bits in one channel.
        FileNotFoundError: a file is missing.
        ValueError: see `ClassValues.check`.
    """

    def look(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
        labels = read_labels(path)
        return class_counts(labels), in_between(labels)

    found, pixels, changes = ClassValues(), 0, 0
    for path, (counts, (between, changed)) in zip(paths, in_threads(look, paths), strict=True):
        found.add(counts, path)
        pixels, changes = pixels + between, changes + changed
    found.check(classes, values, names)
    if changes >= FEWEST_CHANGES and pixels > MOST_BETWEEN * changes:
        warnings.warn(
            f"annotations in {Path(paths[0]).parent}: at {100 * pixels / changes:.0f} % of the borders lies a pixel "
            "whose class is between those on either side, as when label images are resized with interpolation. Classes "
            "that nobody drew are then learned there: resize labels with the nearest pixel. If classes really are one "
            "pixel wide there, all is well",
            DataWarning,
            stacklevel=2,
        )
    return found


def check_depth_labels(paths: Sequence[Path], scale: Convention = UNSTATED["depth_scale"]) -> "DepthValues":
    """Reads every depth file and refuses a set without valid depth, or in another unit; returns what it holds.

    Raises:
        UnreadableImage: a file is broken or not 16 bits in one channel.
        FileNotFoundError: a file is missing.
        ValueError: see `DepthValues.check`.
    """
    found = DepthValues(scale)
    for counts in in_threads(lambda p: depth_counts(read_depth(p)), paths):
        found.add(counts)
    found.check(f"{Path(paths[0]).parent}")
    return found


def class_counts(labels: UInt8[np.ndarray, "H W"]) -> Integer[np.ndarray, "256"]:
    """How many pixels of one annotation have which value."""
    return np.bincount(labels.ravel(), minlength=256)


def in_between(labels: UInt8[np.ndarray, "H W"]) -> tuple[int, int]:
    """Along rows: pixels whose value lies strictly between their neighbours' values, and changes of value.

    Interpolation makes such a pixel at most borders (37 to 62 % when masks of CamVid and NYUv2 are resized bilinearly
    by 0.5 to 2), drawing makes next to none (1.2 % at most).
    """
    left, middle, right = labels[:, :-2], labels[:, 1:-1], labels[:, 2:]
    between = ((left < middle) & (middle < right)) | ((left > middle) & (middle > right))
    return int(between.sum()), int((labels[:, 1:] != labels[:, :-1]).sum())


def depth_counts(depth: Integer[np.ndarray, "H W"]) -> Integer[np.ndarray, "65536"]:
    """How many pixels of one depth image have which value."""
    return np.bincount(np.clip(depth.ravel(), 0, 2**16 - 1), minlength=2**16)


class ClassValues:
    """The label values of a set of annotation files: how often each occurs, and the first file that holds it."""

    def __init__(self):
        self.counts, self.first = np.zeros(256, np.int64), {}

    def add(self, counts: Integer[np.ndarray, "256"], path: Path) -> None:
        self.counts += counts
        for value in np.flatnonzero(counts).tolist():
            self.first.setdefault(value, path)

    def check(self, classes: int, values: Convention = UNSTATED["label_values"], names: Sequence[str] = ()) -> None:
        """Refuses what `values` cannot be, and warns of what it may not be.

        Raises:
            ValueError: a value that is no class; nothing labeled, or one class alone; and, where nobody stated the
                convention, files that look like another: masks of 0 and 255, or 0 and 255 without the last class.
        """
        present, where = self.first.keys(), self._files()
        if names and len(names) != classes:
            warnings.warn(
                f"{where}: num_classes={classes}, but dataset.json lists {len(names)} classes",
                DataWarning,
                stacklevel=2,
            )
        if not values.stated and IGNORE in present <= {0, IGNORE}:
            raise ValueError(
                f"{where} hold 0 and 255 alone, as masks do. {_reads('0/255')} (num_classes=2)"
                if 0 in present
                else f"{where} hold 255 alone, which is ignored: nothing is labeled"
            )
        self.check_range(classes, values.value)
        shares = self.shares(classes, values.value)
        if not shares.any():
            other = f". {_reads('0..C-1')}, but then one class is all there is" if values.value == "1..C" else ""
            raise ValueError(f"{where} hold {_listed(present)} alone, which is unlabeled: nothing to learn from{other}")
        if (shares > 0).sum() == 1:
            only = int(shares.argmax())
            called = f"class {only}" + (f" ({names[only]})" if only < len(names) else "")
            raise ValueError(f"{where}: all labeled pixels are of {called}: nothing to tell apart")
        if not values.stated and classes not in present:
            self._check_unstated(classes, where)

    def _check_unstated(self, classes: int, where: str) -> None:
        """Labels that have no C may well count from 0."""
        most = max(value for value in self.first if value != IGNORE)
        if {0, IGNORE} <= self.first.keys():
            raise ValueError(
                f"{where} hold 0 to {most} and 255, and never {classes}, as labels that count from 0 do. "
                f'{_reads("0..C-1")}; or label_values="1..C", if 0 is unlabeled and class {classes} just does not occur'
            )
        text = f"{where}: the largest label is {most} of {classes} classes"
        if most < classes - 1 or 0 not in self.first:
            text += f"; num_classes={classes} may be too many"
        else:
            zero = 100 * self.counts[0] / self.counts.sum()
            text += f', and 0 is on {zero:.1f} % of the pixels. If 0 is a class, set label_values="0..C-1", else "1..C"'
        warnings.warn(text, DataWarning, stacklevel=3)

    def check_published(self, classes: int, whole: bool = False) -> None:
        """For files as their authors published them: 0 = unlabeled, 1..`classes`, and no 255.

        Args:
            whole: a whole training split, in which every class occurs.

        Raises:
            ValueError: a value that is no class, or labels that were shifted beforehand.
        """
        self.check_range(classes)
        if IGNORE in self.first or (whole and classes not in self.first):
            shown = "hold 255, which no published annotation does" if IGNORE in self.first else f"never hold {classes}"
            raise ValueError(
                f"{self.first.get(IGNORE, self._files())}: these labels were shifted beforehand, or files are missing: "
                f"they {shown}. {PUBLISHED.format(classes=classes)}"
            )

    def check_range(self, classes: int, values: str = "1..C") -> None:
        """Raises ValueError for a value that is neither a class of `classes` nor ignored, naming the first file."""
        if values == "0/255" and classes != 2:
            raise ValueError(f'label_values="0/255" is a mask of two classes, but num_classes={classes}')
        allowed = {"1..C": range(classes + 1), "0..C-1": range(classes), "0/255": (0,)}[values]
        outside = sorted(value for value in self.first if value != IGNORE and value not in allowed)
        if outside:
            other = f". {_reads('1..C')}" if values == "0..C-1" and outside == [classes] else ""
            raise ValueError(
                f"{self.first[outside[0]]}: label {outside[0]}, but there are {classes} classes, and "
                f'label_values="{values}" means {LABEL_VALUES[values]}{other}'
            )

    def shares(self, classes: int, values: str) -> np.ndarray:
        """The share of the labeled pixels that each class has, (classes,); zeros where nothing is labeled."""
        counts = self._of_classes(classes, values)
        return counts / max(counts.sum(), 1)

    def _of_classes(self, classes: int, values: str) -> np.ndarray:
        if values == "0/255":
            return self.counts[[0, IGNORE]]
        return self.counts[{"1..C": slice(1, classes + 1), "0..C-1": slice(classes)}[values]]

    def table(self, classes: int, values: str, names: Sequence[str] = (), most: int = 40) -> str:
        """One line for the log: share of each class among the labeled pixels, and of the unlabeled among all."""
        shares = self.shares(classes, values)
        called = [names[i] if i < len(names) else f"class {i}" for i in range(classes)]
        order = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > 0]
        parts = [f"{called[i]} {100 * shares[i]:.3g} %" for i in order[:most]]
        if rest := order[most:]:
            parts.append(f"and {counted(len(rest), 'class')} of at most {100 * shares[rest[0]]:.2g} %")
        never = [called[i] for i in range(classes) if shares[i] == 0]
        absent = f"; never: {', '.join(never[:most])}{' …' * (len(never) > most)}" if never else ""
        unlabeled = 100 * (1 - self._of_classes(classes, values).sum() / max(self.counts.sum(), 1))
        return f'label_values="{values}": {", ".join(parts)}{absent}; unlabeled {unlabeled:.3g} %'

    def _files(self) -> str:
        folders = {str(Path(path).parent) for path in self.first.values()}
        return f"annotations in {folders.pop()}" if len(folders) == 1 else "annotations"


def _reads(values: str) -> str:
    return f'label_values="{values}" reads them as {LABEL_VALUES[values]}'


def _listed(values: Sequence[int]) -> str:
    return " and ".join(str(value) for value in sorted(values)) or "nothing"


class DepthValues:
    """How often each value occurs in a set of depth files, and how many of them make a metre."""

    def __init__(self, scale: Convention = UNSTATED["depth_scale"]):
        self.counts, self.files, self.without, self.scale = np.zeros(2**16, np.int64), 0, 0, scale

    def add(self, counts: Integer[np.ndarray, "65536"]) -> None:
        self.counts += counts
        self.files += 1
        self.without += not counts[1:].any()

    def nearest_and_farthest(self) -> tuple[int, int]:
        """Values that 1 % of the valid pixels lie below, and 0.1 % above: single wrong pixels do not count."""
        return self.percentile(0.01), self.percentile(0.999)

    def percentile(self, share: float) -> int:
        """The value that this share of the valid pixels lies at or below."""
        below = self.counts[1:].cumsum()
        return int(np.searchsorted(below, share * below[-1])) + 1

    def table(self) -> str:
        """One line for the log: the range in metres, the scale that makes it, and what has no depth."""
        near, far = self._metres()
        invalid = 100 * self.counts[0] / max(self.counts.sum(), 1)
        middle = self.percentile(0.5) / self.scale.value
        return (
            f"depth_scale={self.scale.value:g} steps a metre: {near:.3g} to {far:.3g} m, median {middle:.3g} m; "
            f"{invalid:.3g} % of the pixels without depth"
        )

    def _metres(self) -> tuple[float, float]:
        nearest, farthest = self.nearest_and_farthest()
        return nearest / self.scale.value, farthest / self.scale.value

    def about(self) -> dict[str, Any]:
        """What `dataset.json` says of depth."""
        near, far = self._metres()
        return {
            "depth_scale": self.scale.value,
            "depth_range_m": [near, far],
            "invalid_share": round(float(self.counts[0] / self.counts.sum()), 5),
        }

    def check_metres(self, where: str, low: float, high: float) -> None:
        """Says how many valid pixels lie outside [low, high] metres, which count in no loss and no score.

        More than a twentieth is a warning: sensors leave some, a wrong unit many.

        Raises:
            ValueError: more than half.
        """
        metres = np.arange(1, len(self.counts)) / self.scale.value
        outside = self.counts[1:][(metres < low) | (metres > high)].sum() / max(self.counts[1:].sum(), 1)
        near, far = self._metres()
        found = (
            f"{where}: {100 * outside:.0f} % of the valid pixels lie outside {low:g} to {high:g} m; with "
            f"depth_scale={self.scale.value:g} they range from {near:.4g} to {far:.4g} m"
        )
        if outside > 0.5:
            raise ValueError(f"{found}. Set min_depth and max_depth, or {self._other_scales()}")
        if outside > 0.05:
            text = f"{found}; they do not count. If the unit is another, set depth_scale"
            warnings.warn(text, DataWarning, stacklevel=2)

    def check(self, where: str, farthest: float | None = None) -> None:
        """Refuses a set without valid depth, and values that are hardly millimetres where nobody stated the scale.

        Those are sets whose farthest surface would lie within 10 cm; or the farthest within 1.1 m and the nearest
        within 25 cm (rooms: 0.7 to 10 m). Pictures of a table top pass.

        Args:
            where: names the set.
            farthest: of a published set, metres that no surface lies beyond; None for any.

        Raises:
            ValueError: as above; the message says what other scales would make of the values.
        """
        if not self.counts[1:].any():
            raise ValueError(f"{where}: no valid depth in any of {self.files} files (0 = invalid)")
        near, far = self.nearest_and_farthest()
        read = (
            f"{where}: with depth_scale={self.scale.value:g} the depth would range from "
            f"{near / self.scale.value:.4g} to {far / self.scale.value:.4g} m (values {near} to {far})"
        )
        if not self.scale.stated and (far <= 100 or (far <= 1100 and near < 250)):
            fix = f"If that is not so, {self._other_scales()}; if it is, state depth_scale=1000"
            raise ValueError(f"{read}. {fix if farthest is None else 'These files are published in millimetres'}")
        if farthest is not None and far > self.scale.value * farthest:
            raise ValueError(f"{read}, expected at most {farthest:g} m; the unit is another")

    def _other_scales(self) -> str:
        near, far = self.nearest_and_farthest()
        made = (
            f"{scale} ({name}) makes {near / scale:.3g} to {far / scale:.3g} m"
            for scale, name in KNOWN_SCALES.items()
            if scale != self.scale.value
        )
        return f"set depth_scale, the steps of the values in a metre: {', '.join(made)}"
