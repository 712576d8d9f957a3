"""NYU Depth v2: the 1449 labeled images from nyu_depth_v2_labeled.mat and splits.mat, in mmseg's layout.

OUT/images/{train,test}/SCENE_NNNN.{jpg,png}        480 × 640
OUT/annotations/{train,test}/SCENE_NNNN.png         uint16 millimetres, 0 = invalid
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image

from vssl.compat import file_digest
from vssl.data_folders import found_in
from vssl.datasets.label_checks import DepthValues, depth_counts
from vssl.datasets.matlab import read_mat
from vssl.datasets.prepare.writing import ContentHash, begin, finish, write_whole
from vssl.progress import track

MAT, SPLITS_MAT = "nyu_depth_v2_labeled.mat", "splits.mat"
DEPTHS = {"raw": "rawDepths", "filled": "depths"}
JPEG = dict(format="JPEG", quality=95, subsampling=0)
HEIGHT, WIDTH = 480, 640
FARTHEST = 15.0  # metres; the sensor ends at 10
LICENCE = "no licence file; made available for research, cite Silberman et al., ECCV 2012"
CACHE = 64 << 20  # bytes; holds a row of MATLAB's chunks, which may span several images


@dataclass(frozen=True)
class NYUv2Release:
    """Images per split of the published set."""

    counts: Mapping[str, int] = field(default_factory=lambda: {"train": 795, "test": 654})


def prepare_nyuv2(
    source: str | Path,
    out: str | Path,
    depth: str = "raw",
    image_format: str = "jpg",
    release: NYUv2Release | None = None,
) -> Path:
    """Writes images and depth one by one, in constant memory; returns the path of `dataset.json`.

    Args:
        source: folder with both .mat files.
        depth: ``"raw"`` (as measured, with holes; what the usual test set holds) or ``"filled"`` (inpainted by the
            authors). It changes RMSE.
        image_format: ``"jpg"`` (quality 95; what mmseg's `NYUDataset` looks for) or ``"png"`` (lossless).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: not MATLAB v7.3, arrays of another shape or type, wrong splits, depth that is not in metres.
        FileExistsError: see `begin`.
    """
    source, out, release = Path(source), Path(out), release or NYUv2Release()
    if depth not in DEPTHS or image_format not in ("jpg", "png"):
        raise ValueError(f"depth {depth!r}, image_format {image_format!r}: expected raw or filled, jpg or png")
    for name in (MAT, SPLITS_MAT):
        if not (source / name).is_file():
            raise FileNotFoundError(f"{source}: no {name} (found: {found_in(source)})")
    with _open(source / MAT) as mat:
        images, depths, scenes = _arrays(mat, source / MAT, DEPTHS[depth])
        splits = read_splits(source / SPLITS_MAT, len(images), release.counts)
        options = {"depth": depth, "image_format": image_format, "source_bytes": (source / MAT).stat().st_size}
        if begin(out, options, ("images", "annotations")):
            hashes, found = {}, DepthValues()
            for split, numbers in splits.items():
                contents = ContentHash()
                for number in track(numbers, split, "images"):
                    name = f"{split}/{scenes(number - 1)}_{number:04d}"
                    millimetres = to_millimetres(depths[number - 1].T, f"{MAT}, image {number}")
                    found.add(depth_counts(millimetres))
                    contents.add(name, millimetres.tobytes())
                    _write(out / f"annotations/{name}.png", millimetres)
                    _write(out / f"images/{name}.{image_format}", images[number - 1].transpose(2, 1, 0))
                hashes[f"depth/{split}_sha256"] = contents.hexdigest()
            found.check(f"{MAT}, {DEPTHS[depth]} × 1000", FARTHEST)
            _finish(out, source, options, splits, hashes, found)
    return out / "dataset.json"


def _finish(out: Path, source: Path, options: dict, splits: dict, hashes: dict, found: DepthValues) -> None:
    finish(
        out,
        options,
        files=[f"{kind}/{split}" for kind in ("images", "annotations") for split in splits],
        name="NYU Depth v2, labeled",
        source=MAT,
        depth=options["depth"],
        counts={split: len(numbers) for split, numbers in splits.items()},
        **found.about(),
        labels="z-depth, uint16 PNG, millimetres, 0 = invalid",
        hashes={"mat_sha256": file_digest(source / MAT), "splits_sha256": file_digest(source / SPLITS_MAT), **hashes},
        licence=LICENCE,
    )


def to_millimetres(metres: Float[np.ndarray, "H W"], where: str) -> UInt16[np.ndarray, "H W"]:
    """Rounded to whole millimetres; what is not positive and finite becomes 0 = invalid.

    Raises:
        ValueError: depth of 65.535 m or more: the unit is not metres.
    """
    valid = np.isfinite(metres) & (metres > 0)
    millimetres = np.rint(np.where(valid, metres, 0) * 1000.0)
    if millimetres.max() > 65535:
        raise ValueError(f"{where}: depth {millimetres.max() / 1000:g}, expected metres, at most {FARTHEST:g}")
    return millimetres.astype(np.uint16)


def read_splits(path: Path, images: int, counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Image numbers of the splits, from 1 as MATLAB counts.

    Raises:
        ValueError: numbers from 0, outside 1..images, in both splits, or not as many as published.
    """
    content = read_mat(path, ("trainNdxs", "testNdxs"))
    splits = {split: sorted(content[f"{split}Ndxs"].astype(int).ravel().tolist()) for split in ("train", "test")}
    numbers = splits["train"] + splits["test"]
    if min(numbers) < 1 or max(numbers) > images or len(set(numbers)) != len(numbers):
        raise ValueError(
            f"{path}: image numbers {min(numbers)}..{max(numbers)}, {len(numbers) - len(set(numbers))} of them twice; "
            f"expected numbers in 1..{images} (MATLAB counts from 1), each once"
        )
    sizes = {split: len(part) for split, part in splits.items()}
    if sizes != dict(counts):
        raise ValueError(f"{path}: {sizes} images per split, expected {dict(counts)}")
    return splits


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", rdcc_nbytes=CACHE)
    except OSError as error:
        raise ValueError(f"{path}: not a whole MATLAB v7.3 (HDF5) file ({error}). Download it again") from error


def _arrays(mat: h5py.File, path: Path, depth_key: str):
    """The image and depth arrays, unread, and a function from index to scene name.

    HDF5 shows MATLAB's arrays with their axes reversed: H×W×3×N is (N, 3, W, H).
    """
    for key in ("images", depth_key, "scenes"):
        if key not in mat:
            raise ValueError(f"{path}: no array '{key}' in it (found: {', '.join(k for k in mat if k[0] != '#')})")
    images, depths, names = mat["images"], mat[depth_key], mat["scenes"]
    count = images.shape[0]
    expected = {"images": (count, 3, WIDTH, HEIGHT), depth_key: (count, WIDTH, HEIGHT)}
    for key, shape in expected.items():
        if mat[key].shape != shape:
            raise ValueError(f"{path}: '{key}' has shape {mat[key].shape}, expected {shape} (MATLAB's axes, reversed)")
    if images.dtype != np.uint8 or depths.dtype.kind != "f":
        raise ValueError(f"{path}: images are {images.dtype} and {depth_key} {depths.dtype}, expected uint8 and floats")

    def scene(index: int) -> str:
        # a cell array: references to strings of UTF-16 code units
        name = "".join(map(chr, np.ravel(mat[names[0, index]])))
        if not name.replace("_", "").isalnum():
            raise ValueError(f"{path}: scene name {name!r} of image {index + 1}, expected letters, digits and _")
        return name

    return images, depths, scene


def _write(path: Path, pixels: UInt8[np.ndarray, "H W 3"] | UInt16[np.ndarray, "H W"]) -> None:
    if path.exists():
        return
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, **(JPEG if path.suffix == ".jpg" else dict(format="PNG")))
    write_whole(path, file.getvalue())
