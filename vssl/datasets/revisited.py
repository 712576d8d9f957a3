"""Revisited Oxford and Paris (Radenović et al., CVPR 2018): images, queries with boxes, and who matches whom.

ROOT/jpg/NAME.jpg
ROOT/gnd_roxford5k.mat or ROOT/gnd_rparis6k.mat

The .mat is read by scipy. The .pkl of the same name is never opened: unpickling runs whatever code the file holds.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from vssl.data_folders import found_in
from vssl.datasets.files import read_image
from vssl.datasets.matlab import read_mat

GRADES = ("easy", "hard", "junk")
Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels
Relevance = dict[str, Int64[np.ndarray, " images"]]


class RevisitedRetrieval:
    """A retrieval benchmark on disk.

    Attributes:
        name: ``"roxford5k"`` or ``"rparis6k"``.
        database: paths of the images that are searched, in the order that `ground_truth` counts.
        queries: (path, box) per query; only the box is searched for, see `query_image`.
        ground_truth: per query ``{"easy", "hard", "junk"}`` -> int64 indices into `database`, from 0, no image in two
            of them. Images in none are negatives. The easy, medium and hard protocols count as positive: easy / easy +
            hard / hard, and leave out: hard + junk / junk / easy + junk.

    Args:
        root: the folder.

    Raises:
        FileNotFoundError: no such folder, no ``gnd_*.mat``, or images missing.
        ValueError: the .mat is broken or does not hold what it should.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        file = ground_truth_file(self.root)
        names, query_names, boxes, self.ground_truth = read_ground_truth(file)
        self.name = file.stem.removeprefix("gnd_")
        self.database = [self.root / "jpg" / f"{name}.jpg" for name in names]
        paths = [self.root / "jpg" / f"{name}.jpg" for name in query_names]
        self.queries = list(zip(paths, boxes, strict=True))
        missing = [path for path in (*paths, *self.database) if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{self.root}: {len(missing)} of {len(paths) + len(names)} images are missing, e.g. {missing[0]}. "
                f"Run tools/prepare_data.py {self.name}"
            )

    def query_image(self, index: int) -> UInt8[np.ndarray, "H W 3"]:
        """A query, cropped to its box, edges rounded to whole pixels (as the benchmark's own code does with Pillow)."""
        path, box = self.queries[index]
        image = read_image(path)
        left, top, right, bottom = (round(edge) for edge in box)
        crop = image[max(top, 0) : bottom, max(left, 0) : right]
        if not crop.size:
            raise ValueError(f"{path}: box {box} lies outside its {image.shape[1]} × {image.shape[0]} pixels")
        return crop


def ground_truth_file(root: Path) -> Path:
    """The one ``gnd_*.mat`` in a folder."""
    files = sorted(root.glob("gnd_*.mat"))
    if len(files) == 1:
        return files[0]
    if len(files) > 1:
        raise ValueError(
            f"{root}: {', '.join(f.name for f in files)}; expected one gnd_*.mat, one folder per benchmark"
        )
    pickled = ". A pickle can run any code, so that it is not read; the same page has the .mat"
    hint = pickled if any(root.glob("gnd_*.pkl")) else ""
    raise FileNotFoundError(f"{root}: no gnd_roxford5k.mat or gnd_rparis6k.mat (found: {found_in(root)}){hint}")


def read_ground_truth(path: Path) -> tuple[list[str], list[str], list[Box], list[Relevance]]:
    """Database names, query names (both without extension), boxes, and relevance by database index, from 0.

    Raises:
        ValueError: not a MATLAB file, fields missing, or indices and boxes that cannot be.
    """
    content = read_mat(path, ("imlist", "qimlist", "gnd"))
    names, query_names = ([_text(cell) for cell in content[key].ravel()] for key in ("imlist", "qimlist"))
    records = content["gnd"].ravel()
    if records.dtype.names is None or (lacking := {"bbx", *GRADES} - set(records.dtype.names)):
        raise ValueError(f"{path}: gnd has no {', '.join(sorted(lacking)) if records.dtype.names else 'fields'}")
    if len(records) != len(query_names):
        raise ValueError(f"{path}: {len(query_names)} queries, but ground truth for {len(records)}")
    for name in (*names, *query_names):
        if Path(name).name != name:
            raise ValueError(f"{path}: image name {name!r} is not a plain file name")
    named = list(zip(query_names, records, strict=True))
    boxes = [_box(record["bbx"], f"{path}, query {name}") for name, record in named]
    return names, query_names, boxes, [_relevance(r, len(names), f"{path}, query {name}") for name, r in named]


def _text(cell: Any) -> str:
    return str(np.ravel(cell)[0])


def _box(field: Any, where: str) -> Box:
    box = np.asarray(field, dtype=np.float64).ravel()
    if box.shape != (4,) or not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"{where}: box {box.tolist()}, expected left < right and top < bottom")
    return tuple(box.tolist())


def _relevance(record: Any, images: int, where: str) -> Relevance:
    # MATLAB counts from 1 (the .pkl of the same name counts from 0)
    relevance = {grade: np.asarray(record[grade]).ravel().astype(np.int64) - 1 for grade in GRADES}
    every = np.concatenate(list(relevance.values()))
    if len(every) and not 0 <= every.min() <= every.max() < images:
        raise ValueError(f"{where}: image numbers {every.min() + 1}..{every.max() + 1}, expected 1..{images}")
    twice = [number for number, count in Counter(every.tolist()).items() if count > 1]
    if twice:
        raise ValueError(f"{where}: image number {twice[0] + 1} is in two of easy, hard and junk")
    return relevance
