"""Image files: finding them, decoding them, and saying clearly what is wrong with one."""

import io
import os
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff")  # in capitals too

# Pixels of the largest image that is decoded. Pillow itself warns above its own limit and refuses at twice that.
_LIMIT = os.environ.get("VSSL_MAX_PIXELS", str(2**28))
if not _LIMIT.isdecimal():
    raise ValueError(f"environment variable VSSL_MAX_PIXELS={_LIMIT!r}: give a whole number of pixels")
Image.MAX_IMAGE_PIXELS = MAX_PIXELS = int(_LIMIT)
# From Pillow's names of modes to what a pixel is; what is not here cannot be read as 8-bit RGB without guessing.
_EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
# What lies beside images in folders of images, and is nobody's picture.
_NOT_IMAGES = (".csv", ".html", ".idx", ".json", ".jsonl", ".mat", ".md", ".npy", ".npz", ".pdf", ".tar", ".txt",
               ".xml", ".yaml", ".yml", ".zip")  # fmt: skip
# What Pillow raises for files whose content is wrong.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class DataWarning(UserWarning):
    """Data is used as it is, and may not be what was meant. A run keeps what was said in ``run.json``."""


class SkippedImage(DataWarning):
    """One of many unlabeled images cannot be read. ``bad_files.txt`` keeps each, ``run.json`` their number."""


class UnreadableImage(ValueError):
    """A file that exists and is not a whole, decodable image."""


def image_paths(root: Path) -> Iterator[str]:
    """Paths of all images below `root`, relative to it, sorted by folder and name; links are followed.

    Hidden files and folders are left out without a word (``.ipynb_checkpoints``, ``._x.jpg``). At the end one warning
    counts what else was left out: files of other kinds, links that lead nowhere, links back to a folder above.
    """
    left_out: Counter[str] = Counter()
    real = Path(os.path.realpath(root))
    yield from _walk(os.fspath(root), "", tuple(map(str, (real, *real.parents))), left_out)
    if left_out:
        listed = ", ".join(f"{what} ({count})" for what, count in left_out.most_common())
        warnings.warn(f"{root}: left out {listed}; images are {', '.join(EXTENSIONS)}", DataWarning, 2)


def _walk(folder: str, relative: str, above: tuple[str, ...], left_out: Counter) -> Iterator[str]:
    entries = sorted((entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=lambda e: e.name)
    for entry in entries:
        if entry.is_dir():
            continue
        extension = os.path.splitext(entry.name)[1].lower()
        if entry.is_symlink() and not os.path.exists(entry.path):
            left_out["links that lead nowhere"] += 1
        elif extension in EXTENSIONS:
            yield os.path.join(relative, entry.name)
        elif extension not in _NOT_IMAGES:
            left_out[extension or "files without an extension"] += 1
    for entry in entries:
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            if real in above:
                left_out["links back to a folder above"] += 1
            else:
                yield from _walk(entry.path, os.path.join(relative, entry.name), (*above, real), left_out)


def label_files(
    names: Sequence[str], images: Path, labels: Path, stem: Callable[[str], str], ending: str = ".png"
) -> list[Path]:
    """The label file of each image: `stem` of its name, and `ending`, in the folder `labels`.

    Raises:
        ValueError: two images, ``a.jpg`` and ``a.png``, would have the same label file.
        FileNotFoundError: an image has none.
    """
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(stem(name), name)) != name:
            raise ValueError(f"{images}: {other} and {name} would have the same label; remove or rename one of them")
    files = [labels / (stem(name) + ending) for name in names]
    missing = [(name, file) for name, file in zip(names, files, strict=True) if not file.is_file()]
    if missing:
        name, file = missing[0]
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} images in {images} have no label, e.g. {name} needs {file}"
        )
    return files


def read_image(path: Path, size: int | None = None, content: bytes | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Decodes an image to RGB, upright: the one decoder of training, feedback and probes.

    | in the file | here |
    |---|---|
    | 8 bits a channel, a palette, 1 bit; grey, RGB, CMYK, … | converted to RGB; transparency is dropped |
    | 16-bit grey | divided by 257, so that 0..65535 becomes 0..255 |
    | 32-bit integers, floating point | refused: nothing says which value is white |
    | an orientation (EXIF, as phones write it) | applied |

    Pillow rather than OpenCV or torchvision: it raises on truncated files (OpenCV fills the rest with grey), its
    resampling is antialiased, and it can decode a large JPEG at 1/2, 1/4 or 1/8 (3 times faster on ImageNet's sizes).

    Args:
        size: resize the short side to `size` pixels and crop the middle `size` × `size`, bicubic; None keeps all.
        content: the file's bytes where they do not lie under `path`, which then only names it (a member of an archive).

    Raises:
        UnreadableImage: the content is broken, of a kind that is refused, or has more than `MAX_PIXELS` pixels.
        OSError: the file could not be read (missing, no permission, disk or network).
    """
    with opened(path, content) as image:
        if size is not None:
            # Twice the size, so that what is left to resize still averages over real pixels. JPEG only, else no effect.
            image.draft("RGB", (2 * size, 2 * size))
        rgb = _eight_bit_rgb(ImageOps.exif_transpose(image), path)
        if size is None:
            return np.asarray(rgb)
        side = min(rgb.size)
        left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _eight_bit_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode in _EIGHT_BITS:
        return image.convert("RGB")
    if image.mode.startswith("I"):  # "I;16" and its byte orders; older Pillow opens 16-bit PNG as 32-bit "I"
        values = np.asarray(image)
        if image.mode != "I" or (image.format in ("PNG", None) and values.min() >= 0 and values.max() < 2**16):
            return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    raise UnreadableImage(
        f"{path}: pixels of mode {image.mode}, and nothing says which value is white. Write it again with 8 or 16 bits "
        "a channel"
    )


def read_labels(path: Path, content: bytes | None = None) -> UInt8[np.ndarray, "H W"]:
    """Decodes an 8-bit annotation (grey or palette). `content`: see `read_image`.

    Raises:
        UnreadableImage: broken, or not 8 bits in one channel.
    """
    with opened(path, content) as image:
        if image.mode not in ("L", "P"):
            raise UnreadableImage(
                f"{path}: expected 8-bit labels in one channel, got an image of mode {image.mode}. Write the numbers "
                "of the classes, not colours, as 8-bit PNG"
            )
        return np.asarray(image)


def read_depth(path: Path, content: bytes | None = None) -> np.ndarray:
    """Decodes a 16-bit depth image: (H, W) integers as in the file, 0 = invalid. `content`: see `read_image`.

    Raises:
        UnreadableImage: broken, or not 16 bits in one channel.
    """
    with opened(path, content) as image:
        if not image.mode.startswith("I"):
            raise UnreadableImage(
                f"{path}: expected 16-bit depth, got an image of mode {image.mode}. Depth scaled to 8 bits has lost "
                "its unit; write it again as uint16 PNG, in millimetres or in another depth_scale"
            )
        return np.asarray(image)


class opened:
    """Opens an image; turns what Pillow says about broken content into `UnreadableImage` with the file's name."""

    def __init__(self, path: Path, content: bytes | None = None):
        self.path, self.content = path, content
        self.image: Image.Image | None = None

    def __enter__(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                self.image = Image.open(self.path if self.content is None else io.BytesIO(self.content))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise UnreadableImage(
                f"{self.path}: {error}. Cut it into tiles, or set the environment variable VSSL_MAX_PIXELS"
            ) from error
        except _BROKEN as error:
            self._translate(error)
        return self.image

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.image.close()
        if isinstance(error, _BROKEN) and not isinstance(error, UnreadableImage):
            self._translate(error)

    def _translate(self, error: BaseException) -> NoReturn:
        # With an errno it is the system that failed, not the file.
        if isinstance(error, OSError) and error.errno is not None:
            raise error
        raise UnreadableImage(f"{self.path}: not a readable image ({error})") from error
