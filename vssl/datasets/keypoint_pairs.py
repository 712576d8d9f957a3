"""Pairs of images with corresponding keypoints, in the layout of SPair-71k (Min et al. 2019, arXiv 1908.10543).

ROOT/Layout/large/test.txt                lines: 000001-2008_000001-2009_000002:aeroplane
ROOT/PairAnnotation/test/LINE.json        category, trg_bndbox, {src,trg}_{imname,imsize,kps}
ROOT/JPEGImages/CATEGORY/NAME.jpg
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vssl.data_folders import found_in, next_step

Points = Float[np.ndarray, "points 2"]


@dataclass(frozen=True)
class KeypointPair:
    """One pair.

    Attributes:
        sizes: (height, width) of source and target, px.
        source_points, target_points: x, y of the same spots; pixel centres are whole numbers.
        target_box: longer side of the target's object, px.
    """

    source: Path
    target: Path
    sizes: tuple[tuple[int, int], tuple[int, int]]
    source_points: Points
    target_points: Points
    target_box: float
    category: str


class KeypointPairs:
    """The pairs of one split.

    Args:
        root: the folder SPair-71k.
        split: ``"trn"``, ``"val"`` or ``"test"``; layout: ``"large"`` or ``"small"``.

    Raises:
        FileNotFoundError: the list, an annotation or an image is missing.
        ValueError: an annotation without the keys above, without keypoints, or with points outside its images.
    """

    def __init__(self, root: str | Path, split: str = "test", layout: str = "large"):
        self.root = Path(root)
        listing = self.root / "Layout" / layout / f"{split}.txt"
        if not listing.is_file():
            raise FileNotFoundError(
                f"{self.root}: no Layout/{layout}/{split}.txt (found: {found_in(self.root)}). {next_step(self.root)}"
            )
        names = listing.read_text().split()
        if not names:
            raise ValueError(f"{listing} lists no pairs")
        self.pairs = [self._read(self.root / "PairAnnotation" / split / f"{name}.json") for name in names]
        missing = next((p for pair in self.pairs for p in (pair.source, pair.target) if not p.is_file()), None)
        if missing:
            raise FileNotFoundError(f"{listing} has pairs of {missing}, which is not there")

    def _read(self, file: Path) -> KeypointPair:
        if not file.is_file():
            raise FileNotFoundError(f"{self.root}: no {file.relative_to(self.root)}, which its list names")
        try:
            about = json.loads(file.read_text())
            images = self.root / "JPEGImages" / about["category"]
            left, top, right, bottom = map(float, about["trg_bndbox"])
            points = [np.array(about[f"{side}_kps"], np.float64).reshape(-1, 2) for side in ("src", "trg")]
            sizes = [(int(h), int(w)) for w, h in (about[f"{side}_imsize"][:2] for side in ("src", "trg"))]
            source, target = (images / about[f"{side}_imname"] for side in ("src", "trg"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file} is no pair annotation of SPair-71k: {type(error).__name__} {error}") from error
        if not len(points[0]) == len(points[1]) > 0 or max(right - left, bottom - top) <= 0:
            raise ValueError(f"{file}: {len(points[0])} and {len(points[1])} keypoints, box {about['trg_bndbox']}")
        for name, found, (height, width) in zip(("src", "trg"), points, sizes, strict=True):
            if (found < -0.5).any() or (found > np.array([width, height])).any():
                raise ValueError(f"{file}: {name}_kps outside their image of {width} × {height} px")
        box = max(right - left, bottom - top)
        return KeypointPair(source, target, (sizes[0], sizes[1]), points[0], points[1], box, about["category"])
