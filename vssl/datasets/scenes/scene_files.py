"""Writes rendered scenes in the layouts of ImageNet, ADE20K and NYUv2, so that the loaders of the real data read them.

    OUT/imagenet/{train,val}/<class>/*.jpg                    class: the thing that covers most of the image
    OUT/ade20k/images/{training,validation}/*.jpg             annotations/…/*.png: 0 unlabeled, 1.. the classes
    OUT/nyuv2/images/{train,test}/*.jpg                       annotations/…/*.png: uint16 millimetres, 0 invalid
    OUT/dataset.json                                          what it is; written last

Every file is written under a temporary name and then renamed, and every scene depends on its number alone: a run that
was killed is completed by running it again.
"""

import json
import multiprocessing
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image

from vssl.datasets.scenes.families import DEFAULT_FAMILY, family_named
from vssl.datasets.scenes.furniture import CLASSES, PROMINENT, UNLABELED, label_of
from vssl.datasets.scenes.ray_casting import RENDERER_VERSION, Rendering, render
from vssl.processes import end_with_parent
from vssl.progress import track
from vssl.whole_files import whole, write_json

Array = np.ndarray

FOLDERS = ("imagenet", "ade20k", "nyuv2")
DESCRIPTION = "dataset.json"
UNFINISHED = "dataset.json.unfinished"
SMALLEST, LARGEST = 16, 1024  # pixels
JPEG = dict(format="JPEG", quality=92, subsampling=0)


@dataclass(frozen=True)
class SceneSplit:
    """One split of one layout.

    Attributes:
        stream: the renderer's stream; no two splits share one, so no scene is in two of them.
        layout: a member of FOLDERS.
        folder: the layout's own name of the split.
        count: number of scenes by default.
    """

    stream: int
    layout: str
    folder: str
    count: int

    def files(self, out: Path, index: int) -> tuple[Path, ...]:
        """The files of one scene: the image and, unless its folder is the label, the annotation."""
        root, name = out / self.layout, f"scene_{index:06d}"
        if self.layout == "imagenet":
            return (root / self.folder / PROMINENT[index % len(PROMINENT)] / f"{name}.jpg",)
        return root / "images" / self.folder / f"{name}.jpg", root / "annotations" / self.folder / f"{name}.png"


SPLITS = {
    "imagenet_train": SceneSplit(0, "imagenet", "train", 4000),
    "imagenet_val": SceneSplit(1, "imagenet", "val", 600),
    "ade_train": SceneSplit(2, "ade20k", "training", 600),
    "ade_val": SceneSplit(3, "ade20k", "validation", 300),
    "nyu_train": SceneSplit(4, "nyuv2", "train", 600),
    "nyu_val": SceneSplit(5, "nyuv2", "test", 300),
}


def write_scenes(
    out: str | Path,
    size: int = 48,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    family: str = DEFAULT_FAMILY,
    workers: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Renders and writes the embedded data; does nothing when it is there already.

    Args:
        out: folder to fill; made when missing.
        size: width and height of the images in pixels, 16..1024.
        seed: same seed, same bytes (with the same versions of NumPy and Pillow), for any number of workers.
        counts: scenes per split, for the splits (keys of SPLITS) that shall differ from the default.
        family: what tells a class and what varies without meaning, see families.py.
        workers: processes; None takes every core this process may use.
        overwrite: delete what was written here with other options, and begin anew.

    Returns:
        The path of ``dataset.json``.

    Raises:
        ValueError: options out of range.
        FileExistsError: `out` holds scenes with other options, or files that this function did not write.
    """
    out = Path(out)
    counts = _checked(size, seed, counts)
    family_named(family)
    options = {"renderer": RENDERER_VERSION, "family": family, "size": size, "seed": seed, "counts": counts}
    _make_room(out, options, overwrite)
    jobs = [(name, i) for name, count in counts.items() for i in range(count)]
    missing = [(name, i) for name, i in jobs if not all(path.is_file() for path in SPLITS[name].files(out, i))]
    if missing or not (out / DESCRIPTION).is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / UNFINISHED, options)
        _render_all(out, missing, size, seed, family, workers)
        write_json(out / DESCRIPTION, _description(options))
        (out / UNFINISHED).unlink()
    return out / DESCRIPTION


def _checked(size: int, seed: int, counts: Mapping[str, int] | None) -> dict[str, int]:
    """All splits' counts, after the options were checked."""
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size {size} px: expected {SMALLEST}..{LARGEST}")
    if seed < 0:
        raise ValueError(f"seed {seed}: expected 0 or more")
    unknown = set(counts or {}) - set(SPLITS)
    if unknown:
        raise ValueError(f"counts for unknown splits {', '.join(sorted(unknown))}: expected {', '.join(SPLITS)}")
    counts = {name: split.count for name, split in SPLITS.items()} | dict(counts or {})
    for name, count in counts.items():
        least = len(PROMINENT) if SPLITS[name].layout == "imagenet" else 1
        if count < least:
            why = ", one for each class" if least > 1 else ""
            raise ValueError(f"{name}={count}: expected at least {least}{why}")
    return counts


def _make_room(out: Path, options: dict[str, Any], overwrite: bool) -> None:
    """Makes sure that what `out` holds, if anything, was written with these options."""
    known = [path for path in (out / DESCRIPTION, out / UNFINISHED) if path.is_file()]
    if not known:
        if strange := [name for name in FOLDERS if (out / name).exists()]:
            raise FileExistsError(
                f"{out} already holds {', '.join(strange)}, but no {DESCRIPTION}: these files were not written by this "
                f"tool. Choose another --out, or move them away."
            )
        return
    there = json.loads(known[0].read_text())
    different = [key for key in options if there.get(key) != options[key]]
    if not different:
        return
    if not overwrite:
        told = "; ".join(_difference(key, there.get(key), options[key]) for key in different)
        raise FileExistsError(
            f"{out} holds scenes with other options ({told}). Choose another --out, or --overwrite to replace them."
        )
    # The description goes last: a kill in between leaves a folder that still says whose it is.
    for name in FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
    for path in known:
        path.unlink()


def _difference(key: str, there: Any, wanted: Any) -> str:
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = [k for k in {**there, **wanted} if there.get(k) != wanted.get(k)]
        return ", ".join(f"{k}: there {there.get(k)}, asked for {wanted.get(k)}" for k in keys)
    return f"{key}: there {there}, asked for {wanted}"


def _render_all(out: Path, jobs: list[tuple[str, int]], size: int, seed: int, family: str, workers: int | None) -> None:
    for folder in {path.parent for name, index in jobs for path in SPLITS[name].files(out, index)}:
        folder.mkdir(parents=True, exist_ok=True)
    workers = min(workers or len(os.sched_getaffinity(0)), max(1, len(jobs)))
    work = partial(_write_scene, out=out, size=size, seed=seed, family=family)
    bar = partial(track, total=len(jobs), label="rendering scenes", unit="scenes")
    if workers == 1:
        for _ in bar(map(work, jobs)):
            pass
        return
    with multiprocessing.Pool(workers, initializer=end_with_parent) as pool:
        for _ in bar(pool.imap_unordered(work, jobs, chunksize=8)):
            pass


def _write_scene(job: tuple[str, int], out: Path, size: int, seed: int, family: str) -> None:
    name, index = job
    split = SPLITS[name]
    scene = render(seed, split.stream, index, size, family)
    files = split.files(out, index)
    if split.layout == "ade20k":
        _save(Image.fromarray(annotation(scene.labels)), files[1], format="PNG")
    elif split.layout == "nyuv2":
        rng = np.random.default_rng((seed, split.stream, index))
        _save(Image.fromarray(measured_depth(scene, rng)), files[1], format="PNG")
    _save(Image.fromarray(scene.image), files[0], **JPEG)


def annotation(labels: UInt8[Array, "S S"]) -> UInt8[Array, "S S"]:
    """ADE20K-like annotation: 0 on a line, one pixel wide, between classes, as where annotators' outlines meet."""
    marked = labels.copy()
    marked[:, :-1][labels[:, :-1] != labels[:, 1:]] = UNLABELED
    marked[:-1][labels[:-1] != labels[1:]] = UNLABELED
    return marked


def measured_depth(scene: Rendering, rng: np.random.Generator) -> UInt16[Array, "S S"]:
    """NYUv2-like depth in whole millimetres, 0 where a depth camera would see nothing.

    Invalid are windows (glass), outlines between classes where depth jumps by over 5 % (the sensor's shadow), and 0.5 %
    at random. All other values are exact to the millimetre; they are z-depths.
    """
    depth: Float32[Array, "S S"] = scene.depth
    invalid = (scene.labels == label_of("window")) | (rng.random(depth.shape) < 0.005)
    for here, there in (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]):
        outline = scene.labels[here] != scene.labels[there]
        invalid[here] |= outline & (np.abs(depth[there] - depth[here]) > 0.05 * depth[here])
    return np.where(invalid, 0, np.rint(depth * 1000)).astype(np.uint16)


def _save(image: Image.Image, path: Path, **options: Any) -> None:
    with whole(path) as partial:
        image.save(partial, **options)


def _description(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "vssl scenes",
        **options,
        "classes": list(CLASSES),
        "image_classes": list(PROMINENT),
        "layouts": {
            "imagenet": "image classification: train, val; folder = class of the most prominent thing",
            "ade20k": "segmentation: training, validation; PNG, 0 = unlabeled, 1.. = position in classes",
            "nyuv2": "z-depth along the optical axis: train, test; uint16 PNG, millimetres, 0 = invalid",
        },
        "licence": "Apache-2.0 (rendered by vssl, no third-party content)",
    }
