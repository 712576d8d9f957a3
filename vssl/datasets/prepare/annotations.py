"""Anyone's masks and depth files, read into what the layouts hold.

Masks become 0 = unlabeled, 1.. = classes (8 bit), depth becomes millimetres, 0 = invalid (16 bit).
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from vssl.counts import counted
from vssl.datasets.conventions import IGNORE
from vssl.datasets.files import UnreadableImage, opened
from vssl.datasets.threads import in_threads
from vssl.progress import track

MOST = 254  # classes that an 8-bit file can number beside 0 = unlabeled and 255 = ignored
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassList:
    """Class names in the order of their numbers, with colours if masks show them in colours.

    Attributes:
        ignored: names, and numbers in masks, of what counts as unlabeled.
    """

    path: Path
    names: Sequence[str]
    colours: Sequence[Colour] | None = None
    ignored: Sequence[str] = ()

    def __post_init__(self):
        if twice := next((name for name in self.names if list(self.names).count(name) > 1), None):
            raise ValueError(f"{self.path}: class {twice!r} twice")
        unknown = [entry for entry in self.ignored if not entry.isdecimal() and entry not in self.names]
        if unknown:
            raise ValueError(
                f"--ignore {unknown[0]}: neither a number nor a class of {self.path} ({', '.join(self.names)})"
            )
        if not 1 <= len(self.kept) <= MOST:
            raise ValueError(f"{self.path}: {len(self.kept)} classes, expected 1 to {MOST}")

    @property
    def kept(self) -> list[str]:
        return [name for name in self.names if name not in self.ignored]

    def number(self, name: str) -> int:
        """In the files that are written: from 1, 0 for an ignored class."""
        return self.kept.index(name) + 1 if name in self.kept else 0


def read_classes(path: Path, ignored: Sequence[str] = ()) -> ClassList:
    """A line a class: ``NAME``, ``NAME R G B``, ``R G B NAME`` or ``NAME #RRGGBB``, with spaces, tabs or commas.

    Empty lines are left out, and so is a header whose words are name, r, g, b.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no class, some lines with and some without a colour, a name or a colour twice, or an ignored name
            that is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it holds one class name a line, in the order of their numbers")
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    header = {"name", "class", "r", "g", "b", "red", "green", "blue"}
    if lines and len(words := re.split(r"[\s,;]+", lines[0].strip().lower())) > 1 and set(words) <= header:
        lines = lines[1:]
    read = [_class_line(line) for line in lines]
    colours = [colour for _, colour in read]
    if any(colours) and not all(colours):
        odd = next(line for line, colour in zip(lines, colours, strict=True) if not colour)
        raise ValueError(f"{path}: line {odd.strip()!r} has no colour, others have")
    if any(colours) and len(set(colours)) < len(colours):
        twice = next(colour for colour in colours if colours.count(colour) > 1)
        raise ValueError(f"{path}: colour {twice} twice; two classes of one colour cannot be told apart")
    return ClassList(path, [name for name, _ in read], colours if any(colours) else None, ignored)


_RGB = r"(?P<r>\d{1,3})[\s,;]+(?P<g>\d{1,3})[\s,;]+(?P<b>\d{1,3})"
_COLOURED = (rf"(?P<name>.+?)[\s,;]+{_RGB}", rf"{_RGB}[\s,;]+(?P<name>.+)")


def _class_line(line: str) -> tuple[str, Colour | None]:
    line = line.strip()
    if found := re.fullmatch(r"(.+?)[\s,;]+#([0-9a-fA-F]{6})", line):
        red, green, blue = bytes.fromhex(found[2])
        return found[1], (red, green, blue)
    for pattern in _COLOURED:
        if found := re.fullmatch(pattern, line):
            red, green, blue = (int(found[channel]) for channel in "rgb")
            if max(red, green, blue) < 256:
                return found["name"], (red, green, blue)
    return line, None


class ColourMasks:
    """Masks that show classes in colours: RGB, or a palette that holds them."""

    def __init__(self, classes: ClassList):
        self.classes = classes
        self._number = np.full(2**24, IGNORE, np.uint8)
        for name, colour in zip(classes.names, classes.colours, strict=True):
            self._number[_packed(np.array([[colour]], np.uint8))[0, 0]] = classes.number(name)

    def read(self, path: Path) -> UInt8[np.ndarray, "H W"]:
        """Raises UnreadableImage for a broken file, ValueError for a colour that is no class."""
        with opened(path) as image:
            if image.mode not in ("RGB", "RGBA", "P"):
                raise UnreadableImage(
                    f"{path}: a mask of mode {image.mode}, but {self.classes.path} gives colours. Leave them out there "
                    "if masks hold class numbers"
                )
            pixels = np.asarray(image.convert("RGB"))
        labels = self._number[_packed(pixels)]
        if (wrong := labels == IGNORE).any():
            colour, count = tuple(int(v) for v in pixels[wrong][0]), int(wrong.sum())
            lossy = ". JPEG changes colours; masks must be lossless" if path.suffix.lower() in (".jpg", ".jpeg") else ""
            raise ValueError(
                f"{path}: colour {colour} in {counted(count, 'pixel')}, which {self.classes.path} does not list"
                f"{lossy}. Add a line for it; with --ignore NAME it counts as unlabeled"
            )
        return labels


def _packed(rgb: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
    return (rgb.astype(np.int32) * (65536, 256, 1)).sum(axis=-1)


class NumberMasks:
    """Masks that hold class numbers: one channel, or a palette's indices. 255 is ignored.

    Args:
        paths: all masks; every one is read once, so that what their numbers mean is known before anything is written.
        first: the number of the first class, 0 or 1. None: what the numbers show; ValueError when they do not.
    """

    def __init__(self, classes: ClassList, paths: Sequence[Path], first: int | None = None):
        ignored = {IGNORE, *(int(entry) for entry in classes.ignored if entry.isdecimal())}
        where: dict[int, Path] = {}
        values = track(in_threads(lambda path: np.unique(_numbers(path)).tolist(), paths), "masks", "files", len(paths))
        for path, found in zip(paths, values, strict=True):
            for value in found:
                where.setdefault(value, path)
        count, used = len(classes.names), sorted(where.keys() - ignored)
        self.first = _first(used, count, IGNORE in where, classes.path) if first is None else first
        allowed = set(range(self.first, self.first + count)) | ({0} if self.first else set())
        if wrong := [value for value in used if value not in allowed]:
            raise ValueError(
                f"{where[wrong[0]]}: number {wrong[0]}, but {classes.path} has {count} classes, {self.first} to "
                f"{self.first + count - 1}. If it marks unlabeled pixels, give --ignore {wrong[0]}"
            )
        self._number = np.zeros(2**16, np.uint8)
        for place, name in enumerate(classes.names):
            if self.first + place not in ignored:
                self._number[self.first + place] = classes.number(name)

    def read(self, path: Path) -> UInt8[np.ndarray, "H W"]:
        return self._number[_numbers(path)]


def _first(used: Sequence[int], count: int, has_255: bool, path: Path) -> int:
    """What number the first class has, as far as the numbers in use show it."""
    largest = max(used, default=0)
    if largest == count:
        return 1  # the last class of those that start at 1
    if largest == count - 1 and 0 in used and has_255:
        return 0  # what is ignored has a number of its own, so that 0 is a class
    if beyond := [value for value in used if value > count]:
        raise ValueError(
            f"masks hold the number {largest}, but {path} has {count} classes: add the names that are missing, or, for "
            f"what marks unlabeled pixels, give --ignore {' '.join(map(str, beyond))}"
        )
    raise ValueError(
        f"masks hold the numbers {used[0] if used else 'none'} to {largest} and {path} has {count} classes: nothing "
        "shows whether 0 is the first class or 'unlabeled'. Give --first-class 0 or --first-class 1"
    )


def _numbers(path: Path) -> np.ndarray:
    """Whole numbers of one channel, (H, W). Raises UnreadableImage."""
    with opened(path) as image:
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
            raise UnreadableImage(
                f"{path}: a mask of mode {image.mode}, expected class numbers in one channel. If it shows classes in "
                "colours, give each class its colour in --classes: NAME R G B"
            )
        numbers = np.asarray(image).astype(np.int64)
    if numbers.min() < 0 or numbers.max() > 65535:
        raise UnreadableImage(f"{path}: numbers {numbers.min()} to {numbers.max()}, expected 0 to 65535")
    return numbers


@dataclass(frozen=True)
class DepthFiles:
    """Depth images of one channel, or .npy arrays.

    Attributes:
        scale: value of one metre: 1000 for millimetres, 1 for metres, 5000 in TUM's files, 256 in KITTI's.
        invalid: values that mean "unknown", beside 0, negative and not finite ones.
    """

    scale: float
    invalid: Sequence[float] = ()

    def __post_init__(self):
        if not self.scale > 0:
            raise ValueError(
                f"--depth-scale {self.scale:g}: the value of one metre is needed, e.g. 1000 for millimetres"
            )

    def read(self, path: Path) -> UInt16[np.ndarray, "H W"]:
        """Millimetres, 0 = invalid.

        Raises:
            UnreadableImage: broken, or of several channels.
            ValueError: depth of 65.535 m or more.
        """
        values = self._values(path).astype(np.float64)
        values[np.isin(values, list(self.invalid)) | ~np.isfinite(values) | (values < 0)] = 0
        millimetres = np.rint(1000 * values / self.scale)
        if millimetres.max(initial=0) > 65535:
            raise ValueError(
                f"{path}: depth up to {millimetres.max() / 1000:g} m with --depth-scale {self.scale:g}, more than 16 "
                f"bits of millimetres hold (65.535 m). Is the scale right? If {values.max():g} means 'unknown', give "
                f"--depth-invalid {values.max():g}"
            )
        return millimetres.astype(np.uint16)

    def _values(self, path: Path) -> np.ndarray:
        if path.suffix.lower() == ".npy":
            try:
                values = np.load(path)
            except (ValueError, EOFError) as error:
                raise UnreadableImage(f"{path}: not a readable array ({error})") from error
            if values.ndim != 2 or values.dtype.kind not in "fiu":
                raise UnreadableImage(
                    f"{path}: {values.dtype} of shape {values.shape}, expected numbers of shape (H, W)"
                )
            return values
        with opened(path) as image:
            if image.mode not in ("L", "F") and not image.mode.startswith("I"):
                raise UnreadableImage(f"{path}: a depth image of mode {image.mode}, expected one channel of numbers")
            return np.asarray(image)


def encoded(annotation: UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"]) -> bytes:
    """As PNG."""
    file = io.BytesIO()
    Image.fromarray(annotation).save(file, format="PNG")
    return file.getvalue()
