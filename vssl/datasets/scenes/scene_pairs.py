"""Exact correspondences on rendered rooms, in the layout of SPair-71k: the same room from two places.

    OUT/JPEGImages/CLASS/room_NNNN_{a,b}.jpg            CLASS: the prominent thing
    OUT/PairAnnotation/test/room_NNNN:CLASS.json        keypoints, and as box the whole image
    OUT/Layout/large/test.txt                           the pairs
    OUT/dataset.json                                    what it is; written last

Keypoints are pixels of the first image whose spot the second sees too. Both have an exposure and noise of their own.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from vssl.datasets.prepare.writing import ContentHash, begin, finish, write_whole
from vssl.datasets.scenes.families import DEFAULT_FAMILY, family_named
from vssl.datasets.scenes.furniture import PROMINENT
from vssl.datasets.scenes.layout import Scene, compose
from vssl.datasets.scenes.ray_casting import RENDERER_VERSION, Hits, trace
from vssl.datasets.scenes.room_retrieval import Grade, elsewhere, is_free, jpeg_bytes, photograph_of
from vssl.datasets.scenes.scene_files import LARGEST, SMALLEST
from vssl.progress import track

VERSION = 1  # raise it with every change here that alters an image or a keypoint
MOVED = Grade(1, turn=(10, 40), distance=(0.8, 1.25))
MOST_POINTS, FEWEST_POINTS = 20, 8
_STREAM = 201  # no other set's
_ATTEMPTS = 200
_SAME = 0.02  # of the depth: what the second camera sees at the spot is the spot


@dataclass(frozen=True)
class ScenePair:
    """Two images of a room, and where both show the same spots: x, y, px; pixel centres are whole numbers."""

    images: tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S 3"]]
    points: tuple[Float[np.ndarray, "points 2"], Float[np.ndarray, "points 2"]]
    prominent: str


def render_pair(seed: int, index: int, size: int, family: str = DEFAULT_FAMILY) -> ScenePair:
    """The pair number `index`; the prominent class goes round with it."""
    look, wanted = family_named(family), PROMINENT[index % len(PROMINENT)]
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng((seed, _STREAM, index, attempt))
        scene = compose(rng, wanted)
        camera = elsewhere(rng, scene, MOVED)
        if not is_free(scene, camera):
            continue
        view = replace(scene, camera=camera)
        first, second = visible_in_both(trace(scene, size), view, trace(view, size))
        if len(first) < FEWEST_POINTS:
            continue
        chosen = rng.permutation(len(first))[:MOST_POINTS]
        dressed = look.dressed(scene, rng)
        a, b = (photograph_of(rng, look, dressed, size, seen) for seen in (scene, view))
        return ScenePair((a, b), (first[chosen], second[chosen]), wanted)
    raise RuntimeError(f"no pair around a {wanted} in {_ATTEMPTS} drawings (seed {seed}, pair {index}, {size} px)")


def visible_in_both(
    first: Hits, view: Scene, second: Hits
) -> tuple[Float[np.ndarray, "points 2"], Float[np.ndarray, "points 2"]]:
    """Pixels of the first image whose spots the view's camera sees, and where: x, y in each.

    A spot is seen where it lies ahead and inside the image, and its pixel there shows the same surface at its depth.
    """
    size, camera = first.depth.shape[0], view.camera
    offset = np.stack([c.astype(np.float64).ravel() for c in first.rays.at(first.depth)], 1) - np.array(camera.position)
    right, up, ahead = (offset @ np.array(axis) for axis in (camera.right, camera.up, camera.forward))
    scale = size / (2 * np.tan(camera.fov / 2) * np.maximum(ahead, 1e-6))
    x, y = size / 2 + scale * right - 0.5, size / 2 - scale * up - 0.5
    column, row = (np.rint(np.clip(c, -1, size)).astype(int) for c in (x, y))
    inside = (ahead > 0.05) & (column >= 0) & (column < size) & (row >= 0) & (row < size)
    at = np.where(inside, row, 0), np.where(inside, column, 0)
    same = np.abs(second.depth[at] - ahead) < _SAME * ahead
    seen = np.flatnonzero(inside & same & (second.surface[at] == first.surface.ravel()))
    rows, columns = np.divmod(seen, size)
    return np.stack([columns, rows], 1).astype(np.float64), np.stack([x[seen], y[seen]], 1)


def write_pairs(out: str | Path, pairs: int = 100, size: int = 48, seed: int = 0, family: str = DEFAULT_FAMILY) -> Path:
    """Renders and writes the set; does nothing when it is there already. Returns the path of ``dataset.json``.

    Args:
        size: width and height of the images in pixels.
        seed: same seed, same bytes (with the same versions of NumPy and Pillow).

    Raises:
        ValueError: options out of range.
        FileExistsError: `out` holds a set with other options, or files of someone else.
    """
    out = Path(out)
    if pairs < 1 or not SMALLEST <= size <= LARGEST or seed < 0:
        raise ValueError(f"pairs {pairs}, size {size} px, seed {seed}: expected 1 or more, {SMALLEST}..{LARGEST}, 0..")
    family_named(family)
    options = dict(renderer=RENDERER_VERSION, version=VERSION, family=family, size=size, seed=seed, pairs=pairs)
    folders = ("JPEGImages", "PairAnnotation", "Layout")
    if begin(out, options, folders):
        contents, names = ContentHash(), []
        for index in track(range(pairs), "rendering pairs", "pairs", pairs):
            pair = render_pair(seed, index, size, family)
            files = [f"room_{index:04d}_{side}.jpg" for side in "ab"]
            for file, image in zip(files, pair.images, strict=True):
                content = jpeg_bytes(image)
                contents.add(file, content)
                write_whole(out / "JPEGImages" / pair.prominent / file, content)
            names.append(f"room_{index:04d}:{pair.prominent}")
            about = json.dumps(_annotation(pair, files, size), indent=1).encode()
            write_whole(out / "PairAnnotation/test" / f"{names[-1]}.json", about)
        write_whole(out / "Layout/large/test.txt", "\n".join(names).encode() + b"\n")
        finish(
            out,
            options,
            files=folders,
            name="vssl scenes, pairs",
            counts={"pairs": pairs},
            hashes={"images_sha256": contents.hexdigest()},
            licence="Apache-2.0 (rendered by vssl, no third-party content)",
        )
    return out / "dataset.json"


def _annotation(pair: ScenePair, files: list[str], size: int) -> dict:
    sides = zip(("src", "trg"), files, pair.points, strict=True)
    about: dict[str, Any] = {"category": pair.prominent}
    for side, file, points in sides:
        about |= {f"{side}_imname": file, f"{side}_imsize": [size, size, 3], f"{side}_bndbox": [0, 0, size, size]}
        about[f"{side}_kps"] = points.round(3).tolist()
    return about
